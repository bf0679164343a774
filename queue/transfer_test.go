package queue_test

import (
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

func TestTransfer(t *testing.T) {
	give := func(w *world) { w.ask("c1", 1, queue.WantTransfer, "t2") }
	given := "offered 2 t2 transfer | role 0 waiting | role 1 waiting"
	rung := `ring c1 2 t2 | mix c1 0=waiting 1=waiting | play c1 0 "music"`
	back := " | role 1 talking | role 0 talking"
	playAsks(t, []askTest{
		{
			"answered", talking, func(w *world) {
				give(w)
				w.fact("c1", call.Rang{Leg: 2}, call.Answered{Leg: 2}, leftBy(1, "desk"), leftBy(2, "taker"), byDesk)
			},
			given + " | rang 2 | answered 2 | role 0 talking | role 2 talking | left 1 desk | left 2 taker | left 0 desk | ended answered",
			rung + " | mix c1 0=talking 1=waiting 2=talking | drop c1 1 200 | drop c1 0 0",
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s", "s2": "t2 ready | t2 wrap-up until 10s"},
		},
		{
			"answered when the giver has gone", talking, func(w *world) {
				give(w)
				w.fact("c1", leftBy(1, "taker"), call.Answered{Leg: 2})
			},
			given + " | left 1 taker | answered 2 | role 0 talking | role 2 talking",
			rung + " | mix c1 0=talking 2=talking",
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s"},
		},
		{
			"declined", talking, func(w *world) {
				give(w)
				w.fact("c1", call.Left{Leg: 2, By: "taker", Code: 486})
			},
			given + " | left 2 taker" + back, rung + " | mix c1 0=talking 1=talking", nil,
		},
		{
			"not answered in time", talking, func(w *world) {
				give(w)
				w.fact("c1", call.Rang{Leg: 2})
				w.wait(15 * time.Second)
				w.fact("c1", call.Answered{Leg: 2}, leftBy(2, "desk")) // an answer that crosses the CANCEL
			},
			given + " | rang 2" + back + " | left 2 desk", rung + " | drop c1 2 408 | mix c1 0=talking 1=talking | drop c1 2 408", nil,
		},
		{
			"no sign of ringing", talking, func(w *world) {
				give(w)
				w.wait(queue.SignTimeout)
			},
			given + back, rung + " | drop c1 2 408 | mix c1 0=talking 1=talking", nil,
		},
		{
			"declined after a hold: he is on hold still", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				give(w)
				w.fact("c1", leftBy(2, "taker"))
				w.ask("c1", 1, queue.WantResume)
			},
			"role 0 waiting | role 1 waiting | offered 2 t2 transfer | left 2 taker" + back,
			`mix c1 0=waiting 1=waiting | play c1 0 "music" | ring c1 2 t2 | mix c1 0=talking 1=talking`, nil,
		},
		{
			"declined when the giver has gone: the old place", talking, func(w *world) {
				give(w)
				w.fact("c1", leftBy(1, "taker"), leftBy(2, "taker"))
			},
			given + " | left 1 taker | left 2 taker | queued 112 passed 0 | offered 3 t3",
			rung + ` | mix c1 0=waiting | play c1 0 "waiting" | ring c1 3 t3`, nil,
		},
		{
			"no sign of ringing, and the giver has gone", talking, func(w *world) {
				give(w)
				w.fact("c1", leftBy(1, "network"))
				w.wait(queue.SignTimeout)
			},
			given + " | left 1 network | queued 112 passed 0 | offered 3 t3",
			rung + ` | drop c1 2 408 | mix c1 0=waiting | play c1 0 "waiting" | ring c1 3 t3`, nil,
		},
		{
			"to nobody, and the giver's phone does not wait for that: the old place", talking, func(w *world) {
				w.ask("c1", 1, queue.WantTransfer, "0811")
				w.wait(time.Second)
				w.fact("c1", leftBy(1, "taker"))
			},
			"left 1 taker | role 0 waiting | queued 112 passed 0 | offered 2 t2",
			`drop c1 2 404 | mix c1 0=waiting | play c1 0 "waiting" | ring c1 2 t2`,
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 11s"},
		},
		{
			"declined before the giver's phone hangs up: the old place", talking, func(w *world) {
				give(w)
				w.fact("c1", call.Left{Leg: 2, By: "taker", Code: 486}, leftBy(1, "taker"))
			},
			given + " | left 2 taker" + back + " | left 1 taker | role 0 waiting | queued 112 passed 0 | offered 3 t3",
			rung + ` | mix c1 0=talking 1=talking | mix c1 0=waiting | play c1 0 "waiting" | ring c1 3 t3`, nil,
		},
		{
			"hung up after it has failed", talking, func(w *world) {
				give(w)
				w.wait(queue.SignTimeout)
				w.fact("c1", leftBy(1, "taker"))
			},
			given + back + " | left 1 taker", rung + " | drop c1 2 408 | mix c1 0=talking 1=talking | drop c1 0 0", nil,
		},
		{
			"the caller hangs up", talking, func(w *world) {
				give(w)
				w.fact("c1", byCaller)
			},
			given + " | left 0 caller", rung + " | drop c1 1 487 | drop c1 2 487", nil,
		},
		{
			"the giver takes the caller back", talking, func(w *world) {
				give(w)
				w.ask("c1", 1, queue.WantResume)
			},
			given + back, rung + " | drop c1 2 487 | mix c1 0=talking 1=talking", nil,
		},
		{
			"a second one is refused", talking, func(w *world) {
				give(w)
				w.ask("c1", 1, queue.WantTransfer, "t3")
			},
			given, rung + " | drop c1 3 486", nil,
		},
		{"to nobody known", talking, func(w *world) { w.ask("c1", 1, queue.WantTransfer, "0811") }, "", "drop c1 2 404", nil},
		{"to himself", talking, func(w *world) { w.ask("c1", 1, queue.WantTransfer, "t1") }, "", "drop c1 2 486", nil},
		{"to one who is off", talking, func(w *world) {
			w.phone(false, "t2")
			w.ask("c1", 1, queue.WantTransfer, "t2")
		}, "", "drop c1 2 480", nil},
		{
			"to one who has a call", talking, func(w *world) {
				w.arrive("c2", "+622")
				w.did()
				w.ask("c1", 1, queue.WantTransfer, "t2")
			},
			"", "drop c1 2 486", nil,
		},
		{"in a consultation", consulting, func(w *world) { w.ask("c1", 1, queue.WantTransfer, "t3") }, "", "drop c1 3 486", nil},
		{"by one who is consulted", consulting, func(w *world) { w.ask("c1", 2, queue.WantTransfer, "t3") }, "", "drop c1 3 403", nil},
	})
}

func TestReplace(t *testing.T) {
	replace := func(w *world) { w.ask("c1", 1, queue.WantReplace) }
	playAsks(t, []askTest{
		{
			"the colleague has the caller", consulting, func(w *world) {
				replace(w)
				w.fact("c1", leftBy(1, "desk"), leftBy(own, "desk"), leftBy(2, "taker"), byDesk)
			},
			"role 65535 waiting | role 0 talking | left 1 desk | left 65535 desk | left 2 taker | left 0 desk | ended answered",
			"mix c1 0=talking 1=waiting 2=talking 65535=waiting | drop c1 1 200 | drop c1 65535 200 | drop c1 0 0",
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s", "s2": "t2 ready | t2 wrap-up until 10s"},
		},
		{
			"he is lost before the legs have left: the old place", consulting, func(w *world) {
				replace(w)
				w.fact("c1", leftBy(2, "network"))
			},
			"role 65535 waiting | role 0 talking | left 2 network | role 0 waiting | queued 112 passed 0 | offered 3 t3",
			"mix c1 0=talking 1=waiting 2=talking 65535=waiting | drop c1 1 200 | drop c1 65535 200 | " +
				`mix c1 0=waiting | play c1 0 "waiting" | ring c1 3 t3`, nil,
		},
		{
			"out of a three-way call", consulting, func(w *world) {
				w.ask("c1", 1, queue.WantResume)
				replace(w)
				w.fact("c1", leftBy(1, "desk"), leftBy(own, "desk"))
			},
			"role 65535 waiting | role 1 talking | role 0 talking | role 1 waiting | left 1 desk | left 65535 desk",
			"mix c1 0=talking 1=talking 2=talking 65535=waiting | mix c1 0=talking 1=waiting 2=talking 65535=waiting | " +
				"drop c1 1 200 | drop c1 65535 200", nil,
		},
		{
			"while the colleague is on hold", consulting, func(w *world) {
				w.ask("c1", own, queue.WantHold)
				w.ask("c1", 1, queue.WantResume)
				w.did()
				w.since("c1")
				replace(w)
			},
			"role 1 waiting | role 2 talking",
			"mix c1 0=talking 1=waiting 2=talking 65535=waiting | drop c1 1 200 | drop c1 65535 200", nil,
		},
		{
			"and he consults in turn", consulting, func(w *world) {
				replace(w)
				w.fact("c1", leftBy(1, "desk"), leftBy(own, "desk"))
				w.since("c1")
				w.dial("c1", own-1, "t2", "t3")
				w.fact("c1", call.Answered{Leg: 3}, call.Answered{Leg: own - 1})
				w.ask("c1", 2, queue.WantReplace)
			},
			"offered 65534 t2 own | offered 3 t3 consult | role 0 waiting | role 2 waiting | answered 3 | answered 65534 | role 3 talking | " +
				"role 65534 talking | role 65534 waiting | role 0 talking",
			`play c1 65534 "" | ring c1 3 t3 | mix c1 0=waiting 2=waiting | play c1 0 "music" | answer c1 65534 | ` +
				"mix c1 0=waiting 2=waiting 3=talking 65534=talking | mix c1 0=talking 2=waiting 3=talking 65534=waiting | " +
				"drop c1 2 200 | drop c1 65534 200", nil,
		},
		{"without a consultation", talking, replace, "", "drop c1 2 481", nil},
		{
			"before it is answered", talking, func(w *world) {
				w.dial("c1", own, "t1", "t2")
				w.did()
				w.since("c1")
				replace(w)
			},
			"", "drop c1 3 481", nil,
		},
		{"by one who is consulted", consulting, func(w *world) { w.ask("c1", 2, queue.WantReplace) }, "", "drop c1 3 481", nil},
	})
}

// TestTransferShowsTheCaller as an offer does; a consultation shows who wants to talk.
func TestTransferShowsTheCaller(t *testing.T) {
	w := talking(t, rules())
	w.wait(42 * time.Second)
	w.ask("c1", 1, queue.WantTransfer, "t2")
	for _, a := range w.actions {
		if r, ok := a.(queue.Ring); ok && r.Leg == 2 && r.Display != "+621 0:42" {
			t.Errorf("a transfer shows %q", r.Display)
		}
	}
	w = talking(t, rules())
	w.dial("c1", own, "t1", "t2")
	if r, ok := w.actions[len(w.actions)-3].(queue.Ring); !ok || r.Display != "t1 konsultasi" {
		t.Errorf("a consultation shows %+v", w.actions[len(w.actions)-3])
	}
}

// TestOccupied: whom a leg of any kind occupies is offered nothing.
func TestOccupied(t *testing.T) {
	w := consulting(t, rules())
	w.phone(false, "t3")
	w.arrive("c2", "+622")
	same(t, "t1 has the caller, t2 is consulted", w.offers(), "c1:1:t1 c1:65535:t1 c1:2:t2")
	w.fact("c1", leftBy(own, "taker"), leftBy(2, "desk"))
	same(t, "t2 is free again", w.offers(), "c1:1:t1 c1:65535:t1 c1:2:t2 c2:1:t2")
}

// TestDisplay is what a taker's phone shows of the caller.
func TestDisplay(t *testing.T) {
	tests := []struct {
		caller call.Caller
		wait   time.Duration
		want   string
	}{
		{asserted("+628115550001"), 42 * time.Second, "+628115550001 0:42"},
		{asserted(prankster(9)), 0, prankster(9) + " 0:00 9/10"},
		{asserted(prankster(0)), 61*time.Minute + 1999*time.Millisecond, prankster(0) + " 1:01:01 7/10"},
		{call.Caller{Number: "+621", Trust: call.Claimed}, 59*time.Minute + 59*time.Second, "+621 59:59"},
		{call.Caller{Trust: call.None}, 42 * time.Second, "tersembunyi 0:42"},
		{call.Caller{Number: "anonymous", Trust: call.None}, 0, "tersembunyi 0:00"},
	}
	for _, tt := range tests {
		w := newWorld(t, rules(), pranksters(0))
		w.fact("c1", call.Arrived{Caller: tt.caller})
		w.wait(tt.wait)
		w.up("t1")
		if ring, ok := w.actions[len(w.actions)-1].(queue.Ring); !ok || ring.Display != tt.want {
			t.Errorf("%+v is shown as %+v, want %q", tt.caller, w.actions[len(w.actions)-1], tt.want)
		}
	}
}
