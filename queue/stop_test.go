package queue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

func TestDrain(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.arrive("c1", "+621")
	w.must(w.order(queue.Drain, ""))
	w.arrive("c2", "+622")
	w.fact("c2", byDesk)
	w.up("t1")
	same(t, "c2", w.journal("c2"), "arrived reject 503 | left 0 desk | ended refused")
	same(t, "who waits is still served", w.offers(), "c1:1:t1")
}

func TestStop(t *testing.T) {
	w := newWorld(t, rules(ringAll), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.up("t2")
	w.arrive("c2", "+622")
	w.arrive("c3", "+623")
	w.fact("c3", call.Answered{Leg: 0})
	w.arrive("c5", "+625")
	w.fact("c5", byCaller)
	w.fact("c4", call.Arrived{Reject: 404})
	w.did()
	w.must(w.order(queue.Stop, ""))
	same(t, "actions", w.did(), "drop c1 1 503 | drop c1 0 503 | drop c2 1 503 | drop c2 0 503 | drop c3 0 503")
	w.fact("c1", leftBy(1, "network"), byDesk) // no way back into the queue
	w.fact("c2", call.Answered{Leg: 1}, leftBy(1, "desk"), byDesk)
	w.fact("c3", byDesk)
	w.fact("c4", byDesk)
	w.arrive("c6", "+626")
	w.fact("c6", byDesk)
	for id, want := range map[call.ID]string{
		"c1": "restart", "c2": "restart", "c3": "restart", "c4": "rejected", "c5": "abandoned", "c6": "refused",
	} {
		if got := w.outcome(id); got != want {
			t.Errorf("%s ended %q, want %q", id, got, want)
		}
	}
	if v := w.desk.View(w.now); v.Live != 0 || v.Ended != 6 || v.Arrived != 6 || !v.Draining {
		t.Errorf("totals are %+v", v.Totals)
	}
	w.wait(queue.DropAgain)
	if n := w.desk.Dues(); n > 0 {
		t.Errorf("%d reminders are left of calls that have ended", n)
	}
}

func (w *world) outcome(id call.ID) string {
	for _, e := range w.entries {
		if ended, ok := e.Event.(call.Ended); ok && e.Of == id {
			return string(ended.Outcome)
		}
	}
	return ""
}

// TestStopKeepsWhatIsOver: a call that only waits for its last messages ended before the stop.
func TestStopKeepsWhatIsOver(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1", "t2")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.arrive("c2", "+622")
	w.fact("c1", leftBy(1, "taker"))
	w.fact("c2", byCaller)
	w.must(w.order(queue.Stop, ""))
	w.fact("c1", byDesk)
	w.fact("c2", leftBy(1, "desk"))
	if a, b := w.outcome("c1"), w.outcome("c2"); a != "answered" || b != "abandoned" {
		t.Errorf("outcomes %q and %q, want answered and abandoned", a, b)
	}
}

// restart is a new desk that knows what is live, subject by subject, as the store gives it.
func (w *world) restart(r queue.Rules) *world {
	w.t.Helper()
	after := newWorld(w.t, r, nil)
	after.now, after.shifts = w.now.Add(2*time.Second), w.shifts
	for _, e := range liveEntries(w.entries) {
		after.desk.Apply(e)
	}
	return after
}

func TestRestart(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1", "t2", "t3")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.arrive("c2", "+622")
	w.fact("c2", call.Rang{Leg: 1})
	w.arrive("c3", "+623")
	w.fact("c3", byCaller) // its taker's leg has not left yet
	w.arrive("c4", "+624")

	w = w.restart(rules())
	w.phone(true, "t1", "t2") // before the calls are Restored: nothing is offered
	w.restored("c1", "c2", "c3", "c4")
	w.fact("c2", lost(1))
	w.fact("c3", lost(1))
	w.arrive("c5", "+625") // waits until all is known
	same(t, "actions", w.did(), `answer c5 | play c5 0 "waiting"`)
	w.step(queue.Tick{})
	same(t, "c1 talks on", w.journal("c1"), "restored")
	same(t, "c2 keeps its place", w.journal("c2"), "restored | left 1 node | offered 2 t2")
	same(t, "c3, whose caller had gone", w.journal("c3"), "restored | left 1 node | ended abandoned")
	same(t, "c4 waits on", w.journal("c4"), "restored")
	same(t, "actions", w.did(), `mix c1 0=talking 1=talking | answer c2 | play c2 0 "waiting" | answer c4 | play c4 0 "waiting" | ring c2 2 t2`)

	w.fact("c1", lost(0))
	same(t, "c1, whose caller is lost", w.journal("c1"), "restored | left 0 node")
	same(t, "actions", w.did(), "drop c1 1 487")
	w.fact("c1", leftBy(1, "desk"))
	same(t, "c1", w.journal("c1"), "restored | left 0 node | left 1 desk | ended restart")
	same(t, "t1 had talked", w.journal("s1"), "t1 wrap-up until 12s")
	w.wait(queue.PhoneGrace)
	same(t, "t3's phone does not come back", w.journal("s3"), "t3 off")
}

func (w *world) restored(ids ...call.ID) {
	w.t.Helper()
	for _, id := range ids {
		w.fact(id, call.Restored{Node: "n", Gap: 2 * time.Second})
	}
}

// lost is the end of a leg that a start could not take up.
func lost(l call.Leg) call.Left { return call.Left{Leg: l, By: "node", Why: "restart"} }

// TestPhoneGrace: after a restart a taker whose phone is not heard of goes off, not at once and not with a call.
func TestPhoneGrace(t *testing.T) {
	tests := []struct {
		name   string
		called bool           // t1 was being rung
		play   func(w *world) // since the restart
		want   string         // of s1, since the restart
	}{
		{"a moment before", false, func(w *world) { w.wait(queue.PhoneGrace - time.Millisecond) }, ""},
		{"then off", false, func(w *world) { w.wait(queue.PhoneGrace) }, "t1 off"},
		{"a phone that comes back in time", false, func(w *world) {
			w.wait(queue.PhoneGrace - time.Millisecond)
			w.up("t1")
			w.wait(time.Minute)
		}, ""},
		{"a phone that is gone is not waited for", false, func(w *world) { w.phone(false, "t1") }, "t1 off"},
		{"a leg that leaves in that time does not end it", true, func(w *world) {
			w.fact("c1", leftBy(1, "node"), byNode)
			w.wait(queue.PhoneGrace - time.Millisecond)
		}, ""},
		{"but its end does", true, func(w *world) {
			w.fact("c1", leftBy(1, "node"), byNode)
			w.wait(queue.PhoneGrace)
		}, "t1 off"},
		{"a leg that leaves later ends it at once", true, func(w *world) {
			w.wait(queue.PhoneGrace + time.Second)
			w.fact("c1", leftBy(1, "node"), byNode)
		}, "t1 off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, rules(), nil)
			w.up("t1")
			if tt.called {
				w.arrive("c1", "+621")
			}
			w = w.restart(rules())
			w.step(queue.Tick{})
			if tt.called {
				w.fact("c1", call.Restored{Node: "n"})
			}
			tt.play(w)
			same(t, "shift", w.journal("s1"), tt.want)
		})
	}
}

// TestRestartBetweenLeftAndEnded: the last commit held the last Left but not the Ended.
func TestRestartBetweenLeftAndEnded(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.arrive("c1", "+621")
	w.fact("c1", byCaller)
	w.entries = w.entries[:len(w.entries)-1]
	w = w.restart(rules())
	w.step(queue.Tick{})
	same(t, "c1", w.journal("c1"), "ended abandoned")
}

func TestShift(t *testing.T) {
	tests := []struct {
		name string
		play func(w *world)
		want string // of all shifts
	}{
		{"up and down", func(w *world) {
			w.up("t1")
			w.up("t1") // known already
			w.phone(false, "t1")
			w.phone(false, "t1")
			w.phone(false, "t9")
		}, "s1 t1 ready | s1 t1 off"},
		{"paused stays paused over a new shift", func(w *world) {
			w.up("t1")
			w.must(w.order(queue.Pause, "t1"))
			w.must(w.order(queue.Pause, "t1"))
			w.phone(false, "t1")
			w.up("t1")
			w.arrive("c1", "+621")
			w.must(w.order(queue.Ready, "t1"))
		}, "s1 t1 ready | s1 t1 paused | s1 t1 off | s3 t1 paused | s3 t1 ready"},
		{"a phone that goes in talk ends the shift after the leg", func(w *world) {
			w.up("t1")
			w.arrive("c1", "+621")
			w.talk("c1", 1)
			w.phone(false, "t1")
			w.fact("c1", byCaller, leftBy(1, "desk"))
		}, "s1 t1 ready | s1 t1 off"},
		{"a phone that comes back in talk does not", func(w *world) {
			w.up("t1")
			w.arrive("c1", "+621")
			w.talk("c1", 1)
			w.phone(false, "t1")
			w.up("t1")
			w.fact("c1", byCaller, leftBy(1, "desk"))
		}, "s1 t1 ready | s1 t1 wrap-up until 10s"},
		{"paused in talk stays paused after it", func(w *world) {
			w.up("t1")
			w.arrive("c1", "+621")
			w.talk("c1", 1)
			w.must(w.order(queue.Pause, "t1"))
			w.fact("c1", byCaller, leftBy(1, "desk"))
			w.wait(time.Minute)
		}, "s1 t1 ready | s1 t1 paused"},
		{"ready ends wrap-up", func(w *world) {
			w.up("t1")
			w.arrive("c1", "+621")
			w.talk("c1", 1)
			w.fact("c1", byCaller, leftBy(1, "desk"))
			w.must(w.order(queue.Ready, "t1"))
			w.wait(time.Minute)
		}, "s1 t1 ready | s1 t1 wrap-up until 10s | s1 t1 ready"},
		{"a phone that goes in wrap-up", func(w *world) {
			w.up("t1")
			w.arrive("c1", "+621")
			w.talk("c1", 1)
			w.fact("c1", byCaller, leftBy(1, "desk"))
			w.phone(false, "t1")
			w.wait(time.Minute)
		}, "s1 t1 ready | s1 t1 wrap-up until 10s | s1 t1 off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, rules(), nil)
			tt.play(w)
			var got []string
			for _, e := range w.entries {
				if e.Of.Kind() == call.Shift {
					got = append(got, string(e.Of)+" "+show(e.Event))
				}
			}
			same(t, "shifts", joined(got), tt.want)
		})
	}
}

func joined(words []string) string {
	s := ""
	for i, w := range words {
		if i > 0 {
			s += " | "
		}
		s += w
	}
	return s
}

func TestWrapUpIsNotRung(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.fact("c1", leftBy(1, "taker"), byDesk)
	w.arrive("c2", "+622")
	w.wait(10*time.Second - time.Millisecond)
	same(t, "in wrap-up", w.offers(), "c1:1:t1")
	w.wait(time.Millisecond)
	same(t, "at its end", w.offers(), "c1:1:t1 c2:1:t1")
}

func TestView(t *testing.T) {
	w := newWorld(t, rules(), pranksters(30*time.Second))
	w.up("t1", "t2", "t3")
	w.must(w.order(queue.Pause, "t3"))
	w.arrive("c1", "+621")
	w.fact("c1", call.Answered{Leg: 0}, call.Rang{Leg: 1})
	w.wait(time.Second)
	w.fact("c1", call.Answered{Leg: 1})
	w.arrive("c2", "+622") // rings at t2
	w.arrive("c3", prankster(9))
	w.wait(time.Second)
	w.arrive("c4", "+624")
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	want := &queue.View{
		At: at(2),
		Waiting: []queue.Waiting{
			{ID: "c2", Caller: asserted("+622"), Since: at(1), Ringing: []call.TakerID{"t2"}},
			{ID: "c4", Caller: asserted("+624"), Since: at(2)},
			{ID: "c3", Caller: asserted(prankster(9)), Since: at(1), P: 0.962, HasP: true, Delay: 30 * time.Second},
		},
		Takers: []queue.Taker{
			{ID: "t1", State: call.Ready, Since: at(1), Call: "c1", Talking: true, Rang: at(0), Answered: at(1)},
			{ID: "t2", State: call.Ready, Since: at(1), Call: "c2"},
			{ID: "t3", State: call.Paused, Since: at(0)},
		},
		Totals: queue.Totals{Arrived: 4, Live: 4, Outcomes: map[call.Outcome]uint64{}},
	}
	if diff := cmp.Diff(want, w.desk.View(w.now)); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
}

// A wrap-up that a clock hours ahead journaled lasts no longer than a whole one from the restart.
func TestWrapUpOfAClockAhead(t *testing.T) {
	r := rules()
	w := newWorld(t, r, nil)
	begin := w.now
	d := queue.NewDesk(r, nil)
	d.Apply(call.Entry{Of: "s1", N: 1, At: begin, Event: call.TakerChanged{Taker: "t1", State: call.Ready}})
	d.Apply(call.Entry{Of: "s1", N: 2, At: begin.Add(7 * time.Hour), Event: call.TakerChanged{Taker: "t1", State: call.WrapUp, Until: begin.Add(8 * time.Hour)}})
	d.Step(begin, queue.Phone{Shift: "s2", Who: call.Party{Taker: "t1"}, Up: true})
	out := d.Step(begin.Add(r.Queue.WrapUp), queue.Tick{})
	if len(out.Events) != 1 {
		t.Fatalf("%d entries, want the one that ends the wrap-up", len(out.Events))
	}
	if ev, ok := out.Events[0].Event.(call.TakerChanged); !ok || ev.State != call.Ready {
		t.Errorf("got %+v", out.Events[0].Event)
	}
}
