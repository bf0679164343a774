package queue_test

import (
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

var (
	byCaller  = call.Left{Leg: 0, By: "caller"}
	byNetwork = call.Left{Leg: 0, By: "network"}
	byDesk    = call.Left{Leg: 0, By: "desk"}
	byNode    = call.Left{Leg: 0, By: "node"}
)

func leftBy(l call.Leg, by string) call.Left { return call.Left{Leg: l, By: by} }

// TestCall plays whole calls of one or two takers and compares the journal and the actions.
func TestCall(t *testing.T) {
	tests := []struct {
		name    string
		rules   queue.Rules
		play    func(w *world)
		journal string // of c1
		did     string
		shift   string // of s1
	}{
		{
			name:  "the common call",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.talk("c1", 1)
				w.wait(20 * time.Second)
				w.fact("c1", leftBy(1, "taker"), byDesk)
				w.wait(time.Minute)
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | rang 1 | answered 1 | role 0 talking | " +
				"role 1 talking | left 1 taker | left 0 desk | ended answered",
			did:   `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | mix c1 0=talking 1=talking | drop c1 0 0`,
			shift: "t1 ready | t1 wrap-up until 30s | t1 ready",
		},
		{
			name:  "the caller hangs up in talk",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.talk("c1", 1)
				w.fact("c1", byCaller, leftBy(1, "desk"))
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | rang 1 | answered 1 | role 0 talking | " +
				"role 1 talking | left 0 caller | left 1 desk | ended answered",
			did:   `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | mix c1 0=talking 1=talking | drop c1 1 487`,
			shift: "t1 ready | t1 wrap-up until 10s",
		},
		{
			name:  "mode taker",
			rules: rules(byTaker, noWrapUp),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", call.Rang{Leg: 1}, call.Answered{Leg: 1}, call.Answered{Leg: 0})
				w.fact("c1", leftBy(1, "taker"), byDesk)
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | rang 1 | answered 1 | role 0 talking | role 1 talking | " +
				"answered 0 | left 1 taker | left 0 desk | ended answered",
			did:   `play c1 0 "" | ring c1 1 t1 | answer c1 | mix c1 0=talking 1=talking | drop c1 0 0`,
			shift: "t1 ready | t1 ready",
		},
		{
			name:  "mode taker, CANCEL against the 200",
			rules: rules(byTaker),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", call.Rang{Leg: 1}, call.Answered{Leg: 1}, byCaller, leftBy(1, "desk"))
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | rang 1 | answered 1 | role 0 talking | role 1 talking | " +
				"left 0 caller | left 1 desk | ended abandoned",
			did:   `play c1 0 "" | ring c1 1 t1 | answer c1 | mix c1 0=talking 1=talking | drop c1 1 487`,
			shift: "t1 ready | t1 wrap-up until 10s",
		},
		{
			name:  "mode taker, the taker hangs up before our 200",
			rules: rules(byTaker),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", call.Answered{Leg: 1}, leftBy(1, "taker"), byDesk)
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 1 | role 0 talking | role 1 talking | left 1 taker | " +
				"left 0 desk | ended failed",
			did:   `play c1 0 "" | ring c1 1 t1 | answer c1 | mix c1 0=talking 1=talking | drop c1 0 480`,
			shift: "t1 ready | t1 wrap-up until 10s",
		},
		{
			name:  "abandoned while it rings",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", call.Answered{Leg: 0}, byCaller, leftBy(1, "desk"))
				w.arrive("c2", "+622") // no cool-down: he has declined nothing
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | left 0 caller | left 1 desk | ended abandoned",
			did: `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | drop c1 1 487 | answer c2 | play c2 0 "waiting" | ` +
				`ring c2 1 t1`,
			shift: "t1 ready",
		},
		{
			name:  "the connection breaks while it waits",
			rules: rules(),
			play: func(w *world) {
				w.arrive("c1", "+621")
				w.fact("c1", call.Answered{Leg: 0}, byNetwork)
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | answered 0 | left 0 network | ended failed",
			did:     `answer c1 | play c1 0 "waiting"`,
		},
		{
			name:  "rejected by the line",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.fact("c1", call.Arrived{Reject: 404}, byDesk)
			},
			journal: "arrived reject 404 | left 0 desk | ended rejected",
			did:     "drop c1 0 404",
			shift:   "t1 ready",
		},
		{
			name:  "a test call rings nobody",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.fact("c1", call.Arrived{Test: true}, call.Answered{Leg: 0})
				w.wait(queue.TestTime)
				w.fact("c1", byDesk)
			},
			journal: "arrived | answered 0 | left 0 desk | ended test",
			did:     `answer c1 | play c1 0 "waiting" | drop c1 0 0`,
			shift:   "t1 ready",
		},
		{
			name:  "the taker's connection breaks: the caller waits again at the old place",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.talk("c1", 1)
				w.arrive("c2", "+622")
				w.fact("c1", leftBy(1, "network"))
				w.up("t2")
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | rang 1 | answered 1 | role 0 talking | " +
				"role 1 talking | left 1 network | role 0 waiting | queued 112 passed 0 | offered 2 t2",
			did: `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | mix c1 0=talking 1=talking | answer c2 | play c2 0 "waiting" | ` +
				`mix c1 0=waiting | play c1 0 "waiting" | ring c1 2 t2`,
			shift: "t1 ready | t1 wrap-up until 10s",
		},
		{
			name:  "requeued, then abandoned: a human had answered",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.talk("c1", 1)
				w.fact("c1", leftBy(1, "node"), byCaller)
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | rang 1 | answered 1 | role 0 talking | " +
				"role 1 talking | left 1 node | role 0 waiting | queued 112 passed 0 | left 0 caller | ended answered",
			did: `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | mix c1 0=talking 1=talking | mix c1 0=waiting | ` +
				`play c1 0 "waiting"`,
			shift: "t1 ready | t1 wrap-up until 10s",
		},
		{
			name:  "both hang up at once",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.talk("c1", 1)
				w.fact("c1", leftBy(1, "taker"), byCaller, byNode) // the line's answer to our Drop
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | rang 1 | answered 1 | role 0 talking | " +
				"role 1 talking | left 1 taker | left 0 caller | ended answered",
			did:   `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | mix c1 0=talking 1=talking | drop c1 0 0`,
			shift: "t1 ready | t1 wrap-up until 10s",
		},
		{
			name:  "two takers answer at once: one bridge",
			rules: rules(ringAll),
			play: func(w *world) {
				w.up("t1", "t2")
				w.arrive("c1", "+621")
				w.fact("c1", call.Answered{Leg: 0}, call.Answered{Leg: 2}, call.Answered{Leg: 1}, leftBy(1, "desk"))
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | offered 2 t2 | answered 0 | answered 2 | role 0 talking | " +
				"role 2 talking | answered 1 | left 1 desk",
			did: `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | ring c1 2 t2 | mix c1 0=talking 2=talking | drop c1 1 200 | ` +
				`drop c1 1 200`,
			shift: "t1 ready",
		},
		{
			name:  "an answer that crosses the CANCEL gets nobody",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.wait(queue.SignTimeout)
				w.fact("c1", call.Answered{Leg: 1}, leftBy(1, "desk"))
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | left 1 desk",
			did:     `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | drop c1 1 408 | drop c1 1 408`,
			shift:   "t1 ready | t1 ready no answer",
		},
		{
			name:  "an answer after the caller has gone",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", byCaller, call.Answered{Leg: 1}, leftBy(1, "desk"))
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | left 0 caller | left 1 desk | ended abandoned",
			did:     `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | drop c1 1 487 | drop c1 1 487`,
			shift:   "t1 ready",
		},
		{
			name:  "a leg that does not go is dropped again",
			rules: rules(),
			play: func(w *world) {
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", byCaller)
				w.wait(2*queue.DropAgain + time.Second)
				w.fact("c1", leftBy(1, "desk"))
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | left 0 caller | left 1 desk | ended abandoned",
			did:     `answer c1 | play c1 0 "waiting" | ring c1 1 t1 | drop c1 1 487 | drop c1 1 487 | drop c1 1 487`,
			shift:   "t1 ready",
		},
		{
			name:  "keys are heard, of who is there",
			rules: rules(),
			play: func(w *world) {
				w.arrive("c1", "+621")
				w.fact("c1", call.Heard{Leg: 0, What: "dtmf:1"}, call.Heard{Leg: 1, What: "dtmf:2"}, byCaller)
			},
			journal: "arrived | scored unknown | queued 112 passed 0 | heard 0 dtmf:1 | left 0 caller | ended abandoned",
			did:     `answer c1 | play c1 0 "waiting"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.rules, nil)
			tt.play(w)
			same(t, "journal", w.journal("c1"), tt.journal)
			same(t, "actions", w.did(), tt.did)
			same(t, "shift", w.journal("s1"), tt.shift)
		})
	}
}

// TestGolden is the journal of the common call, with the numbers, subject by subject.
func TestGolden(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	next := map[call.ID]uint32{}
	for _, e := range w.entries {
		next[e.Of]++
		if e.N != next[e.Of] {
			t.Errorf("%s %s has number %d, want %d", e.Of, show(e.Event), e.N, next[e.Of])
		}
		if !e.At.Equal(start) || e.At.Location() != time.UTC {
			t.Errorf("%s %s is at %s, want %s", e.Of, show(e.Event), e.At, start)
		}
	}
}

func TestNoSign(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1", "t2")
	w.arrive("c1", "+621")
	w.wait(queue.SignTimeout - time.Millisecond)
	same(t, "before", w.offers(), "c1:1:t1")
	w.wait(time.Millisecond)
	same(t, "passed over", w.offers(), "c1:1:t1 c1:2:t2")
	w.fact("c1", call.Rang{Leg: 2})
	w.wait(15*time.Second - time.Millisecond)
	same(t, "it rings", w.offers(), "c1:1:t1 c1:2:t2") // t1 is occupied until the leg has left
	w.fact("c1", leftBy(1, "desk"))
	w.wait(time.Millisecond)
	same(t, "rings at nobody's: t1 cools down", w.offers(), "c1:1:t1 c1:2:t2")
	w.wait(5 * time.Second)
	same(t, "and is offered it then", w.offers(), "c1:1:t1 c1:2:t2 c1:3:t1")
}

func TestCoolDown(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	for range 10 { // a phone that always says busy
		w.fact("c1", leftBy(w.lastLeg("c1"), "taker"))
	}
	same(t, "at once", w.offers(), "c1:1:t1")
	w.wait(queue.CoolDown)
	same(t, "after the cool-down", w.offers(), "c1:1:t1 c1:2:t1")
}

func (w *world) lastLeg(id call.ID) call.Leg {
	var l call.Leg
	for _, e := range w.entries {
		if o, ok := e.Event.(call.Offered); ok && e.Of == id {
			l = o.Leg
		}
	}
	return l
}

// TestCoolDownOutlivesAPause: the reminder of a cool-down is not lost over a pause or a new shift.
func TestCoolDownOutlivesAPause(t *testing.T) {
	for _, name := range []string{"pause", "shift"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rules(), nil)
			w.up("t1")
			w.arrive("c1", "+621")
			w.fact("c1", leftBy(1, "taker"))
			if name == "pause" {
				w.must(w.order(queue.Pause, "t1"))
				w.step(queue.Tick{})
				w.must(w.order(queue.Ready, "t1"))
			} else {
				w.phone(false, "t1")
				w.step(queue.Tick{})
				w.up("t1")
			}
			w.wait(queue.CoolDown)
			same(t, "offers", w.offers(), "c1:1:t1 c1:2:t1")
		})
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestNotTwiceInARow(t *testing.T) {
	w := newWorld(t, rules(noWrapUp), nil)
	w.up("t1")
	w.wait(time.Second)
	w.up("t2")
	w.arrive("c1", "+621")                              // at t1, who is idle longest
	w.fact("c1", leftBy(1, "taker"), call.Rang{Leg: 2}) // declined: t2
	w.arrive("c2", "+622")
	w.wait(queue.CoolDown) // c2 at t1
	w.fact("c1", leftBy(2, "taker"))
	w.fact("c2", leftBy(1, "taker"))
	w.wait(queue.CoolDown) // both are ready again, t1 first by name
	same(t, "offers", w.offers(), "c1:1:t1 c1:2:t2 c2:1:t1 c1:3:t1 c2:2:t2")
}

func TestLongestIdle(t *testing.T) {
	w := newWorld(t, rules(noWrapUp), nil)
	w.up("t3", "t1") // at the same time: by name
	w.wait(time.Second)
	w.up("t2")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.wait(time.Second)
	w.fact("c1", leftBy(1, "taker"), byDesk) // t1 is idle since now
	for _, id := range []call.ID{"c2", "c3", "c4"} {
		w.arrive(id, "+622")
	}
	same(t, "offers", w.offers(), "c1:1:t1 c2:1:t3 c3:1:t2 c4:1:t1")
}

func TestRingAllJoins(t *testing.T) {
	w := newWorld(t, rules(ringAll), nil)
	w.up("t1", "t2")
	w.arrive("c1", "+621")
	w.arrive("c2", "+622")
	w.up("t3") // first a call that rings nowhere
	w.arrive("c3", "+623")
	w.fact("c2", byCaller, leftBy(1, "desk"))
	same(t, "t3 is free for c3", w.offers(), "c1:1:t1 c1:2:t2 c2:1:t3 c3:1:t3")
	w.fact("c3", byCaller, leftBy(1, "desk")) // then the first that rings elsewhere
	same(t, "t3 joins", w.offers(), "c1:1:t1 c1:2:t2 c2:1:t3 c3:1:t3 c1:3:t3")
}

func TestOrderOfServing(t *testing.T) {
	tests := []struct {
		name string
		play func(w *world)
		want string
	}{
		{"by arrival", func(w *world) {
			w.arrive("c1", "+621")
			w.wait(time.Second)
			w.arrive("c2", "+622")
			w.up("t1", "t2")
		}, "c1:1:t1 c2:1:t2"},
		{"a prankster gives way", func(w *world) {
			w.arrive("c1", prankster(9))
			w.wait(10 * time.Second)
			w.arrive("c2", "+622")
			w.up("t1", "t2")
		}, "c2:1:t1 c1:1:t2"},
		{"not for longer than the delay", func(w *world) {
			w.arrive("c1", prankster(9))
			w.wait(31 * time.Second)
			w.arrive("c2", "+622")
			w.up("t1", "t2")
		}, "c1:1:t1 c2:1:t2"},
		{"not when nobody else waits", func(w *world) {
			w.up("t1")
			w.arrive("c1", prankster(9))
		}, "c1:1:t1"},
		{"three times at most", func(w *world) {
			w.arrive("c1", prankster(9))
			w.wait(time.Second)
			for _, id := range []call.ID{"c2", "c3", "c4", "c5"} {
				w.arrive(id, "+622")
			}
			w.up("t1", "t2", "t3", "t4", "t5")
		}, "c2:1:t1 c3:1:t2 c4:1:t3 c1:1:t4 c5:1:t5"},
		{"nobody passes who waited a minute", func(w *world) {
			w.arrive("c1", prankster(9)) // place 0 s, key 60 s
			w.wait(29 * time.Second)
			w.arrive("c2", prankster(9))
			w.wait(queue.Patience - 29*time.Second)
			w.arrive("c3", "+622")
			w.up("t1", "t2", "t3")
		}, "c1:1:t1 c2:1:t2 c3:1:t3"},
		{"a declined offer keeps the place", func(w *world) {
			w.up("t1")
			w.arrive("c1", "+621")
			w.arrive("c2", "+622")
			w.fact("c1", leftBy(1, "taker"))
			w.up("t2")
		}, "c1:1:t1 c1:2:t2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, rules(), pranksters(30*time.Second))
			tt.play(w)
			same(t, "offers", w.offers(), tt.want)
		})
	}
}

func TestPassedIsJournaled(t *testing.T) {
	w := newWorld(t, rules(), pranksters(30*time.Second))
	w.arrive("c1", prankster(9))
	w.wait(time.Second)
	for _, id := range []call.ID{"c2", "c3", "c4"} {
		w.arrive(id, "+622")
	}
	w.up("t1", "t2", "t3")
	same(t, "journal", w.journal("c1"), "arrived | scored 0.962 30s | queued 112 passed 0 | queued 112 passed 1 | queued 112 passed 2 | queued 112 passed 3")
}

func TestTooManyCalls(t *testing.T) {
	w := newWorld(t, rules(func(r *queue.Rules) { r.MaxCalls = 2 }), nil)
	w.fact("c0", call.Arrived{Reject: 404}) // takes no place
	w.arrive("c1", "+621")
	w.arrive("c2", "+622")
	w.arrive("c3", "+623")
	w.fact("c3", byDesk)
	same(t, "c3", w.journal("c3"), "arrived reject 503 | left 0 desk | ended refused")
	w.fact("c1", byCaller)
	w.arrive("c4", "+624")
	same(t, "c4", w.journal("c4"), "arrived | scored unknown | queued 112 passed 0")
}
