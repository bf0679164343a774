package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// grep names the files below dir that have the text in them.
func grep(tb testing.TB, dir string, text string) (names []string) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return names
}

// After an erasure and a compaction nothing of the caller is in any file, all else is as it was, and the tree still verifies.
func TestCompactForgets(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	if err := storetest.Fill(s, 600); err != nil {
		t.Fatal(err)
	}
	number := storetest.FillNumber(7)
	var secrets []string
	for _, id := range find(t, s, store.Query{Number: number}) {
		ps, err := s.Pieces(id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := call.ParseRecord(ps[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, r.SIPCallID)
	}
	if len(secrets) == 0 {
		t.Fatal("the caller has no calls")
	}
	secrets = append(secrets, number, number[1:])
	if _, err := s.Erase(t.Context(), erase(number)); err != nil {
		t.Fatal(err)
	}
	before, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Unclean(); err != nil || n == 0 || len(grep(t, dir, number)) == 0 {
		t.Fatalf("%d are unclean, %v: the test finds nothing before the compaction", n, err)
	}
	done, err := s.Compact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if names := grep(t, dir, secret); len(names) > 0 {
			t.Errorf("%s is still in %v", secret, names)
		}
	}
	if n, err := s.Unclean(); err != nil || n != 0 {
		t.Errorf("%d are unclean, %v", n, err)
	}
	after, err := s.Verify(t.Context())
	if err != nil || after.Root != before.Root || after.Records != before.Records || after.Ended != before.Ended {
		t.Errorf("%+v, %v; before %+v", after, err, before)
	}
	storetest.Check(t, s)
	if done.After == 0 || done.After > done.Before {
		t.Errorf("%+v", done)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s)
	must(t, s, storetest.Answered(callID(1), storetest.Start(), number, "t1")...)
	storetest.Check(t, s)
}

// While the file is compacted again and again, writers write, readers read, and another process finds it held.
func TestCompactMeanwhile(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	if err := storetest.Fill(s, 300); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	written := make([]int, 4)
	for w := range written {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					written[w] = i
					return
				default:
				}
				id := callID(1_000_000*(w+1) + i)
				es := storetest.Answered(id, storetest.Start(), "+62811", "t1")
				s.Keep(id, 0, []byte("leg"), nil)
				if err := errors.Join(storetest.Append(s, es[:5]...), storetest.Append(s, es[5:]...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			next := uint64(0)
			for p, err := range s.Scan(t.Context(), 0) {
				if err != nil || p.Seq != next {
					t.Errorf("scan: %d, %v; want %d", p.Seq, err, next)
					return
				}
				next++
			}
		}
	})
	for range 3 {
		if _, err := s.Compact(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrHeld) {
			t.Errorf("another opens it: %v", err)
		}
	}
	close(over)
	wg.Wait()
	storetest.Check(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s)
	for w, n := range written {
		for i := range n {
			if ps, err := s.Pieces(callID(1_000_000*(w+1) + i)); err != nil || len(ps) != 1 {
				t.Fatalf("call %d of writer %d: %d pieces, %v", i, w, len(ps), err)
			}
		}
	}
	for l := range s.Kept() {
		t.Errorf("the dialog of %s is back", l.Of)
	}
}

// Two at a time are refused, and one for which there is no room; the store stays as it is.
func TestCompactRefused(t *testing.T) {
	dir := storetest.Dir(t)
	free := uint64(1 << 40)
	s := open(t, dir, store.Options{}.WithFree(func(string) (uint64, error) { return free, nil }))
	must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
	free = 0
	if _, err := s.Compact(t.Context()); err == nil {
		t.Error("compacted without room")
	}
	free = 1 << 40
	var errs [4]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Compact(t.Context()) })
	}
	wg.Wait()
	ok := 0
	for _, err := range errs {
		if err == nil {
			ok++
		} else if !errors.Is(err, store.ErrBusy) {
			t.Error(err)
		}
	}
	if ok == 0 {
		t.Error("none was made")
	}
	storetest.Check(t, s)
	if names, err := filepath.Glob(filepath.Join(dir, "*.part")); err != nil || len(names) > 0 {
		t.Errorf("%v is left, %v", names, err)
	}
}

// What a crash leaves of a copy is removed at the next start.
func TestPartsAreRemoved(t *testing.T) {
	dir := storetest.Dir(t)
	for _, what := range []string{"compact", "backup", "new"} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%s.part", store.File, what)), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, store.Options{})
	if names := grep(t, dir, "half"); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}
