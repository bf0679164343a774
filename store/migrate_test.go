package store_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// format1 unpacks a file of format 1: three answered calls and an abandoned one, an amendment, a shift, a live call.
func format1(tb testing.TB) string {
	tb.Helper()
	in, err := os.Open("testdata/format1.db.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	r, err := gzip.NewReader(in)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	dir := storetest.Dir(tb)
	if err := os.WriteFile(filepath.Join(dir, store.File), b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// A file of format 1 keeps all that is in it, and takes what is new.
func TestMigrate(t *testing.T) {
	dir := format1(t)
	for range 2 { // the second time nothing is left to do
		s := open(t, dir, store.Options{})
		arrived, ended, live, err := s.Ledger()
		if err != nil || arrived != 5 || ended != 4 || live != 1 {
			t.Fatalf("the ledger is %d %d %d, %v", arrived, ended, live, err)
		}
		r, err := s.Verify(t.Context())
		if err != nil || !r.OK() || r.Records != 6 {
			t.Fatalf("%d records, %v, %v", r.Records, r.Bad, err)
		}
		if takers, err := s.Takers(); err != nil || len(takers) != 1 {
			t.Fatalf("takers %v, %v", takers, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, store.Options{})
	at := storetest.Start()
	if err := storetest.Append(s, storetest.Abandoned(storetest.ID(call.Call, 7, at), at, "+628115550009")...); err != nil {
		t.Fatal(err)
	}
	must(t, s)
}
