package storetest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

const (
	pageSize = 4096
	metaEnd  = 16 + 64 // of a meta page: what of it is written
	cuts     = 4       // times what the environment asks for: power cuts in each commit, of each kind
)

// picture is all that a store holds.
type picture struct {
	Ledger [3]uint64
	Live   map[call.ID]int
	Kept   map[call.ID]string
	Pieces []call.Sealed
	Holds  []store.Hold
	Todo   []call.ID
}

func look(t *testing.T, s *store.Store) (p picture) {
	t.Helper()
	p.Live, p.Kept = map[call.ID]int{}, map[call.ID]string{}
	var err error
	if p.Ledger[0], p.Ledger[1], p.Ledger[2], err = s.Ledger(); err != nil {
		t.Fatal(err)
	}
	for es, err := range s.Live() {
		if err != nil {
			t.Fatal(err)
		}
		p.Live[es[0].Of] = len(es)
	}
	for l, d := range s.Kept() {
		p.Kept[l.Of] += string(d)
	}
	for piece, err := range s.Scan(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		p.Pieces = append(p.Pieces, piece)
	}
	if p.Holds, err = s.Holds(); err != nil {
		t.Fatal(err)
	}
	for id, err := range s.Todo(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		p.Todo = append(p.Todo, id)
	}
	return p
}

// history are what a store does, a commit each.
func history(s *store.Store) (steps []func() error) {
	add := func(f func() error) { steps = append(steps, f) }
	for n := range 10 {
		es := storetest.Answered(storetest.ID(call.Call, n, storetest.Start()), storetest.Start(), fmt.Sprintf("+6281155%04d", n%3), "t1")
		add(func() error {
			s.Keep(es[0].Of, 0, bytes.Repeat([]byte("leg "), 200), nil)
			return storetest.Append(s, es[:4]...)
		})
		add(func() error { return storetest.Append(s, es[4:]...) })
		if n%2 == 0 {
			add(func() error {
				return storetest.Append(s, call.Entry{Of: es[0].Of, At: storetest.Start(), Event: call.Classified{Kind: call.Prank}})
			})
		}
	}
	add(func() error { _, err := s.Hold(store.Hold{Number: "+62811550001", Reason: "r"}); return err })
	add(func() error { return s.Release(store.Hold{Number: "+62811550001"}) })
	add(func() error {
		_, err := s.Erase(context.Background(), store.Erasure{Number: "+62811550001", Reason: "r", Order: "1"})
		return err
	})
	add(func() error {
		_, err := s.Expire(context.Background(), storetest.Start().Add(time.Minute), "r")
		return err
	})
	return steps
}

// What a power cut leaves of a commit is the store before it or after it: any part of its data pages without its meta page,
// or all of them and the meta page, whole or torn. bbolt syncs the data pages before it writes the meta page.
func TestPowerCut(t *testing.T) {
	dir := storetest.Dir(t)
	file := filepath.Join(dir, store.File)
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(112, 7))
	read := func() ([]byte, picture) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b, look(t, s)
	}
	before, older := read()
	torn := 0
	for i, step := range history(s) {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		after, newer := read()
		c := &cut{t: t, rng: rng, older: older, newer: newer, name: fmt.Sprintf("commit %d", i)}
		c.grow(before, after)
		if c.metas == 0 || len(c.data) == 0 {
			t.Fatalf("commit %d: %d data pages, %d meta pages", i, len(c.data), c.metas)
		}
		if c.metas == 2 { // the dialog was committed before the entries
			before, older = after, newer
			continue
		}
		for range storetest.Times(t, cuts) {
			c.open(c.some(), older, older)
			torn += c.open(c.tear(), older, newer)
		}
		c.open(c.some(), older, older)
		c.open(after, newer, newer)
		before, older = after, newer
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if torn == 0 {
		t.Error("no torn meta page was refused: the test cuts nothing")
	}
}

// cut is a commit that is cut.
type cut struct {
	t            *testing.T
	rng          *rand.Rand
	name         string
	base, after  []byte // the older file, grown; the newer one
	data         []int  // pages that the commit wrote
	meta         int    // its meta page
	metas        int    // so many were written: two are two commits
	older, newer picture
}

// grow takes the two files in. The file grows, and that is synced, before a page is written.
func (c *cut) grow(before, after []byte) {
	c.base, c.after, c.data, c.meta = append(bytes.Clone(before), make([]byte, len(after)-len(before))...), after, nil, -1
	for p := range len(after) / pageSize {
		if bytes.Equal(c.base[p*pageSize:(p+1)*pageSize], after[p*pageSize:(p+1)*pageSize]) {
			continue
		}
		if p > 1 {
			c.data = append(c.data, p)
			continue
		}
		c.meta = p
		c.metas++
	}
}

// some is the older file with some of the newer one's data pages, each whole or torn.
func (c *cut) some() []byte {
	b := bytes.Clone(c.base)
	for _, p := range c.data {
		if c.rng.IntN(2) == 0 {
			from, to := 0, pageSize
			if c.rng.IntN(4) == 0 {
				from, to = 512*c.rng.IntN(4), 512*(4+c.rng.IntN(5))
			}
			copy(b[p*pageSize+from:p*pageSize+to], c.after[p*pageSize+from:])
		}
	}
	return b
}

// tear is the older file with all data pages and a part of the meta page.
func (c *cut) tear() []byte {
	b := bytes.Clone(c.base)
	for _, p := range c.data {
		copy(b[p*pageSize:], c.after[p*pageSize:(p+1)*pageSize])
	}
	at := c.meta*pageSize + c.rng.IntN(metaEnd+1)
	if c.rng.IntN(2) == 0 {
		copy(b[c.meta*pageSize:at], c.after[c.meta*pageSize:])
	} else {
		copy(b[at:(c.meta+1)*pageSize], c.after[at:])
	}
	return b
}

// open opens what is left, which must be one of the two pictures; 1 where it is the first.
func (c *cut) open(b []byte, one, other picture) int {
	t := c.t
	t.Helper()
	dir := storetest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, store.File), b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	storetest.Check(t, s)
	got := look(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	switch { // cmp takes longer than all else here
	case reflect.DeepEqual(got, one):
		return 1
	case reflect.DeepEqual(got, other):
		return 0
	}
	if d := cmp.Diff(other, got); d != "" {
		t.Fatalf("%s: it is neither the older nor the newer: %s", c.name, d)
	}
	return 0
}
