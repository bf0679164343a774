package queue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

func TestStrays(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	before := len(w.entries)
	strays := []queue.Input{
		queue.Fact{Of: "c9", Event: call.Rang{Leg: 1}},
		queue.Fact{Of: "c9", Event: call.Left{Leg: 0, By: "caller"}},
		queue.Fact{Of: "c1"},
		queue.Fact{Of: "c1", Event: call.Arrived{}},
		queue.Fact{Of: "s1", Event: call.Arrived{}},
		queue.Fact{Event: call.Arrived{}},
		queue.Fact{Of: "c1", Event: call.Rang{Leg: 0}},
		queue.Fact{Of: "c1", Event: call.Rang{Leg: 7}},
		queue.Fact{Of: "c1", Event: call.Answered{Leg: 7}},
		queue.Fact{Of: "c1", Event: call.Left{Leg: 7, By: "taker"}},
		queue.Fact{Of: "c1", Event: call.Ended{Outcome: call.WasAnswered}},
		queue.Fact{Of: "c1", Event: call.Offered{Leg: 5}},
		queue.Phone{Up: true},
		queue.Phone{Who: call.Party{Taker: "t2"}, Shift: "c7", Up: true},
	}
	for _, in := range strays {
		w.step(in)
	}
	if got := w.desk.View(w.now).Strays; got != uint64(len(strays)) {
		t.Errorf("%d inputs counted as ignored, want %d", got, len(strays))
	}
	w.step(queue.Fact{Of: "c9", Event: call.Left{Leg: 0, By: "node"}}) // the line's answer to a late Drop
	if got := w.desk.View(w.now).Strays; got != uint64(len(strays)) {
		t.Errorf("a Left by node was counted")
	}
	if len(w.entries) != before {
		t.Errorf("ignored inputs were journaled: %v", w.entries[before:])
	}
}

func TestDoubledAndLateFacts(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	w.fact("c1", call.Answered{Leg: 0}, call.Answered{Leg: 0}, call.Answered{Leg: 1}, call.Answered{Leg: 1}, call.Rang{Leg: 1},
		leftBy(1, "taker"), call.Answered{Leg: 1}, leftBy(1, "taker"), byDesk, byDesk, call.Answered{Leg: 0})
	same(t, "journal", w.journal("c1"), "arrived | scored unknown | queued 112 passed 0 | offered 1 t1 | answered 0 | answered 1 | role 0 talking | "+
		"role 1 talking | left 1 taker | left 0 desk | ended answered")
}

func TestHeardIsBounded(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.arrive("c1", "+621")
	for range queue.MostHeard + 10 {
		w.fact("c1", call.Heard{Leg: 0, What: "dtmf:1"})
	}
	if got := strings.Count(w.journal("c1"), "heard"); got != queue.MostHeard {
		t.Errorf("%d keys journaled, want %d", got, queue.MostHeard)
	}
}

func TestRefusedOrders(t *testing.T) {
	tests := []struct {
		order queue.Order
		want  string
	}{
		{queue.Order{Verb: "dance"}, `unknown verb "dance"`},
		{queue.Order{Verb: queue.Pause}, "needs the name of a call taker"},
		{queue.Order{Verb: queue.Ready, To: call.Party{Taker: "t9"}}, `call taker "t9" has no phone here`},
		{queue.Order{Verb: queue.Classify, Of: "c1", Text: "joke"}, `unknown kind "joke", want one of emergency,`},
		{queue.Order{Verb: queue.Classify, Of: "c1"}, `unknown kind ""`},
		{queue.Order{Verb: queue.Classify, Of: "s1", Text: "prank"}, `"s1" is not the ID of a call`},
	}
	w := newWorld(t, rules(), nil)
	w.up("t1")
	for _, tt := range tests {
		out := w.step(tt.order)
		if !errors.Is(out.Err, queue.ErrOrder) || !strings.Contains(out.Err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.order, out.Err, tt.want)
		}
		if len(out.Events)+len(out.Do) > 0 || !out.Wake.IsZero() {
			t.Errorf("%+v was refused and yet did something: %+v", tt.order, out)
		}
	}
}

func TestClassify(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.up("t1")
	w.arrive("c1", "+621")
	w.talk("c1", 1)
	w.must(w.step(queue.Order{Verb: queue.Classify, Of: "c1", By: "t1", Text: "emergency house  on fire "}).Err)
	w.fact("c1", leftBy(1, "taker"), byDesk)
	w.must(w.step(queue.Order{Verb: queue.Classify, Of: "c1", By: "t1", Text: "prank"}).Err)
	got := w.entries[len(w.entries)-1]
	if got.N != 0 || got.Of != "c1" || show(got.Event) != "classified prank" {
		t.Errorf("the amendment is %+v", got)
	}
	if !strings.Contains(w.journal("c1"), "classified emergency house  on fire | left 1 taker") {
		t.Errorf("journal: %s", w.journal("c1"))
	}
}

func TestActs(t *testing.T) {
	w := newWorld(t, rules(), nil)
	w.must(w.step(queue.Order{ID: "a1", Verb: queue.Drain}).Err)
	w.must(w.step(queue.Order{ID: "a2", By: "t1", Verb: queue.Stop, Text: "update"}).Err)
	w.must(w.step(queue.Order{Verb: queue.Stop}).Err)
	same(t, "a1", w.journal("a1"), "acted draining")
	stopped := call.Entry{Of: "a2", N: 1, At: start, Event: call.Acted{By: "t1", What: "stopped", Detail: "update"}}
	if diff := cmp.Diff(stopped, w.entries[len(w.entries)-1]); diff != "" {
		t.Errorf("the act of a stop (-want +got):\n%s", diff)
	}
	if len(w.entries) != 2 {
		t.Errorf("an order without an ID is no act: %v", w.entries)
	}
}

func TestFiled(t *testing.T) {
	w := newWorld(t, rules(), pranksters(30*time.Second))
	w.arrive("c1", "+62123456789")
	w.step(queue.Filed{Record: call.Record{Of: "c0", FirstAt: start, Kind: call.Prank, Caller: asserted("+62123456789")}})
	w.arrive("c2", "+62123456789")
	same(t, "before", w.journal("c1"), "arrived | scored unknown | queued 112 passed 0")
	same(t, "after", w.journal("c2"), "arrived | scored 0.778 11.7s | queued 112 passed 0")
}
