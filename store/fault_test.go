package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

var errDisk = errors.New("no space left on device")

// alarms collects what was raised and cleared, with the time since the test began.
type alarms struct {
	mu    sync.Mutex
	begin time.Time
	got   []string
	texts []string
}

func newAlarms() *alarms { return &alarms{begin: time.Now()} }

func (a *alarms) alarm(name string, since time.Time, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	what := "cleared"
	if !since.IsZero() {
		what = fmt.Sprintf("raised since %s", since.Sub(a.begin))
	}
	a.got = append(a.got, fmt.Sprintf("%s %s at %s", name, what, time.Since(a.begin).Truncate(10*time.Millisecond)))
	a.texts = append(a.texts, text)
}

// last is what the last alarm said.
func (a *alarms) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.texts[len(a.texts)-1]
}

// faults fails the next commits: before they are made, or after.
type faults struct{ before, after atomic.Int32 }

func (f *faults) update(db *bolt.DB, fn func(*bolt.Tx) error) error {
	err := db.Update(func(tx *bolt.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if f.before.Add(-1) >= 0 {
			return errDisk
		}
		return nil
	})
	if err == nil && f.after.Add(-1) >= 0 {
		return errDisk
	}
	return err
}

func TestCommitFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		n       int32
		alarms  []string
		elapsed time.Duration
	}{
		{name: "once", n: 1, elapsed: 20 * time.Millisecond},
		{name: "for long", n: 10, elapsed: (20 + 40 + 80 + 160 + 320 + 640 + 4*1000) * time.Millisecond, alarms: []string{
			"store raised since 0s at 200ms", "store cleared at 5.26s",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f faults
				a := newAlarms()
				s := open(t, storetest.Dir(t), store.Options{Alarm: a.alarm}.WithUpdate(f.update))
				f.before.Store(c.n)
				begin := time.Now()
				es := storetest.Answered(callID(1), storetest.Start(), "+628115550001", "t1")
				must(t, s, es...)
				if d := time.Since(begin); d != c.elapsed {
					t.Errorf("acknowledged after %s, want %s", d, c.elapsed)
				}
				if d := cmp.Diff(c.alarms, a.got); d != "" {
					t.Error(d)
				}
				for _, text := range a.texts[:len(a.texts)/2] {
					if !strings.Contains(text, errDisk.Error()) || !strings.Contains(text, "Free space") {
						t.Errorf("the alarm says %q", text)
					}
				}
				storetest.Check(t, s)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestCommitFailsAfter: a commit that was made, yet reported as failed, is not made again.
func TestCommitFailsAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		var told []uint32
		s := open(t, storetest.Dir(t), store.Options{Sealed: func(r call.Record) {
			told = append(told, r.Entries)
		}}.WithUpdate(f.update))
		es := storetest.Answered(callID(1), storetest.Start(), "+628115550001", "t1")
		f.after.Store(2)
		must(t, s, es...)
		f.after.Store(2)
		must(t, s, call.Entry{Of: callID(1), At: storetest.Start(), Event: call.Classified{Kind: call.Prank}})
		f.after.Store(1)
		if err := errors.Join(s.PutTaker(store.Taker{ID: "sari"})); err != nil {
			t.Error(err)
		}
		f.after.Store(1)
		if err := s.RemoveTaker("sari"); err != nil {
			t.Error(err)
		}
		ps, err := s.Pieces(callID(1))
		if err != nil || len(ps) != 2 {
			t.Errorf("%d pieces, %v; want 2", len(ps), err)
		}
		if d := cmp.Diff([]uint32{12, 13}, told); d != "" {
			t.Error(d)
		}
		storetest.Check(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCommitPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := true
		s := open(t, storetest.Dir(t), store.Options{}.WithUpdate(func(db *bolt.DB, fn func(*bolt.Tx) error) error {
			return db.Update(func(tx *bolt.Tx) error {
				if panics {
					panics = false
					panic("page 7 already freed")
				}
				return fn(tx)
			})
		}))
		must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
		storetest.Check(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowDisk: a commit that only takes long raises the alarm too.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlarms()
		s := open(t, storetest.Dir(t), store.Options{Alarm: a.alarm}.WithUpdate(func(db *bolt.DB, fn func(*bolt.Tx) error) error {
			time.Sleep(time.Second)
			return db.Update(fn)
		}))
		must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
		if d := cmp.Diff([]string{"store raised since 0s at 200ms", "store cleared at 1s"}, a.got); d != "" {
			t.Error(d)
		}
		if !strings.Contains(a.texts[0], "the disk is slow") {
			t.Errorf("the alarm says %q", a.texts[0])
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseGivesUp: a disk that stays full keeps nobody from stopping, and what is lost is said.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		dir := storetest.Dir(t)
		s := open(t, dir, store.Options{}.WithUpdate(f.update))
		must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
		f.before.Store(1 << 30)
		var errs []error
		for i := range 3 {
			s.Append(storetest.Abandoned(callID(2+i), storetest.Start(), ""), func(err error) { errs = append(errs, err) })
		}
		time.Sleep(10 * time.Second)
		begin := time.Now()
		err := s.Close()
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("closed after %s, want 2s", d)
		}
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "18 entries") {
			t.Errorf("close: %v", err)
		}
		if again := s.Close(); !errors.Is(again, errDisk) {
			t.Errorf("closed again: %v", again)
		}
		if len(errs) != 3 || slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, store.ErrClosed) }) {
			t.Errorf("done heard %v", errs)
		}
		s = open(t, dir, store.Options{})
		storetest.Check(t, s)
		if arrived, _, _, err := s.Ledger(); err != nil || arrived != 1 {
			t.Errorf("%d calls arrived, %v", arrived, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseHangs: nor does a disk that does not answer at all.
func TestCloseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{})
		s := open(t, storetest.Dir(t), store.Options{}.WithUpdate(func(*bolt.DB, func(*bolt.Tx) error) error {
			<-back
			return errDisk
		}))
		var heard error
		s.Append(storetest.Abandoned(callID(1), storetest.Start(), ""), func(err error) { heard = err })
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("close: %v", err)
		}
		if !errors.Is(heard, store.ErrClosed) {
			t.Errorf("done heard %v", heard)
		}
		close(back)
	})
}

func TestDiskAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := uint64(1 << 30)
		var fails error
		a := newAlarms()
		s := open(t, storetest.Dir(t), store.Options{Alarm: a.alarm}.WithFree(func(string) (uint64, error) { return free, fails }))
		step := func() {
			must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
			time.Sleep(3 * time.Second)
		}
		step() // 0s: measured
		free = 100 << 20
		step() // 3s: not yet again
		step() // 6s: low
		step()
		step() // 12s: still low, said once
		fails = errDisk
		step()
		step() // 18s: unknown
		fails, free = nil, 1<<30
		step()
		step() // 24s: enough
		want := []string{"disk raised since 6s at 6s", "disk cleared at 24s"}
		if d := cmp.Diff(want, a.got); d != "" {
			t.Error(d)
		}
		if !strings.Contains(a.texts[0], "100 MB") {
			t.Errorf("the alarm says %q", a.texts[0])
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
