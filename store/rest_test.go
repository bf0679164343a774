package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// resting is a store in a bubble, where only its rests take time.
type resting struct {
	*store.Store

	t *testing.T
}

func inRests(t *testing.T, f func(r resting)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, storetest.Dir(t), store.Options{})
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(resting{s, t})
	})
}

// append appends so many events and tells how long they waited for their commit.
func (r resting) append(events int) <-chan time.Duration {
	begin := time.Now()
	es := make([]call.Entry, 0, events)
	for range events {
		es = append(es, call.Entry{Of: call.NewID(call.Act, begin), N: 1, At: begin, Event: call.Acted{By: "test", What: "x"}})
	}
	durable := make(chan time.Duration, 1)
	r.Append(es, func(err error) {
		if err != nil {
			r.t.Error(err)
		}
		durable <- time.Since(begin)
	})
	return durable
}

// Who comes after a hundred events waits for nobody; who comes after more does, and never longer than 8 ms; a second later it is over.
func TestRest(t *testing.T) {
	for events, want := range map[int]time.Duration{1: 0, 100: 0, 105: 0, 130: 3 * time.Millisecond, 900: 8 * time.Millisecond} {
		inRests(t, func(r resting) {
			if got := <-r.append(events); got != 0 {
				t.Errorf("the first of %d waited %s", events, got)
			}
			if got := <-r.append(1); got != want {
				t.Errorf("after %d events the next waited %s, want %s", events, got, want)
			}
			time.Sleep(time.Second)
			if got := <-r.append(1); got != 0 {
				t.Errorf("a second after %d events the next waited %s", events, got)
			}
		})
	}
}

// At 1,600 events a second nobody ever waits; at 5,000 commits come every 8 ms.
func TestRestUnderLoad(t *testing.T) {
	for gap, want := range map[time.Duration][2]time.Duration{
		12500 * time.Microsecond: {0, 0}, 4 * time.Millisecond: {time.Millisecond, 8 * time.Millisecond},
	} {
		inRests(t, func(r resting) {
			var last, longest time.Duration
			var told []<-chan time.Duration
			for range 200 {
				told = append(told, r.append(20))
				time.Sleep(gap)
			}
			for _, c := range told {
				last = <-c
				longest = max(longest, last)
			}
			if longest < want[0] || longest > want[1] {
				t.Errorf("20 events every %s: they waited up to %s, want %s to %s", gap, longest, want[0], want[1])
			}
		})
	}
}

// Of what is kept of a leg in one transaction the last counts, whatever lies between.
func TestKeptTwiceInOneTransaction(t *testing.T) {
	gate, held := make(chan struct{}), false
	s := open(t, storetest.Dir(t), store.Options{}.WithUpdate(func(db *bolt.DB, f func(*bolt.Tx) error) error {
		if held {
			<-gate
		}
		return db.Update(f)
	}))
	es := storetest.Abandoned(callID(1), storetest.Start(), "")
	must(t, s, es[:1]...)
	held = true
	s.Append(nil, nil) // the committer waits with this, the rest queues up behind it
	s.Keep(callID(1), 0, []byte("a"), nil)
	s.Keep(callID(1), 1, []byte("b"), nil)
	s.Keep(callID(1), 2, []byte("c"), nil)
	s.Keep(callID(1), 0, []byte("aa"), nil)
	s.Keep(callID(1), 1, nil, nil)
	s.Keep(callID(2), 0, []byte("d"), nil)
	s.Keep(callID(2), 0, nil, nil)
	s.Keep(callID(2), 0, []byte("dd"), nil)
	durable := make(chan error)
	s.Append(es[1:2], func(err error) { durable <- err })
	close(gate)
	if err := <-durable; err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for l, b := range s.Kept() {
		got[string(l.Of)+string(b)] = true
	}
	want := map[string]bool{string(callID(1)) + "aa": true, string(callID(1)) + "c": true, string(callID(2)) + "dd": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The rest is over when as many have come as the last commit had: writers that all wait for their turn lose no time.
func TestRestEnds(t *testing.T) {
	inRests(t, func(r resting) {
		<-r.append(300)
		var told []<-chan time.Duration
		for range 300 {
			told = append(told, r.append(1))
		}
		for _, c := range told {
			if got := <-c; got != 0 {
				t.Fatalf("one of as many waited %s", got)
			}
		}
		if got := <-r.append(299); got != 8*time.Millisecond {
			t.Errorf("fewer waited %s", got)
		}
	})
}
