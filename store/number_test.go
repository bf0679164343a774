package store_test

import (
	"errors"
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
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

// What stands in an act's text is the number, or another one.
func TestEraseFindsNumberInText(t *testing.T) {
	for text, gone := range map[string]bool{
		"sip:+628115550001@10.0.0.1": true, "tel:08115550001": true, "628115550001": true, "00628115550001": true,
		"0811-5550-001": true, "call 0811 5550 001, please": true, "+62 811 5550 001": true,
		"+6281155500012": false, "108115550001": false, "081155500011": false, "6281155500": false, "8115550001": false,
		"0811--5550001": false, "0811.5550.001": false, "": false,
	} {
		s := crowd(t, 2)
		id := storetest.ID(call.Act, 1, storetest.Start())
		must(t, s, storetest.Entries(id, storetest.Start(), call.Acted{What: "call-refused", Detail: text})...)
		done, err := s.Erase(t.Context(), erase(erasedNumber))
		if err != nil || (done.Acts == 1) != gone {
			t.Errorf("%q: %d acts, %v", text, done.Acts, err)
		}
	}
}

// The calls of a number are no other's: neither of one that begins as it does nor of nobody.
func TestErasePrefix(t *testing.T) {
	s := open(t, storetest.Dir(t), store.Options{})
	for i, number := range []string{"+62811", "+628115550001", "+6281155500011", "", "+6281155500", "628115550001"} {
		must(t, s, storetest.Answered(callID(i), storetest.Start(), number, "t1")...)
	}
	act := storetest.ID(call.Act, 1, storetest.Start())
	must(t, s, storetest.Entries(act, storetest.Start(), call.Acted{What: "call-refused", Detail: "08115550001"})...)
	for _, c := range []struct {
		number     string
		calls, act int
		others     []string
	}{
		{number: "+6281155500", calls: 1},
		{number: "+62811", calls: 1},
		{number: "+6281155", calls: 0},
		{number: " ", calls: 0},
		{number: "+628115550001", calls: 1, act: 1, others: []string{"628115550001"}},
		{number: "08115550001", calls: 0, others: []string{"628115550001"}},
	} {
		done, err := s.Erase(t.Context(), erase(c.number))
		if err != nil || done.Calls != c.calls || done.Acts != c.act || len(done.Mentions) > 0 {
			t.Errorf("%s: %+v, %v", c.number, done, err)
		}
		if d := cmp.Diff(c.others, done.Others); d != "" {
			t.Errorf("%s: %s", c.number, d)
		}
	}
	left := find(t, s, store.Query{})
	if d := cmp.Diff([]call.ID{callID(2), callID(3), callID(5)}, left); d != "" {
		t.Error(d)
	}
	storetest.Check(t, s)
}

// A hold of a number holds it in each of its notations, against erasure and retention.
func TestHoldNotations(t *testing.T) {
	for _, held := range []string{"08115550001", "628115550001", "+628115550001", "00628115550001"} {
		s := crowd(t, 2)
		if _, err := s.Hold(store.Hold{Number: held, Reason: "court"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Erase(t.Context(), erase(erasedNumber)); !errors.Is(err, store.ErrOnHold) {
			t.Errorf("held as %s: %v", held, err)
		}
		byCall := store.Erasure{Calls: []call.ID{crowdID(0)}, Reason: "r", Order: "1"}
		if _, err := s.Erase(t.Context(), byCall); !errors.Is(err, store.ErrOnHold) {
			t.Errorf("a call, held as %s: %v", held, err)
		}
		if _, err := s.Expire(t.Context(), storetest.Start().AddDate(1, 0, 0), "old"); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]call.ID{crowdID(0)}, find(t, s, store.Query{})); d != "" {
			t.Errorf("held as %s: %s", held, d)
		}
	}
	s := crowd(t, 2)
	if _, err := s.Hold(store.Hold{Number: "08115550001", Reason: "court"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(store.Hold{Number: erasedNumber}); err != nil {
		t.Errorf("released in another notation: %v", err)
	}
	if hs, err := s.Holds(); err != nil || len(hs) > 0 {
		t.Errorf("held: %v, %v", hs, err)
	}
	if _, err := s.Hold(store.Hold{Number: "0811555000", Reason: "court"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), erase(erasedNumber)); err != nil {
		t.Errorf("another's hold: %v", err)
	}
	if _, err := s.Hold(store.Hold{Number: erasedNumber, Reason: "court\nof law"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a line break: %v", err)
	}
}

// A dialog that was kept after the call's end names the caller: it goes with the call.
func TestEraseForgetsDialogs(t *testing.T) {
	s := crowd(t, 2)
	s.Keep(crowdID(0), 1, []byte("From: "+erasedNumber), nil)
	s.Keep(crowdID(1), 1, []byte("another's"), nil)
	if _, err := s.Erase(t.Context(), erase(erasedNumber)); err != nil {
		t.Fatal(err)
	}
	for id := range s.Kept() {
		if id.Of != crowdID(1) {
			t.Errorf("the dialog of %s is there", id.Of)
		}
	}
}

// meanwhile erases the calls of a number; after the first act more is appended.
func meanwhile(t *testing.T, es []call.Entry) (done store.Erased, err error) {
	t.Helper()
	var s *store.Store
	var once sync.Once
	s = open(t, storetest.Dir(t), store.Options{Sealed: func(r call.Record) {
		if r.Act != nil && r.Act.What == audit.ActErased {
			once.Do(func() { s.Append(es, nil) })
		}
	}})
	for i := range 150 {
		s.Append(storetest.Answered(crowdID(i), storetest.Start().Add(time.Duration(i)*time.Minute), erasedNumber, "t1"), nil)
	}
	must(t, s)
	done, err = s.Erase(t.Context(), erase(erasedNumber))
	if ids := find(t, s, store.Query{Number: erasedNumber}); len(ids) > 0 {
		t.Errorf("left: %v", ids)
	}
	storetest.Check(t, s)
	return done, err
}

// A call that begins in the middle of an erasure doesn't keep the others, and is told of; one that ends in it goes, too.
func TestEraseMeanwhile(t *testing.T) {
	es := storetest.Answered(callID(999), storetest.Start(), erasedNumber, "t1")
	done, err := meanwhile(t, es[:4])
	if !errors.Is(err, store.ErrLive) || !strings.Contains(err.Error(), string(callID(999))) || done.Calls != 150 || len(done.Said) != 3 {
		t.Errorf("one that lives: %+v, %v", done, err)
	}
	if done, err = meanwhile(t, es); err != nil || done.Calls != 151 {
		t.Errorf("one that has ended: %+v, %v", done, err)
	}
}

// A hold that comes in the middle of an erasure keeps what is not erased yet.
func TestHoldInAnErasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		gate := make(chan struct{})
		s := open(t, storetest.Dir(t), store.Options{}.WithUpdate(func(db *bolt.DB, fn func(*bolt.Tx) error) error {
			if armed.Load() {
				<-gate
			}
			return db.Update(fn)
		}))
		for i := range 100 {
			s.Append(storetest.Answered(callID(i), storetest.Start(), erasedNumber, "t1"), nil)
		}
		must(t, s)
		armed.Store(true)
		erased, held := make(chan error, 1), make(chan error, 1)
		var done store.Erased
		go func() {
			var err error
			done, err = s.Erase(t.Context(), erase(erasedNumber))
			erased <- err
		}()
		synctest.Wait() // the first transaction waits
		go func() {
			_, err := s.Hold(store.Hold{Number: erasedNumber, Reason: "court"})
			held <- err
		}()
		synctest.Wait()
		close(gate)
		if err := <-held; err != nil {
			t.Error(err)
		}
		if err := <-erased; !errors.Is(err, store.ErrOnHold) || done.Calls != 64 || len(done.Said) != 1 {
			t.Errorf("%+v, %v", done, err)
		}
		storetest.Check(t, s)
		closed(t, s)
	})
}
