package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

const own = call.Leg(65535) // the first leg that a phone dials into a call

func (w *world) ask(of call.ID, l call.Leg, want string, uri ...string) {
	w.t.Helper()
	a := queue.Ask{Of: of, Leg: l, Want: want}
	if len(uri) > 0 {
		a.To.URI = uri[0]
	}
	w.step(a)
}

// dial is a taker's own INVITE, in a call or as an act.
func (w *world) dial(of call.ID, l call.Leg, who call.TakerID, number string) {
	w.t.Helper()
	w.acts++
	w.step(queue.Ask{
		ID: call.ID(fmt.Sprintf("a%d", w.acts)), Of: of, Leg: l, Want: queue.WantDial, To: call.Party{Taker: who, URI: number},
	})
}

// talking is a world where t1 talks with the caller of c1, and t2 and t3 are ready.
func talking(t *testing.T, r queue.Rules) *world {
	t.Helper()
	w := newWorld(t, r, nil)
	w.up("t1")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.up("t2", "t3")
	w.since("c1")
	return w
}

// since forgets what was written of a call and done so far.
func (w *world) since(of call.ID) {
	w.did()
	for _, e := range w.entries {
		if e.Of == of {
			w.from = e.N
		}
	}
}

// consulting is a world where t1, who has the caller of c1, has held him and talks with t2.
func consulting(t *testing.T, r queue.Rules) *world {
	t.Helper()
	w := talking(t, r)
	w.ask("c1", 1, queue.WantHold)
	w.dial("c1", own, "t1", "t2")
	w.fact("c1", call.Rang{Leg: 2}, call.Answered{Leg: 2}, call.Answered{Leg: own})
	w.since("c1")
	return w
}

// askTest begins where t1 talks with the caller, or where he consults t2 too.
type askTest struct {
	name    string
	begin   func(*testing.T, queue.Rules) *world
	play    func(w *world)
	journal string // of c1, since then
	did     string // since then
	shifts  map[call.ID]string
}

func playAsks(t *testing.T, tests []askTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.begin(t, rules())
			tt.play(w)
			same(t, "journal", w.journal("c1"), tt.journal)
			same(t, "actions", w.did(), tt.did)
			for id, want := range tt.shifts {
				from := w.from
				w.from = 0
				same(t, string(id), w.journal(id), want)
				w.from = from
			}
		})
	}
}

func TestHold(t *testing.T) {
	playAsks(t, []askTest{
		{
			"hold and resume, each told twice", talking, func(w *world) {
				for _, want := range []string{queue.WantHold, queue.WantHold, queue.WantResume, queue.WantResume} {
					w.ask("c1", 1, want)
				}
			},
			"role 0 waiting | role 1 waiting | role 1 talking | role 0 talking",
			`mix c1 0=waiting 1=waiting | play c1 0 "music" | mix c1 0=talking 1=talking`, nil,
		},
		{
			"a taker who hangs up on hold ends the call", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.fact("c1", leftBy(1, "taker"), byDesk)
			},
			"role 0 waiting | role 1 waiting | left 1 taker | left 0 desk | ended answered",
			`mix c1 0=waiting 1=waiting | play c1 0 "music" | drop c1 0 0`,
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s"},
		},
		{
			"one who is lost on hold does not", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.fact("c1", leftBy(1, "network"))
			},
			"role 0 waiting | role 1 waiting | left 1 network | queued 112 passed 0 | offered 2 t2",
			`mix c1 0=waiting 1=waiting | play c1 0 "music" | mix c1 0=waiting | play c1 0 "waiting" | ring c1 2 t2`, nil,
		},
	})
}

func TestConsultation(t *testing.T) {
	held := `mix c1 0=waiting 1=waiting | play c1 0 "music"`
	playAsks(t, []askTest{
		{
			"of a phone that holds first", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "t2")
				w.fact("c1", call.Rang{Leg: 2}, call.Answered{Leg: 2}, call.Answered{Leg: own}, leftBy(own, "taker"), leftBy(2, "desk"))
				w.ask("c1", 1, queue.WantResume)
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | offered 2 t2 consult | rang 2 | answered 2 | answered 65535 | " +
				"role 2 talking | role 65535 talking | left 65535 taker | left 2 desk | role 1 talking | role 0 talking",
			held + ` | play c1 65535 "" | ring c1 2 t2 | answer c1 65535 | mix c1 0=waiting 1=waiting 2=talking 65535=talking | ` +
				`drop c1 2 0 | mix c1 0=talking 1=talking`,
			map[call.ID]string{"s2": "t2 ready"}, // one who only consulted has nothing to write down
		},
		{
			"of one that does not: the desk holds for it, and gives the caller back", talking, func(w *world) {
				w.dial("c1", own, "t1", "t2")
				w.fact("c1", call.Answered{Leg: 2}, call.Answered{Leg: own}, leftBy(2, "taker"), leftBy(own, "desk"))
			},
			"offered 65535 t1 own | offered 2 t2 consult | role 0 waiting | role 1 waiting | answered 2 | answered 65535 | " +
				"role 2 talking | role 65535 talking | left 2 taker | role 1 talking | role 0 talking | left 65535 desk",
			`play c1 65535 "" | ring c1 2 t2 | ` + held + ` | answer c1 65535 | mix c1 0=waiting 1=waiting 2=talking 65535=talking | ` +
				`drop c1 65535 0 | mix c1 0=talking 1=talking`, nil,
		},
		{
			"not answered in time", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "t2")
				w.fact("c1", call.Rang{Leg: 2})
				w.wait(15 * time.Second)
				w.fact("c1", leftBy(own, "desk"), leftBy(2, "desk"))
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | offered 2 t2 consult | rang 2 | left 65535 desk | left 2 desk",
			held + ` | play c1 65535 "" | ring c1 2 t2 | drop c1 2 408 | drop c1 65535 480`, nil,
		},
		{
			"no sign of ringing", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "t2")
				w.wait(queue.SignTimeout)
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | offered 2 t2 consult",
			held + ` | play c1 65535 "" | ring c1 2 t2 | drop c1 2 408 | drop c1 65535 480`, nil,
		},
		{
			"rejected as busy", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "t2")
				w.fact("c1", call.Left{Leg: 2, By: "taker", Code: 486})
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | offered 2 t2 consult | left 2 taker",
			held + ` | play c1 65535 "" | ring c1 2 t2 | drop c1 65535 486`, nil,
		},
		{
			"given up while it rings", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "t2")
				w.fact("c1", leftBy(own, "taker"), call.Answered{Leg: 2}, leftBy(2, "desk")) // an answer that crosses the CANCEL
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | offered 2 t2 consult | left 65535 taker | left 2 desk",
			held + ` | play c1 65535 "" | ring c1 2 t2 | drop c1 2 487 | drop c1 2 487`, nil,
		},
		{
			"the caller hangs up in it", consulting, func(w *world) { w.fact("c1", byCaller) },
			"left 0 caller", "drop c1 1 487 | drop c1 2 487 | drop c1 65535 0", nil,
		},
		{
			"the taker hangs up the caller in it", consulting, func(w *world) { w.fact("c1", leftBy(1, "taker")) },
			"left 1 taker", "drop c1 0 0 | drop c1 2 0 | drop c1 65535 0", nil,
		},
		{
			"the taker is lost in it", consulting, func(w *world) { w.fact("c1", leftBy(1, "network")) },
			"left 1 network | queued 112 passed 0 | offered 3 t3",
			`drop c1 2 0 | drop c1 65535 0 | mix c1 0=waiting | play c1 0 "waiting" | ring c1 3 t3`, nil,
		},
		{
			"the colleague's phone holds", consulting, func(w *world) {
				w.ask("c1", 2, queue.WantHold)
				w.ask("c1", 2, queue.WantResume)
			},
			"role 65535 waiting | role 2 waiting | role 2 talking | role 65535 talking",
			`mix c1 0=waiting 1=waiting 2=waiting 65535=waiting | play c1 65535 "music" | mix c1 0=waiting 1=waiting 2=talking 65535=talking`, nil,
		},
	})
}

// TestConsultationRefused: with whom nobody can talk now is an answer of the phone's, not a matter for the ledger.
func TestConsultationRefused(t *testing.T) {
	tests := []struct {
		name string
		play func(w *world)
		who  string
		code int
	}{
		{"in a call", func(w *world) { w.arrive("c2", "+622") }, "t2", 486},
		{"himself", func(*world) {}, "t1", 486},
		{"off", func(w *world) { w.phone(false, "t2") }, "t2", 480},
		{"never seen", func(*world) {}, "t9", 403},
		{"a second one", func(w *world) { w.dial("c1", own-1, "t1", "t2") }, "t3", 486},
		{"while a transfer rings", func(w *world) { w.ask("c1", 1, queue.WantTransfer, "t2") }, "t3", 486},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := talking(t, rules())
			tt.play(w)
			w.since("c1")
			w.dial("c1", own, "t1", tt.who)
			same(t, "actions", w.did(), fmt.Sprintf("drop c1 65535 %d", tt.code))
			same(t, "journal", w.journal("c1"), "")
			w.fact("c1", leftBy(own, "desk"))
			if n := w.desk.Asides(); n != 0 {
				t.Errorf("%d legs are left", n)
			}
		})
	}
	for _, s := range []string{"paused", "wrap-up"} {
		t.Run("not refused: "+s, func(t *testing.T) {
			w := talking(t, rules())
			w.must(w.order(queue.Pause, "t2"))
			w.dial("c1", own, "t1", "t2")
			same(t, "offers", w.offers(), "c1:1:t1 c1:65535:t1 c1:2:t2")
		})
	}
}

func TestThreeWay(t *testing.T) {
	joined := "role 65535 waiting | role 1 talking | role 0 talking"
	mixed := "mix c1 0=talking 1=talking 2=talking 65535=waiting"
	join := func(w *world) { w.ask("c1", 1, queue.WantResume) }
	playAsks(t, []askTest{
		{"joined", consulting, join, joined, mixed, nil},
		{
			"the taker leaves, by one leg and the other", consulting, func(w *world) {
				join(w)
				w.fact("c1", leftBy(1, "taker"), leftBy(own, "taker"), leftBy(2, "taker"), byDesk)
			},
			joined + " | left 1 taker | left 65535 taker | left 2 taker | left 0 desk | ended answered",
			mixed + " | drop c1 65535 0 | drop c1 0 0",
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s", "s2": "t2 ready | t2 wrap-up until 10s"},
		},
		{
			"and the other way round", consulting, func(w *world) {
				join(w)
				w.fact("c1", leftBy(own, "taker"), leftBy(1, "taker"), leftBy(2, "taker"))
			},
			joined + " | left 65535 taker | left 1 taker | left 2 taker", mixed + " | drop c1 0 0",
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s"},
		},
		{
			"the taker is lost", consulting, func(w *world) {
				join(w)
				w.fact("c1", leftBy(1, "network"))
			},
			joined + " | left 1 network", mixed + " | drop c1 65535 0", nil,
		},
		{
			"the colleague leaves", consulting, func(w *world) {
				join(w)
				w.fact("c1", leftBy(2, "taker"), leftBy(own, "desk"))
			},
			joined + " | left 2 taker | left 65535 desk", mixed + " | drop c1 65535 0",
			map[call.ID]string{"s2": "t2 ready | t2 wrap-up until 10s"},
		},
		{
			"the caller leaves", consulting, func(w *world) {
				join(w)
				w.fact("c1", byCaller)
			},
			joined + " | left 0 caller", mixed + " | drop c1 1 487 | drop c1 2 487 | drop c1 65535 0", nil,
		},
		{
			"swapped, and back", consulting, func(w *world) {
				w.ask("c1", own, queue.WantHold)
				w.ask("c1", 1, queue.WantResume)
				w.ask("c1", 1, queue.WantHold)
				w.ask("c1", own, queue.WantResume)
			},
			"role 65535 waiting | role 2 waiting | role 1 talking | role 0 talking | role 0 waiting | role 1 waiting | role 2 talking | " +
				"role 65535 talking",
			`mix c1 0=waiting 1=waiting 2=waiting 65535=waiting | play c1 2 "music" | mix c1 0=talking 1=talking 2=waiting 65535=waiting | ` +
				`mix c1 0=waiting 1=waiting 2=waiting 65535=waiting | play c1 0 "music" | mix c1 0=waiting 1=waiting 2=talking 65535=talking`, nil,
		},
		{
			"the colleague is taken out by hold, and back", consulting, func(w *world) {
				join(w)
				w.ask("c1", own, queue.WantHold)
				w.ask("c1", own, queue.WantResume)
			},
			joined + " | role 2 waiting | role 2 talking",
			mixed + ` | mix c1 0=talking 1=talking 2=waiting 65535=waiting | play c1 2 "music" | ` + mixed, nil,
		},
		{
			"private again by hold of the caller", consulting, func(w *world) {
				join(w)
				w.ask("c1", 1, queue.WantHold)
			},
			joined + " | role 0 waiting | role 1 waiting | role 65535 talking",
			mixed + ` | mix c1 0=waiting 1=waiting 2=talking 65535=talking | play c1 0 "music"`, nil,
		},
		{
			"the own leg ends, then the caller is held", consulting, func(w *world) {
				join(w)
				w.fact("c1", leftBy(own, "taker"))
				w.ask("c1", 1, queue.WantHold)
			},
			joined + " | left 65535 taker | role 0 waiting | role 1 waiting | role 2 waiting",
			mixed + ` | mix c1 0=waiting 1=waiting 2=waiting | play c1 0 "music" | play c1 2 "music"`, nil,
		},
		{
			"the taker takes the caller back while it rings", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "t2")
				w.ask("c1", 1, queue.WantResume)
				w.fact("c1", call.Answered{Leg: 2}, call.Answered{Leg: own})
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | offered 2 t2 consult | role 1 talking | role 0 talking | answered 2 | " +
				"answered 65535 | role 2 talking",
			`mix c1 0=waiting 1=waiting | play c1 0 "music" | play c1 65535 "" | ring c1 2 t2 | mix c1 0=talking 1=talking | ` +
				`answer c1 65535 | ` + mixed, nil,
		},
	})
}

// TestStrayAsks: what makes no sense changes nothing.
func TestStrayAsks(t *testing.T) {
	w := talking(t, rules())
	w.arrive("c2", "+622") // rings at t2
	w.since("c1")
	before := w.desk.View(w.now).Strays
	asks := []queue.Ask{
		{Of: "c1", Leg: 1, Want: "dance"},
		{Of: "c9", Leg: 1, Want: queue.WantHold},
		{Of: "c1", Leg: 0, Want: queue.WantHold},
		{Of: "c1", Leg: 7, Want: queue.WantResume},
		{Of: "c2", Leg: 1, Want: queue.WantHold},
		{Of: "c2", Leg: 1, Want: queue.WantTransfer},
		{Of: "c1", Leg: 1, Want: queue.WantPlayed},
		{Of: "a9", Leg: 0, Want: queue.WantPlayed},
		{Of: "c1", Leg: 5, Want: queue.WantDial, To: call.Party{Taker: "t1", URI: "*4"}},
		{Of: "a1", Leg: 5, Want: queue.WantDial, To: call.Party{Taker: "t1", URI: "*4"}},
		{Of: "s1", Want: queue.WantDial, To: call.Party{Taker: "t1", URI: "*4"}},
	}
	for _, a := range asks {
		w.step(a)
	}
	if got := w.desk.View(w.now).Strays - before; got != uint64(len(asks)) {
		t.Errorf("%d asks counted as ignored, want %d", got, len(asks))
	}
	same(t, "actions", w.did(), "")
	same(t, "journal", w.journal("c1"), "")
}
