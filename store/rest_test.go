package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

// Nobody waits beside few events; beside many, who comes after them waits for company, and never longer than 8 ms.
func TestRest(t *testing.T) {
	for events, want := range map[int]time.Duration{1: 0, 3: 0, 4: 1200 * time.Microsecond, 300: 8 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, t.TempDir(), store.Options{})
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			begin := time.Now()
			es := make([]call.Entry, 0, events)
			for range events {
				es = append(es, call.Entry{Of: call.NewID(call.Act, begin), N: 1, At: begin, Event: call.Acted{By: "test", What: "x"}})
			}
			durable := make(chan time.Duration, 2)
			tell := func(err error) {
				if err != nil {
					t.Error(err)
				}
				durable <- time.Since(begin)
			}
			s.Append(es, tell)
			if got := <-durable; got != 0 {
				t.Errorf("the first of %d waited %s", events, got)
			}
			s.Append([]call.Entry{{Of: call.NewID(call.Act, begin), N: 1, At: begin, Event: call.Acted{By: "test", What: "y"}}}, tell)
			if got := <-durable; got != want {
				t.Errorf("after %d events the next waited %s, want %s", events, got, want)
			}
		})
	}
}
