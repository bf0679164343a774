package queue_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// codes that are no classification, and what is said to each.
var codes = []struct{ code, said, shift string }{
	{"*0", "paused", "t1 ready | t1 paused"},
	{"*00", "ready", "t1 ready"},
	{"*9", "ready number-0 waiting-calls", "t1 ready"},
	{"*4", "no-call", "t1 ready"},
	{"*10", "unknown-code", "t1 ready"},
	{"*", "unknown-code", "t1 ready"},
	{"*4x", "unknown-code", "t1 ready"},
}

// TestFeatureCodes of a phone without a call: each is an act.
func TestFeatureCodes(t *testing.T) {
	for _, tt := range codes {
		t.Run(tt.code, func(t *testing.T) {
			w := newWorld(t, rules(), nil)
			w.up("t1")
			w.dial("a7", 0, "t1", tt.code)
			same(t, "actions", w.did(), fmt.Sprintf("answer a7 | play a7 0 %q", tt.said))
			w.fact("a7", call.Answered{}, call.Heard{What: "dtmf:1"})
			w.ask("a7", 0, queue.WantPlayed)
			w.ask("a7", 0, queue.WantPlayed)
			same(t, "when it was said", w.did(), "drop a7 0 0")
			w.fact("a7", byDesk)
			same(t, "act", w.journal("a7"), "acted feature-code "+tt.code)
			same(t, "shift", w.journal("s1"), tt.shift)
			if v := w.desk.View(w.now); v.Strays != 0 || w.desk.Asides() != 0 {
				t.Errorf("%d strays, %d legs left", v.Strays, w.desk.Asides())
			}
		})
	}
}

func TestCodesClassify(t *testing.T) {
	for i, kind := range call.Kinds {
		w := newWorld(t, rules(), nil)
		w.up("t1")
		for _, id := range []call.ID{"c1", "c2"} {
			w.arrive(id, "+621")
			w.talk(id, 1)
			w.fact(id, leftBy(1, "taker"), byDesk)
			w.must(w.order(queue.Ready, "t1"))
		}
		w.arrive("c3", "+623") // he does not talk in this one yet
		w.did()
		code := fmt.Sprintf("*%d", i+1)
		w.dial("a1", 0, "t1", code)
		same(t, "actions", w.did(), fmt.Sprintf("answer a1 | play a1 0 %q", kind))
		got := w.entries[len(w.entries)-2:]
		want := []call.Entry{
			{Of: "a1", N: 1, At: w.now, Event: call.Acted{By: "t1", What: "feature-code", Detail: code}},
			{Of: "c2", At: w.now, Event: call.Classified{By: "t1", Kind: kind}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
	}
}

// TestCodesInACall: the leg is one of the call's, and no act.
func TestCodesInACall(t *testing.T) {
	playAsks(t, []askTest{
		{
			"classify", talking, func(w *world) {
				w.dial("c1", own, "t1", "*1")
				w.fact("c1", call.Answered{Leg: own})
				w.ask("c1", own, queue.WantPlayed)
				w.fact("c1", leftBy(own, "desk"))
			},
			"offered 65535 t1 own | classified emergency | answered 65535 | left 65535 desk",
			`answer c1 65535 | play c1 65535 "emergency" | drop c1 65535 0`, nil,
		},
		{
			"pause, on hold", talking, func(w *world) {
				w.ask("c1", 1, queue.WantHold)
				w.dial("c1", own, "t1", "*0")
				w.fact("c1", call.Answered{Leg: own}, leftBy(own, "taker"))
				w.ask("c1", 1, queue.WantResume)
			},
			"role 0 waiting | role 1 waiting | offered 65535 t1 own | answered 65535 | left 65535 taker | role 1 talking | role 0 talking",
			`mix c1 0=waiting 1=waiting | play c1 0 "music" | answer c1 65535 | play c1 65535 "paused" | mix c1 0=talking 1=talking`,
			map[call.ID]string{"s1": "t1 ready | t1 paused"},
		},
		{
			"by one who is consulted, of the call he talked in", consulting, func(w *world) { w.dial("c1", own-1, "t2", "*4") },
			"offered 65534 t2 own", `answer c1 65534 | play c1 65534 "no-call"`, nil,
		},
		{
			"it goes with the call", talking, func(w *world) {
				w.dial("c1", own, "t1", "*1")
				w.fact("c1", leftBy(1, "taker"), byDesk, leftBy(own, "desk"))
			},
			"offered 65535 t1 own | classified emergency | left 1 taker | left 0 desk | left 65535 desk | ended answered",
			`answer c1 65535 | play c1 65535 "emergency" | drop c1 0 0 | drop c1 65535 480`,
			map[call.ID]string{"s1": "t1 ready | t1 wrap-up until 10s"},
		},
		{
			"when the call is over it is an act", talking, func(w *world) {
				w.fact("c1", leftBy(1, "taker"))
				w.dial("c1", own, "t1", "*1")
				w.fact("c1", byDesk, call.Answered{Leg: own})
				w.ask("c1", own, queue.WantPlayed)
				w.fact("c1", leftBy(own, "desk"))
				same(w.t.(*testing.T), "act", w.journal("a1"), "")
			},
			"left 1 taker | classified emergency | left 0 desk | ended answered",
			`drop c1 0 0 | answer c1 65535 | play c1 65535 "emergency" | drop c1 65535 0`, nil,
		},
	})
}

func TestCodeDeadline(t *testing.T) {
	w := talking(t, rules())
	w.dial("a1", 0, "t2", "*9")
	w.dial("c1", own, "t1", "*9")
	w.did()
	w.wait(queue.ServeTime - time.Millisecond)
	same(t, "before", w.did(), "")
	w.wait(time.Millisecond)
	same(t, "after 30 s", w.did(), "drop a1 0 0 | drop c1 65535 0")
	w.wait(queue.DropAgain)
	same(t, "still there", w.did(), "drop a1 0 0 | drop c1 65535 0")
}

func TestStatusIsSpoken(t *testing.T) {
	for n, want := range map[int]string{0: "number-0", 20: "number-20", 21: "many"} {
		w := newWorld(t, rules(), nil)
		w.up("t1")
		w.must(w.order(queue.Pause, "t1"))
		for i := range n {
			w.arrive(call.ID(fmt.Sprintf("c%02d", i)), "+621")
		}
		w.did()
		w.dial("a1", 0, "t1", "*9")
		same(t, "status", w.did(), fmt.Sprintf(`answer a1 | play a1 0 "paused %s waiting-calls"`, want))
	}
}

// TestNoTollFraud: a phone reaches nobody outside, and the attempt is in the ledger.
func TestNoTollFraud(t *testing.T) {
	for _, tt := range []struct {
		who    call.TakerID
		number string
	}{{"t1", "08115550001"}, {"t1", "t2"}, {"t1", ""}, {"t9", "*0"}, {"t3", "*0"}} {
		w := newWorld(t, rules(), nil)
		w.up("t1", "t2", "t3")
		w.phone(false, "t3")
		w.dial("a5", 0, tt.who, tt.number)
		same(t, "actions", w.did(), "drop a5 0 403")
		got := w.entries[len(w.entries)-1]
		want := call.Entry{Of: "a5", N: 1, At: start, Event: call.Acted{By: tt.who, What: "call-refused", Detail: tt.number}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("act (-want +got):\n%s", diff)
		}
		w.wait(queue.DropAgain)
		same(t, "still there", w.did(), "drop a5 0 403")
		w.fact("a5", byDesk)
		w.wait(queue.DropAgain)
		same(t, "gone", w.did(), "")
	}
	w := talking(t, rules())
	w.dial("c1", own, "t1", "0811")
	same(t, "in a call", w.did(), "drop c1 65535 403")
	w.from = 0
	same(t, "the act has an ID of its own", w.journal("a1"), "acted call-refused 0811")
}

// TestStopDropsOwnLegs: a stop waits for what phones have dialed, too.
func TestStopDropsOwnLegs(t *testing.T) {
	w := consulting(t, rules())
	w.dial("a2", 0, "t3", "*9")
	w.did()
	w.must(w.order(queue.Stop, ""))
	same(t, "actions", w.did(), "drop c1 1 503 | drop c1 2 503 | drop c1 65535 503 | drop c1 0 503 | drop a2 0 503")
	w.dial("a3", 0, "t3", "*9")
	same(t, "dialed then", w.did(), "drop a3 0 503")

	inBubble(t, func(t *testing.T, a *actor) {
		a.up("t1")
		a.Ask("a9", 0, queue.WantDial, call.Party{Taker: "t1", URI: "*9"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Idle(ctx); err == nil {
			t.Error("idle with a phone's leg")
		}
		a.Tell("a9", byDesk)
		if err := a.Idle(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestRemember: the last call is known over a restart, in whatever order the records come.
func TestRemember(t *testing.T) {
	record := func(id call.ID, hour int, takers ...call.TakerID) call.Record {
		return call.Record{Of: id, FirstAt: start.Add(time.Duration(hour) * time.Hour), Taker: takers[0], Takers: takers[1:]}
	}
	w := newWorld(t, rules(), nil)
	for _, r := range []call.Record{
		record("c8", -1, "t1", "t2"), record("c9", -2, "t1"), record("c7", -3, "t2"), record("s9", 0, "t1"), record("c6", 0, ""),
	} {
		w.desk.Remember(r)
	}
	w.up("t1", "t2", "t3")
	w.step(queue.Filed{Record: record("c5", -4, "t1", "t3")}) // amended
	w.step(queue.Past{Records: []call.Record{record("c4", -5, "t3"), record("c10", -1, "t2")}, Last: true})
	for i, want := range []call.ID{"c8", "c10", "c5"} {
		w.dial(call.ID(fmt.Sprintf("a10%d", i)), 0, call.TakerID(fmt.Sprintf("t%d", i+1)), "*4")
		if got := w.entries[len(w.entries)-1]; got.Of != want || got.N != 0 {
			t.Errorf("t%d classifies %s, want %s", i+1, got.Of, want)
		}
	}
}

// TestActorRemembers: run.go tells it before the start.
func TestActorRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.InfoLevel)
		a.Remember(call.Record{Of: "c0", FirstAt: time.Now(), Taker: "t1"})
		a.Start(a.line)
		defer a.Close()
		a.up("t1")
		a.Ask("a9", 0, queue.WantDial, call.Party{Taker: "t1", URI: "*4"})
		synctest.Wait()
		same(t, "journal", a.journal.words("c0"), "classified prank")
		same(t, "line", a.line.say(), `0s answer a9 | 0s play a9 0 "prank"`)
	})
}
