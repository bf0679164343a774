// Package storetest is what every store of the gateway must do, as tests, and the histories they are made of.
package storetest

import (
	"context"
	"fmt"
	"iter"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

// Writer is what the gateway writes with.
type Writer interface {
	Append(es []call.Entry, done func(error))
	Keep(id call.ID, l call.Leg, dialog []byte, done func(error))
	Close() error
}

// Reader is what a restart and the exports read with.
type Reader interface {
	Live() iter.Seq2[[]call.Entry, error]
	Kept() iter.Seq2[call.LegID, []byte]
	Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error]
	Pieces(id call.ID) ([]call.Sealed, error)
	Find(ctx context.Context, q store.Query) iter.Seq2[call.ID, error]
}

// Auditor is what is asked whether the store is right.
type Auditor interface {
	Verify(ctx context.Context) (store.Report, error)
	Ledger() (arrived, ended, live uint64, err error)
}

// Store is what the suite tests.
type Store interface {
	Writer
	Reader
	Auditor
}

// Run runs the suite. open opens the store in dir, making it if there is none. Every test ends by verifying the store.
func Run(t *testing.T, open func(t *testing.T, dir string) Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(b *bench)
	}{
		{"entries come back", testLive},
		{"an unfinished call is in the ledger", testLedger},
		{"a known entry is a no-op", testIdempotent},
		{"entries that do not fit are refused", testRefused},
		{"an append is stored whole or not at all", testAtomic},
		{"done is called in order", testDoneOrder},
		{"a dialog is durable before what follows it", testKeepFirst},
		{"what was acknowledged survives a crash", testCrash},
		{"the latest dialog wins", testKept},
		{"ended seals", testSeal},
		{"shifts and acts seal", testShiftAct},
		{"amendments are pieces of their own", testAmend},
		{"an entry without a number follows the last", testNumbered},
		{"what follows the end in one append amends", testSealAndAmend},
		{"scan goes on from a seq", testScan},
		{"find by time and number", testFind},
		{"writers do not disturb each other", testWriters},
		{"nothing is stored after close", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t: t, dir: Dir(t), open: open}
			b.Store = open(t, b.dir)
			c.test(b)
			b.check()
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// bench is a store in a test.
type bench struct {
	Store
	t    *testing.T
	dir  string
	open func(t *testing.T, dir string) Store
}

func (b *bench) check() {
	b.t.Helper()
	Check(b.t, b.Store)
}

// Check fails the test if the store does not verify or its ledger does not balance.
func Check(t *testing.T, s Auditor) {
	t.Helper()
	r, err := s.Verify(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	for _, bad := range r.Bad {
		t.Errorf("verify: %s", bad)
	}
	arrived, ended, live, err := s.Ledger()
	if err != nil {
		t.Fatalf("ledger: %v", err)
	}
	if arrived != ended+live {
		t.Errorf("ledger: %d arrived, %d ended, %d live", arrived, ended, live)
	}
	if r.Arrived != arrived || r.Ended != ended || r.Live != live {
		t.Errorf("ledger has %d, %d, %d; verify counts %d, %d, %d", arrived, ended, live, r.Arrived, r.Ended, r.Live)
	}
}

// Append appends and waits until done.
func Append(s Writer, es ...call.Entry) error {
	done := make(chan error, 1)
	s.Append(es, func(err error) { done <- err })
	return <-done
}

// must appends and fails the test if that is refused.
func (b *bench) must(es ...call.Entry) {
	t := b.t
	t.Helper()
	if err := Append(b.Store, es...); err != nil {
		t.Fatalf("append: %v", err)
	}
}

// reopen closes the store and opens it again.
func (b *bench) reopen() {
	t := b.t
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	b.Store = b.open(t, b.dir)
}

// copyFiles copies the files as they are now: what a crash leaves. Within a done no write is under way.
func (b *bench) copyFiles(to string) error {
	return os.CopyFS(to, os.DirFS(b.dir))
}

func (b *bench) live() [][]call.Entry {
	t := b.t
	t.Helper()
	return all(t, b.Live())
}

// kept is what is kept, as text by call, in order.
func (b *bench) kept() map[call.ID][]string {
	m := map[call.ID][]string{}
	for l, d := range b.Kept() {
		m[l.Of] = append(m[l.Of], fmt.Sprint(l.Leg, " ", string(d)))
	}
	return m
}

func (b *bench) records(id call.ID) []call.Record {
	t := b.t
	t.Helper()
	ps, err := b.Pieces(id)
	if err != nil {
		t.Fatalf("pieces: %v", err)
	}
	var rs []call.Record
	for _, p := range ps {
		r, _, err := call.ParseBody(p.Body)
		if err != nil {
			t.Fatalf("piece %d: %v", p.Seq, err)
		}
		rs = append(rs, r)
	}
	return rs
}

func all[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var vs []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	return vs
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
