package queue_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// TestNoAnswerTwice: who does not answer twice in a row is paused; to decline is an answer of a kind.
func TestNoAnswerTwice(t *testing.T) {
	silent := func(w *world) { // the phone rings for nothing
		w.fact("c1", call.Rang{Leg: w.lastLeg("c1")})
		w.wait(15 * time.Second)
		w.fact("c1", leftBy(w.lastLeg("c1"), "desk"))
		w.wait(queue.CoolDown)
	}
	unreachable := func(w *world) { // nothing comes back
		w.wait(queue.SignTimeout)
		w.fact("c1", leftBy(w.lastLeg("c1"), "network"))
		w.wait(queue.CoolDown)
	}
	lost := func(w *world) {
		w.fact("c1", leftBy(w.lastLeg("c1"), "network"))
		w.wait(queue.CoolDown)
	}
	declines := func(w *world) {
		w.fact("c1", call.Left{Leg: w.lastLeg("c1"), By: "taker", Code: 486})
		w.wait(queue.CoolDown)
	}
	answers := func(w *world) {
		l := w.lastLeg("c1")
		w.fact("c1", call.Answered{Leg: l}, leftBy(l, "network"))
		w.wait(queue.CoolDown)
		w.must(w.order(queue.Ready, "t1"))
	}
	tests := []struct {
		name string
		play []func(*world)
		want bool
	}{
		{"once", []func(*world){silent}, false},
		{"twice", []func(*world){silent, silent}, true},
		{"no sign of ringing", []func(*world){unreachable, lost}, true},
		{"declined", []func(*world){declines, declines, declines}, false},
		{"declined between", []func(*world){silent, declines, silent}, true},
		{"answered between", []func(*world){silent, answers, silent}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, rules(), nil)
			w.up("t1")
			w.arrive("c1", "+621")
			for _, f := range tt.play {
				f(w)
			}
			last := w.shift("t1")
			if got := last.State == call.Paused; got != tt.want || got && last.Why != "tidak menjawab" {
				t.Errorf("t1 is %+v", last)
			}
			if !tt.want {
				return
			}
			w.must(w.order(queue.Ready, "t1"))
			silent(w)
			if last := w.shift("t1"); last.State != call.Ready {
				t.Errorf("after one more t1 is %+v: the count begins anew", last)
			}
		})
	}
}

// shift is the last entry of the taker's shift.
func (w *world) shift(id call.TakerID) (last call.TakerChanged) {
	for _, e := range w.entries {
		if ev, ok := e.Event.(call.TakerChanged); ok && ev.Taker == id {
			last = ev
		}
	}
	return last
}

// TestNotAsked: an offer that ended for another reason counts for nothing.
func TestNotAsked(t *testing.T) {
	w := newWorld(t, rules(ringAll, noWrapUp), nil)
	w.up("t1", "t2")
	for _, id := range []call.ID{"c1", "c2", "c3"} {
		w.arrive(id, "+621")
		w.talk(id, 2) // t2 is quicker
		w.fact(id, leftBy(1, "desk"), byCaller, leftBy(2, "desk"))
	}
	for _, id := range []call.ID{"c4", "c5", "c6"} {
		w.arrive(id, "+621")
		w.fact(id, byCaller, leftBy(1, "network"), leftBy(2, "desk"))
	}
	if last := w.shift("t1"); last.State != call.Ready {
		t.Errorf("t1 is %+v", last)
	}
}

// TestNoTakerAlarm: calls wait and nobody is there for them.
func TestNoTakerAlarm(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.arrive("c1")
		time.Sleep(queue.NoTakerTime - time.Millisecond)
		synctest.Wait()
		same(t, "before", a.alarms.say(), "")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		same(t, "after 10 s", a.alarms.say(), "no-taker for 0s")
		same(t, "what to do", a.alarms.lastText(),
			"1 calls wait and no call taker is ready: they hear the announcement; have somebody dial *00 or register a phone")
		a.up("t1")
		synctest.Wait()
		same(t, "somebody comes", a.alarms.say(), "no-taker over")
		for l := range call.Leg(2) { // and does not answer
			time.Sleep(queue.SignTimeout)
			synctest.Wait()
			same(t, "not yet", a.alarms.say(), "")
			a.Tell("c1", leftBy(l+1, "desk"))
			synctest.Wait()
			if l == 0 {
				time.Sleep(queue.CoolDown)
			}
		}
		same(t, "paused, and nobody else is there: at once", a.alarms.say(), "no-taker for 0s")
		a.Tell("c1", byCaller)
		synctest.Wait()
		same(t, "nobody waits", a.alarms.say(), "no-taker over")
	})
}

// TestNoTakerAlarmOfOthers: who talks or writes down a call comes back.
func TestNoTakerAlarmOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.up("t1")
		a.arrive("c1")
		a.Tell("c1", call.Answered{Leg: 1})
		a.arrive("c2")
		time.Sleep(time.Minute)
		a.Tell("c1", call.Left{Leg: 1, By: "taker"})
		time.Sleep(time.Minute)
		synctest.Wait()
		same(t, "alarms", a.alarms.say(), "")
	}, func(r *queue.Rules) { r.Queue.WrapUp = time.Minute })
}
