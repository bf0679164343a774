package queue_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// again restarts the world; the line has said nothing yet.
func (w *world) again(calls ...call.ID) *world {
	w.t.Helper()
	after := w.restart(rules())
	after.phone(true, "t1", "t2", "t3")
	after.restored(calls...)
	after.did()
	return after
}

// TestResume is what a start tells the line of a call in each state, and writes, when the line could take every answered leg up
// and says what phones hold.
func TestResume(t *testing.T) {
	tests := []struct {
		name    string
		play    func(t *testing.T) *world
		line    func(w *world) // what it tells before the Tick
		did     string
		journal string // since Restored
	}{
		{
			"on hold", func(t *testing.T) *world {
				w := talking(t, rules())
				w.ask("c1", 1, queue.WantHold)
				return w
			}, nil,
			`mix c1 0=waiting 1=waiting | play c1 0 "music"`, "",
		},
		{
			"asking a colleague", func(t *testing.T) *world { return consulting(t, rules()) }, nil,
			`mix c1 0=waiting 1=waiting 2=talking 65535=talking | play c1 0 "music"`, "",
		},
		{
			"a colleague's phone rings", func(t *testing.T) *world {
				w := talking(t, rules())
				w.dial("c1", own, "t1", "t2")
				return w
			},
			func(w *world) { w.fact("c1", lost(2)) },
			`ring c1 3 t2 | play c1 65535 "" | mix c1 0=waiting 1=waiting | play c1 0 "music"`,
			"left 2 node | offered 3 t2 consult",
		},
		{
			"he has answered, and our 200 has not gone", func(t *testing.T) *world {
				w := talking(t, rules())
				w.dial("c1", own, "t1", "t2")
				w.fact("c1", call.Answered{Leg: 2})
				return w
			}, nil,
			`answer c1 65535 | mix c1 0=waiting 1=waiting 2=waiting | play c1 0 "music" | play c1 2 "music"`, "",
		},
		{
			"the swap", func(t *testing.T) *world {
				w := consulting(t, rules())
				w.ask("c1", own, queue.WantHold)
				w.ask("c1", 1, queue.WantResume)
				return w
			},
			func(w *world) { w.ask("c1", own, queue.WantHold) },
			`mix c1 0=talking 1=talking 2=waiting 65535=waiting | play c1 2 "music"`, "",
		},
		{
			"three talk, and his own leg has left", func(t *testing.T) *world {
				w := consulting(t, rules())
				w.ask("c1", 1, queue.WantResume)
				w.fact("c1", leftBy(own, "taker"))
				return w
			}, nil,
			`mix c1 0=talking 1=talking 2=talking`, "",
		},
		{
			"a consultation that is over, its last BYE not confirmed", func(t *testing.T) *world {
				w := consulting(t, rules())
				w.fact("c1", leftBy(own, "taker"))
				w.ask("c1", 1, queue.WantResume)
				return w
			}, nil,
			`drop c1 2 0 | mix c1 0=talking 1=talking`, "",
		},
		{
			"given away, and still in her hands", func(t *testing.T) *world {
				w := talking(t, rules())
				w.ask("c1", 1, queue.WantTransfer, "t2")
				return w
			},
			func(w *world) { w.fact("c1", lost(2)) },
			`mix c1 0=talking 1=talking | mix c1 0=talking 1=talking`, "left 2 node | role 1 talking | role 0 talking",
		},
		{
			"given away while she holds", func(t *testing.T) *world {
				w := talking(t, rules())
				w.ask("c1", 1, queue.WantHold)
				w.ask("c1", 1, queue.WantTransfer, "t2")
				return w
			},
			func(w *world) { w.ask("c1", 1, queue.WantHold); w.fact("c1", lost(2)) },
			`mix c1 0=waiting 1=waiting | play c1 0 "music"`, "left 2 node",
		},
		{
			"a feature code is being answered", func(t *testing.T) *world {
				w := talking(t, rules())
				w.dial("c1", own, "t1", "*9")
				return w
			}, nil,
			`drop c1 65535 0 | mix c1 0=talking 1=talking`, "",
		},
		{
			"what phones want before the Tick comes after it", func(t *testing.T) *world { return talking(t, rules()) },
			func(w *world) {
				w.dial("c1", own, "t1", "t2")
				w.ask("c1", 1, queue.WantTransfer, "t3")
			},
			`mix c1 0=talking 1=talking | play c1 65535 "" | ring c1 2 t2 | mix c1 0=waiting 1=waiting | play c1 0 "music" | drop c1 3 486`,
			"offered 65535 t1 own | offered 2 t2 consult | role 0 waiting | role 1 waiting",
		},
		{
			"she hung up, and he was not told", func(t *testing.T) *world {
				w := talking(t, rules())
				w.fact("c1", leftBy(1, "taker"))
				return w
			}, nil,
			`drop c1 0 0`, "",
		},
		{
			"rejected", func(t *testing.T) *world {
				w := newWorld(t, rules(), nil)
				w.up("t1")
				w.fact("c1", call.Arrived{Reject: 404})
				return w
			}, nil,
			`drop c1 0 404`, "",
		},
		{
			"a test call", func(t *testing.T) *world {
				w := newWorld(t, rules(), nil)
				w.up("t1")
				w.fact("c1", call.Arrived{Test: true})
				return w
			}, nil,
			`answer c1 | play c1 0 "waiting"`, "",
		},
		{
			"answered in the moment, in mode taker", func(t *testing.T) *world {
				w := newWorld(t, rules(byTaker), nil)
				w.up("t1")
				w.arrive("c1", "+621")
				w.fact("c1", call.Answered{Leg: 1})
				return w
			}, nil,
			`answer c1 | mix c1 0=talking 1=talking`, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.play(t).again("c1")
			w.since("c1")
			if tt.line != nil {
				tt.line(w)
			}
			same(t, "before the Tick nothing is done", w.did(), "")
			w.step(queue.Tick{})
			same(t, "actions", w.did(), tt.did)
			same(t, "journal", w.journal("c1"), tt.journal)
		})
	}
}

// TestTransferIsRungAgain: a caller whose taker has given him away and has gone is nobody else's.
func TestTransferIsRungAgain(t *testing.T) {
	w := talking(t, rules())
	w.ask("c1", 1, queue.WantTransfer, "t2")
	w.fact("c1", leftBy(1, "taker"))
	before := w.entries
	w = w.again("c1")
	w.since("c1")
	w.fact("c1", lost(2))
	w.step(queue.Tick{})
	same(t, "actions", w.did(), `ring c1 3 t2 | mix c1 0=waiting | play c1 0 "music"`)

	w.entries = append(before, w.entries...)
	w = w.again("c1")
	w.phone(false, "t2") // and now he can't be
	w.since("c1")
	w.fact("c1", lost(3))
	w.step(queue.Tick{})
	same(t, "queued again", w.journal("c1"), "left 3 node | queued 112 passed 0 | offered 4 t3")
}

// TestCountOverARestart: who has not answered once is paused after one more, though the call has ended; who has answered since
// is not. It is the shift that tells.
func TestCountOverARestart(t *testing.T) {
	for answered, want := range map[bool]call.TakerState{false: call.Paused, true: call.Ready} {
		w := newWorld(t, rules(noWrapUp), nil)
		w.up("t1")
		miss := func(id call.ID) {
			w.arrive(id, "+621")
			w.wait(queue.SignTimeout)
			w.fact(id, leftBy(1, "desk"), byCaller)
			w.wait(queue.CoolDown)
		}
		miss("c1")
		if answered {
			w.arrive("c2", "+622")
			w.fact("c2", call.Answered{Leg: 1}, byCaller, leftBy(1, "desk"))
		}
		shifts := w.entries
		w = w.restart(rules(noWrapUp))
		w.up("t1")
		miss("c3")
		w.entries = append(shifts, w.entries...)
		if last := w.shift("t1"); last.State != want {
			t.Errorf("answered %t: t1 is %+v", answered, last)
		}
	}
}

// TestEndIsDue: a start finds all legs lost, and the next crash is before its Tick: the call ends with the start after that.
func TestEndIsDue(t *testing.T) {
	first := talking(t, rules())
	w := first.again("c1")
	w.fact("c1", lost(1), lost(0))
	w.entries = append(first.entries, w.entries...)
	w = w.restart(rules())
	w.restored("c1")
	w.step(queue.Tick{})
	if got := w.journal("c1"); got != "ended restart" || len(w.desk.Snapshot().Calls) != 0 {
		t.Errorf("%s", got)
	}
}

// TestWaitOverARestart: place and wait go by the clock; nobody is put back for the time in which nobody was there.
func TestWaitOverARestart(t *testing.T) {
	w := newWorld(t, rules(), pranksters(30*time.Second))
	w.arrive("c1", prankster(9))
	w.wait(time.Second)
	w.arrive("c2", "+622")
	w = w.again("c1", "c2")
	w.phone(false, "t1", "t2", "t3")
	w.step(queue.Tick{})
	v := w.desk.View(w.now)
	if len(v.Waiting) != 2 || v.Waiting[0].ID != "c2" || !v.Waiting[0].Since.Equal(start.Add(time.Second)) || v.Waiting[1].Delay != 30*time.Second {
		t.Errorf("who waits: %+v", v.Waiting)
	}
}

// TestPast: the score learns from the past while calls come; what has been filed of a call meanwhile counts more than its older
// piece.
func TestPast(t *testing.T) {
	r := call.Record{Of: "c9", FirstAt: start.Add(-time.Hour), Caller: asserted("+621"), Kind: call.Prank}
	corrected := r
	corrected.Kind = call.Emergency
	for _, tt := range []struct {
		name string
		in   []queue.Input
		want string
	}{
		{"nothing yet", nil, "scored unknown"},
		{"the past", []queue.Input{queue.Past{Records: []call.Record{r}, Last: true}}, "scored 0.778 11.7s"},
		{"corrected before it is read", []queue.Input{queue.Filed{Record: corrected}, queue.Past{Records: []call.Record{r}, Last: true}}, "scored 0.143 0s"},
		{"corrected after", []queue.Input{queue.Past{Records: []call.Record{r}, Last: true}, queue.Filed{Record: corrected}}, "scored 0.143 0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, rules(), pranksters(30*time.Second))
			for _, in := range tt.in {
				w.step(in)
			}
			w.arrive("c1", "+621")
			if got := show(w.entries[1].Event); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestActorLearns: Learn returns when the desk knows; after Close it says so.
func TestActorLearns(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		r := call.Record{Of: "c9", FirstAt: time.Now().Add(-time.Hour), Caller: asserted("+628115550001"), Kind: call.Prank}
		if err := a.Learn(t.Context(), []call.Record{r}, true); err != nil {
			t.Fatal(err)
		}
		a.arrive("c1")
		synctest.Wait()
		if got := a.journal.words("c1"); !strings.Contains(got, "scored 0.778") {
			t.Error(got)
		}
		a.Close()
		if err := a.Learn(t.Context(), nil, true); !errors.Is(err, queue.ErrClosed) {
			t.Error(err)
		}
	})
}
