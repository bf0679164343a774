package store_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// FuzzBody checks arbitrary bytes as a sealed body, as Verify does: what it finds nothing bad in is a whole call.
func FuzzBody(f *testing.F) {
	s := open(f, f.TempDir(), store.Options{})
	must(f, s, storetest.Answered(callID(0), storetest.Start(), "+628115550001", "t1")...)
	must(f, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
	for p, err := range s.Scan(f.Context(), 0) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Body)
		f.Add(p.Body[:len(p.Body)-1])
		f.Add(p.Body[:len(p.Body)/2])
		f.Add(slices.Concat(p.Body, p.Body))
	}
	f.Add([]byte(""))
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(`{"of":"` + string(callID(0)) + "\"}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, bad := store.CheckBody(body)
		if len(bad) > 0 {
			return
		}
		r, es, err := call.ParseBody(body)
		if err != nil {
			t.Fatalf("nothing is bad about %q: %v", body, err)
		}
		if d := cmp.Diff(call.Fold(slices.Values(es)), r); d != "" {
			t.Error(d)
		}
		for i, e := range es {
			if e.N != uint32(i)+1 || e.Of != id {
				t.Errorf("entry %d is %s %d", i+1, e.Of, e.N)
			}
		}
	})
}
