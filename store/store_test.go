package store_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/store/storetest"
)

func open(tb testing.TB, dir string, o store.Options) *store.Store {
	tb.Helper()
	s, err := store.Open(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func callID(n int) call.ID { return storetest.ID(call.Call, n, storetest.Start()) }

func must(tb testing.TB, s storetest.Writer, es ...call.Entry) {
	tb.Helper()
	if err := storetest.Append(s, es...); err != nil {
		tb.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) storetest.Store {
		t.Helper()
		return open(t, dir, store.Options{})
	})
}

func TestOpenHeld(t *testing.T) {
	dir := storetest.Dir(t)
	open(t, dir, store.Options{})
	_, err := store.Open(dir, store.Options{})
	if !errors.Is(err, store.ErrHeld) {
		t.Fatalf("got %v, want ErrHeld", err)
	}
	for _, want := range []string{dir, fmt.Sprintf("process %d since 20", os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestOpenHeldByUnknown(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	holder := filepath.Join(dir, "siaga112.holder")
	if err := os.WriteFile(holder, []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrHeld) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(holder); !os.IsNotExist(err) {
		t.Errorf("after Close the holder's file is there: %v", err)
	}
	open(t, dir, store.Options{})
}

func TestOpenNewer(t *testing.T) {
	dir := storetest.Dir(t)
	if err := open(t, dir, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("3")) })
	for range 2 { // the refused Open has let go of the lock
		if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrNewer) {
			t.Errorf("got %v, want ErrNewer", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := storetest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, store.File), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, store.Options{}); err == nil {
		t.Error("a file of something else was opened")
	}
	if _, err := store.Open(filepath.Join(dir, store.File, "x"), store.Options{}); err == nil {
		t.Error("a folder in a file was made")
	}
}

func TestSecretAndBeat(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	secret := s.Secret()
	if secret == ([32]byte{}) {
		t.Error("the secret is zero")
	}
	if at := s.LastBeat(); !at.IsZero() {
		t.Errorf("a new store has the heartbeat %s", at)
	}
	now := time.Date(2026, 3, 1, 8, 0, 0, 5, time.FixedZone("WIB", 7*3600))
	s.Beat(now.Add(-time.Second))
	s.Beat(now)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	if s.Secret() != secret {
		t.Error("the secret is another")
	}
	if at := s.LastBeat(); !at.Equal(now) {
		t.Errorf("heartbeat %s, want %s", at, now)
	}
}

func TestSealedIsTold(t *testing.T) {
	var told []string
	s := open(t, storetest.Dir(t), store.Options{Sealed: func(r call.Record) {
		told = append(told, fmt.Sprintf("%s %d %s", r.Of, r.Entries, r.Kind))
	}})
	for i := range 3 {
		must(t, s, storetest.Abandoned(callID(i), storetest.Start(), "")...)
	}
	must(t, s, call.Entry{Of: callID(1), At: storetest.Start(), Event: call.Classified{Kind: call.Prank}})
	must(t, s, storetest.Abandoned(callID(2), storetest.Start(), "")...)
	want := []string{
		fmt.Sprintf("%s 6 ", callID(0)), fmt.Sprintf("%s 6 ", callID(1)), fmt.Sprintf("%s 6 ", callID(2)),
		fmt.Sprintf("%s 7 prank", callID(1)),
	}
	if d := cmp.Diff(want, told); d != "" {
		t.Error(d)
	}
	storetest.Check(t, s)
}

// TestExport exports what a store has.
func TestExport(t *testing.T) {
	dir := storetest.Dir(t)
	history(t, dir)
	s := open(t, dir, store.Options{})
	var b strings.Builder
	p, err := export.Write(t.Context(), &b, s, export.Options{Format: export.CSV, Zone: time.UTC})
	if p.Rows != 20 || err != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lines[1:] {
		kind := []string{"information", ""}[i%2]
		if l[0] != string(callID(i)) || l[12] != kind || l[16] != fmt.Sprint(i) {
			t.Errorf("row %d: %v", i, l)
		}
	}
}

func TestTodo(t *testing.T) {
	s := open(t, storetest.Dir(t), store.Options{})
	for i := range 600 {
		s.Append(storetest.Answered(callID(i), storetest.Start(), "", "t1"), nil)
	}
	must(t, s, call.Entry{Of: callID(7), At: storetest.Start(), Event: call.Classified{Kind: call.Prank}})
	n := 0
	for id, err := range s.Todo(t.Context()) {
		if err != nil || id == callID(7) {
			t.Errorf("%s, %v", id, err)
		}
		n++
	}
	if n != 599 {
		t.Errorf("%d calls are open, want 599", n)
	}
	storetest.Check(t, s)
}

// TestHostileEntries: what callers send is stored as it is read back, whatever it is.
func TestHostileEntries(t *testing.T) {
	s := open(t, storetest.Dir(t), store.Options{})
	numbers := []string{"\xff\xfe", "+62\x00", "", "+62", strings.Repeat("9", 40000), "=cmd|' /C calc'!A0", "a\nb"}
	for i, n := range numbers {
		es := storetest.Answered(callID(i), time.Time{}.Add(time.Duration(i)*time.Hour), n, "t1")
		must(t, s, es...)
	}
	for q, want := range map[string]int{"+62\x00": 1, "+62": 1, strings.Repeat("9", 40000): 1, "": len(numbers)} {
		got := 0
		for _, err := range s.Find(t.Context(), store.Query{Number: q}) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != want {
			t.Errorf("number %.10q: %d calls, want %d", q, got, want)
		}
	}
	storetest.Check(t, s)
}

// TestOneTransaction seals and appends side by side in one transaction: what is deleted in it must not hide what stays.
func TestOneTransaction(t *testing.T) {
	const n = 300
	gate := make(chan struct{})
	held := false
	o := store.Options{}.WithUpdate(func(db *bolt.DB, f func(*bolt.Tx) error) error {
		if held {
			<-gate
		}
		return db.Update(f)
	})
	s := open(t, storetest.Dir(t), o)
	calls := make([][]call.Entry, n)
	for i := range calls {
		calls[i] = storetest.Abandoned(callID(i), storetest.Start(), "")
		s.Append(calls[i][:3], nil)
	}
	must(t, s)
	held = true
	s.Append(nil, nil) // the committer waits with this, the rest queues up behind it
	errs := make(chan error, n)
	for i := range n {
		j := i/2 + (i%2)*n/2
		s.Append(calls[j][3:], func(err error) { errs <- err })
	}
	close(gate)
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	storetest.Check(t, s)
}

// edit changes the file behind the store's back.
func edit(tb testing.TB, dir string, f func(tx *bolt.Tx) error) {
	tb.Helper()
	db, err := bolt.Open(filepath.Join(dir, store.File), 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		tb.Fatal(err)
	}
}
