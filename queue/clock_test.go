package queue_test

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// clockSet are ways to set the clock.
var clockSet = map[string]time.Duration{"back": -7 * time.Hour, "forward": 7 * time.Hour}

// TestClockMovesNoDeadline: whoever sets the clock neither freezes what is due nor lets it fall due.
func TestClockMovesNoDeadline(t *testing.T) {
	for name, ahead := range clockSet {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *actor) {
				a.up("t1")
				a.up("t2")
				a.arrive("c1")
				time.Sleep(time.Second)
				a.setClock(ahead)
				a.Filed(call.Record{}) // looks at what is due
				time.Sleep(9 * time.Second)
				synctest.Wait()
				same(t, "line", a.line.say(), `0s answer c1 | 0s play c1 0 "waiting" | 0s ring c1 1 t1 | 4s drop c1 1 408 | 4s ring c1 2 t2 | 8s drop c1 2 408`)
			})
		})
	}
}

// TestStalledJournalAtAClockChange: the patience with the journal is no matter of the wall clock either.
func TestStalledJournalAtAClockChange(t *testing.T) {
	for name, ahead := range clockSet {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *actor) {
				a.journal.set(func(j *journal) { j.stall = "before" })
				a.arrive("c1")
				time.Sleep(100 * time.Millisecond)
				a.setClock(ahead)
				a.Filed(call.Record{})
				time.Sleep(time.Second)
				synctest.Wait()
				same(t, "line", a.line.say(), `200ms answer c1 | 200ms play c1 0 "waiting"`)
				same(t, "the alarm is since then, as people see it", a.alarms.say(), "journal for "+(200*time.Millisecond-ahead).String())
			})
		})
	}
}

// TestJournalHasTheWallTime: entries bear the time that people see, and so do the times in them; the desk goes by its own.
func TestJournalHasTheWallTime(t *testing.T) {
	for name, ahead := range clockSet {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *actor) {
				begin := time.Now().UTC()
				a.up("t1")
				a.arrive("c1")
				a.Tell("c1", call.Answered{Leg: 0})
				a.Tell("c1", call.Answered{Leg: 1})
				time.Sleep(time.Second)
				a.setClock(ahead)
				a.Tell("c1", call.Left{Leg: 1, By: "network"}) // waits again, the taker is in wrap-up
				time.Sleep(10 * time.Second)
				synctest.Wait()
				a.setClock(0)
				a.Tell("c1", byCaller)
				synctest.Wait()
				at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
				set := func(s int) time.Time { return at(s).Add(ahead) }
				offered := func(n call.Leg) call.Offered {
					return call.Offered{Leg: n, To: call.Party{Taker: "t1"}, For: "answer", As: call.Talking}
				}
				want := []call.Entry{
					{Of: "s1", N: 1, At: at(0), Event: call.TakerChanged{Taker: "t1", State: call.Ready, Why: "phone up"}},
					{Of: "c1", N: 1, At: at(0), Event: call.Arrived{Trunk: "telkom", Called: "112", Caller: asserted("+628115550001")}},
					{Of: "c1", N: 2, At: at(0), Event: call.Scored{P: -1}},
					{Of: "c1", N: 3, At: at(0), Event: call.Queued{Queue: "112", Since: at(0)}},
					{Of: "c1", N: 4, At: at(0), Event: offered(1)},
					{Of: "c1", N: 5, At: at(0), Event: call.Answered{Leg: 0}},
					{Of: "c1", N: 6, At: at(0), Event: call.Answered{Leg: 1}},
					{Of: "c1", N: 7, At: at(0), Event: call.RoleSet{Leg: 0, Role: call.Talking}},
					{Of: "c1", N: 8, At: at(0), Event: call.RoleSet{Leg: 1, Role: call.Talking}},
					{Of: "c1", N: 9, At: set(1), Event: call.Left{Leg: 1, By: "network"}},
					{Of: "s1", N: 2, At: set(1), Event: call.TakerChanged{Taker: "t1", State: call.WrapUp, Why: "c1", Until: set(11)}},
					{Of: "c1", N: 10, At: set(1), Event: call.RoleSet{Leg: 0, Role: call.Waiting}},
					{Of: "c1", N: 11, At: set(1), Event: call.Queued{Queue: "112", Since: set(0)}},
					{Of: "s1", N: 3, At: set(11), Event: call.TakerChanged{Taker: "t1", State: call.Ready, Why: "wrap-up over"}},
					{Of: "c1", N: 12, At: set(11), Event: offered(2)},
					{Of: "c1", N: 13, At: at(11), Event: call.Left{Leg: 0, By: "caller"}},
				}
				a.journal.set(func(j *journal) {
					if diff := cmp.Diff(want, j.persisted); diff != "" {
						t.Errorf("journal (-want +got):\n%s", diff)
					}
				})
			})
		})
	}
}

// TestSmallClockChange: a second is no matter, and a clock that is near its setting moves no entry.
func TestSmallClockChange(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		begin := time.Now()
		for i, ahead := range []time.Duration{time.Second, time.Hour, time.Hour + time.Second, time.Hour - time.Second, -time.Second} {
			a.setClock(ahead)
			a.Tell(call.ID("c"+string(rune('1'+i))), call.Arrived{Reject: 404})
			synctest.Wait()
		}
		var got []time.Duration
		a.journal.set(func(j *journal) {
			for _, e := range j.persisted {
				got = append(got, e.At.Sub(begin))
			}
		})
		if diff := cmp.Diff([]time.Duration{0, time.Hour, time.Hour, time.Hour, 0}, got); diff != "" {
			t.Errorf("entries are at (-want +got):\n%s", diff)
		}
	})
}

// TestViewHasTheWallTime, also when nothing has happened since the clock was set.
func TestViewHasTheWallTime(t *testing.T) {
	for name, ahead := range clockSet {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *actor) {
				begin := time.Now().UTC()
				a.up("t1")
				a.arrive("c1")
				a.Tell("c1", call.Rang{Leg: 1})
				a.Tell("c1", call.Answered{Leg: 1})
				a.Tell("c1", call.Left{Leg: 1, By: "taker"})
				a.up("t2")
				a.arrive("c2")
				a.arrive("c3")
				synctest.Wait()
				before := a.View()
				time.Sleep(time.Second)
				a.setClock(ahead)
				at := begin.Add(ahead)
				want := queue.View{
					At: at,
					Waiting: []queue.Waiting{
						{ID: "c2", Caller: asserted("+628115550001"), Since: at, Ringing: []call.TakerID{"t2"}},
						{ID: "c3", Caller: asserted("+628115550001"), Since: at},
					},
					Takers: []queue.Taker{
						{ID: "t1", State: call.WrapUp, Since: at, Until: at.Add(10 * time.Second), Rang: at, Answered: at},
						{ID: "t2", State: call.Ready, Since: at, Call: "c2"},
					},
					Totals: before.Totals,
				}
				if diff := cmp.Diff(want, a.View()); diff != "" {
					t.Errorf("view (-want +got):\n%s", diff)
				}
				if since := before.Waiting[0].Since; !since.Equal(begin) {
					t.Errorf("a picture that was handed out has changed: since %s", since)
				}
				a.setClock(0)
				if diff := cmp.Diff(before, a.View()); diff != "" {
					t.Errorf("view with the clock put right (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestShiftEntry: only what the desk's clock gave moves. The events are told apart by reflection, so that a time in a new event
// or field is not forgotten.
func TestShiftEntry(t *testing.T) {
	then := start.Add(-time.Hour)
	moved := map[string]bool{"Queued.Since": true, "TakerChanged.Until": true}
	for _, ev := range []call.Event{
		call.Arrived{Trunk: "telkom"},
		call.Scored{P: 0.5, Delay: time.Second, Why: []call.Reason{{Kind: "prank", Last: then}}},
		call.Queued{},
		call.Offered{Leg: 1},
		call.Rang{Leg: 1},
		call.Answered{Leg: 1},
		call.RoleSet{Leg: 1},
		call.Heard{Leg: 1, What: "dtmf:1"},
		call.Left{Leg: 1, By: "taker"},
		call.Restored{Gap: time.Second},
		call.Ended{Outcome: call.WasAnswered},
		call.Classified{By: "t1"},
		call.TakerChanged{Taker: "t1"},
		call.Acted{What: "stopped"},
	} {
		in, want := reflect.New(reflect.TypeOf(ev)).Elem(), reflect.New(reflect.TypeOf(ev)).Elem()
		in.Set(reflect.ValueOf(ev))
		want.Set(reflect.ValueOf(ev))
		for f, v := range in.Fields() {
			if f.Type != reflect.TypeFor[time.Time]() {
				continue
			}
			if !moved[in.Type().Name()+"."+f.Name] {
				t.Errorf("%s.%s is a time: does it move?", in.Type().Name(), f.Name)
			}
			v.Set(reflect.ValueOf(then))
			want.FieldByIndex(f.Index).Set(reflect.ValueOf(then.Add(time.Hour)))
		}
		e := call.Entry{Of: "c1", N: 7, At: start, Event: in.Interface().(call.Event)}
		out := call.Entry{Of: "c1", N: 7, At: start.Add(time.Hour), Event: want.Interface().(call.Event)}
		if diff := cmp.Diff(out, queue.ShiftEntry(e, time.Hour)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", ev, diff)
		}
		if diff := cmp.Diff(e, queue.ShiftEntry(queue.ShiftEntry(e, time.Hour), -time.Hour)); diff != "" {
			t.Errorf("%T there and back (-want +got):\n%s", ev, diff)
		}
	}
	ready := call.Entry{At: start, Event: call.TakerChanged{State: call.Ready}}
	if until := queue.ShiftEntry(ready, time.Hour).Event.(call.TakerChanged).Until; !until.IsZero() {
		t.Errorf("no time became %s", until)
	}
}

func TestSkewed(t *testing.T) {
	const s, us = time.Second, time.Microsecond
	for _, tt := range []struct{ was, is, want time.Duration }{
		{0, 0, 0},
		{0, s, 0},
		{0, -s, 0},
		{0, s + us, s + us},
		{-s - us, -s + us, -s - us}, // a leap second: no to and fro
		{0, -7 * time.Hour, -7 * time.Hour},
		{-7 * time.Hour, -7*time.Hour + 3*us, -7 * time.Hour},
		{-7 * time.Hour, 5 * us, 0},
		{7 * time.Hour, 3 * s, 3 * s},
	} {
		if got := queue.Skewed(tt.was, tt.is); got != tt.want {
			t.Errorf("after %s, measured %s: %s, want %s", tt.was, tt.is, got, tt.want)
		}
	}
}
