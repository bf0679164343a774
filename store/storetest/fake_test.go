package storetest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/storetest"
)

// The suite does not test one store: a fake passes it, too, and also one that fails before and after it persists.
func TestFake(t *testing.T) {
	for name, fail := range map[string][2]int32{"sound": {}, "before": {3, 0}, "after": {0, 3}, "both": {2, 2}} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, dir string) storetest.Store {
				t.Helper()
				f, err := storetest.OpenFake(dir)
				if err != nil {
					t.Fatal(err)
				}
				f.FailBefore.Store(fail[0])
				f.FailAfter.Store(fail[1])
				return f
			})
		})
	}
}

// What a fake has persisted is not persisted again when it fails after that.
func TestFakeFailsAfter(t *testing.T) {
	dir := t.TempDir()
	f, err := storetest.OpenFake(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.FailAfter.Store(2)
	es := storetest.Answered(storetest.ID(call.Call, 1, storetest.Start()), storetest.Start(), "+62811", "t1")
	if err := storetest.Append(f, es...); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "fake.jsonl"))
	if err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("the log has %d lines, %v", bytes.Count(b, []byte("\n")), err)
	}
	if f, err = storetest.OpenFake(dir); err != nil {
		t.Fatal(err)
	}
	storetest.Check(t, f)
	if ps, err := f.Pieces(es[0].Of); err != nil || len(ps) != 1 {
		t.Errorf("%d pieces, %v", len(ps), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
