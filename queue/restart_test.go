package queue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// TestCrashAfterEveryCommit plays random histories and starts a new desk after every step of them: the calls go on there, and
// the model that has seen the first desk holds the second against the same rules until the last call has ended.
func TestCrashAfterEveryCommit(t *testing.T) {
	for _, r := range []queue.Rules{rules(), rules(ringAll, byTaker)} {
		t.Run(fmt.Sprintf("%s %s", r.Queue.Strategy, r.Answer), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := &history{world: newWorld(t, r, pranksters(time.Minute)), model: newModel(r), rules: r, rt: t}
				if rapid.Bool().Draw(t, "talking") {
					h.talking()
				}
				for range rapid.IntRange(8, 20).Draw(t, "steps") {
					h.play(rapid.SampledFrom(moves[:len(moves)-4]).Draw(t, "move"))
					after := h.fork()
					after.crash()
					if rapid.Bool().Draw(t, "twice") { // before anything else has happened
						after.crash()
					}
					after.finish()
				}
			})
		})
	}
}

// fork is the same history as far as it has gone.
func (h *history) fork() *history {
	w := *h.world
	w.entries = slices.Clone(h.entries)
	return &history{world: &w, model: h.model.clone(), rules: h.rules, rt: h.rt, calls: h.calls, restarted: true}
}

func (m *model) clone() *model {
	out := &model{
		all: m.all, stop: m.stop, calls: map[call.ID]*modelCall{}, takers: map[call.TakerID]*modelTaker{},
		asides: map[call.ID]map[call.Leg]*modelLeg{},
	}
	for id, k := range m.takers {
		c := *k
		out.takers[id] = &c
	}
	for id, c := range m.calls {
		d := *c
		d.legs, d.caller = map[call.Leg]*modelLeg{}, c.caller.clone(&d)
		for n, l := range c.legs {
			d.legs[n] = l.clone(&d)
		}
		out.calls[id] = &d
	}
	return out
}

func (l *modelLeg) clone(of *modelCall) *modelLeg {
	out := *l
	out.call = of
	return &out
}

// TestCrashAfterEveryEntry cuts the journals of random histories after every entry, also where no commit ends: whatever is
// left, the caller is not, and one Ended comes in the end.
func TestCrashAfterEveryEntry(t *testing.T) {
	for _, r := range []queue.Rules{rules(), rules(ringAll, noWrapUp)} {
		t.Run(string(r.Queue.Strategy), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := &history{world: newWorld(t, r, pranksters(time.Minute)), model: newModel(r), rules: r, rt: t}
				h.talking()
				for range rapid.IntRange(8, 24).Draw(t, "steps") {
					h.play(rapid.SampledFrom(moves[:len(moves)-4]).Draw(t, "move"))
				}
				es := h.stored(h.entries)
				for n := 1; n <= len(es); n++ {
					cut(t, r, es[:n])
				}
			})
		})
	}
}

// cut restarts on a journal that ends anywhere.
func cut(t *rapid.T, r queue.Rules, es []call.Entry) {
	w := newWorld(t, r, nil)
	w.now = es[len(es)-1].At.Add(2 * time.Second)
	w.entries = liveEntries(es)
	for _, e := range w.entries {
		w.desk.Apply(e)
	}
	before := w.desk.Snapshot()
	for _, c := range before.Calls {
		w.fact(c.ID, call.Restored{Node: "n"})
	}
	for i, k := range before.Takers {
		w.step(queue.Phone{Shift: call.ID(fmt.Sprintf("s9%d", i)), Who: call.Party{Taker: k.ID}, Up: true})
	}
	for _, c := range before.Calls {
		for _, l := range c.Legs {
			if l.Answered.IsZero() {
				w.fact(c.ID, lost(l.N))
			}
		}
	}
	w.step(queue.Tick{})
	w.nobodyLost(before)

	again := queue.NewDesk(r, nil)
	for _, e := range liveEntries(w.entries) {
		again.Apply(e)
	}
	if diff := cmp.Diff(onlyLive(w.desk.Snapshot()), onlyLive(again.Snapshot()), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("replay after the restart differs (-run +replay):\n%s", diff)
	}
	w.endAll(before)
}

// nobodyLost: each caller who was there waits in line, is with a taker who is there, or waits for a colleague's phone; who was
// to go is dropped; nobody is free beside a call that rings nowhere. All of them keep their place.
func (w *world) nobodyLost(before queue.Snapshot) {
	v := w.desk.View(w.now)
	for i, c := range w.desk.Snapshot().Calls {
		j := slices.IndexFunc(before.Calls, func(b queue.CallState) bool { return b.ID == c.ID })
		if b := before.Calls[j]; !c.Since.Equal(b.Since) || c.Passed < b.Passed {
			w.t.Fatalf("%s was at %s, passed %d, and is at %s, passed %d", c.ID, b.Since, b.Passed, c.Since, c.Passed)
		}
		waits := slices.ContainsFunc(v.Waiting, func(x queue.Waiting) bool { return x.ID == c.ID })
		leg := func(f func(queue.LegState) bool) bool { return slices.ContainsFunc(c.Legs, f) }
		has := leg(func(l queue.LegState) bool { return l.N == c.Holder && !l.Answered.IsZero() })
		rings := leg(func(l queue.LegState) bool { return l.Purpose == 1 && l.Answered.IsZero() })
		switch {
		case c.HasLeft, c.Done, c.Reject != 0:
			if !c.HasLeft && !w.told(queue.Drop{Of: c.ID}) {
				w.t.Fatalf("%s was over, and the caller is not told:\n%s", c.ID, w.journal(c.ID))
			}
		case c.Test:
		case !waits && !has && !rings:
			w.t.Fatalf("call %d, %s, is lost:\n%s", i, c.ID, w.journal(c.ID))
		case waits && c.Answered == w.told(queue.Answer{Of: c.ID}):
			w.t.Fatalf("%s is told to be answered as if answered is not %t", c.ID, c.Answered)
		}
	}
	for _, k := range v.Takers {
		idle := k.State == call.Ready && k.Call == ""
		for _, x := range v.Waiting {
			if cool := w.cool(k.ID); idle && len(x.Ringing) == 0 && !cool.After(w.now) {
				w.t.Fatalf("%s is free and %s waits", k.ID, x.ID)
			}
		}
	}
}

func (w *world) cool(id call.TakerID) time.Time {
	for _, k := range w.desk.Snapshot().Takers {
		if k.ID == id {
			return k.Cool
		}
	}
	return time.Time{}
}

// told tells whether the line was told to do that, with whatever code.
func (w *world) told(want queue.Action) bool {
	return slices.ContainsFunc(w.actions, func(a queue.Action) bool {
		if d, ok := a.(queue.Drop); ok {
			d.Code = 0
			a = d
		}
		return cmp.Equal(a, want)
	})
}

// endAll lets every leg leave: each call that was there ends once, and its entries are numbered without a gap.
func (w *world) endAll(before queue.Snapshot) {
	for range 100 {
		cs := w.desk.Snapshot().Calls
		if len(cs) == 0 {
			break
		}
		for _, c := range cs {
			if !c.HasLeft {
				w.fact(c.ID, byCaller)
			}
			for _, l := range c.Legs {
				w.fact(c.ID, leftBy(l.N, "desk"))
			}
		}
	}
	ended, n := map[call.ID]int{}, map[call.ID]uint32{}
	for _, e := range w.entries {
		if _, ok := e.Event.(call.Ended); ok {
			ended[e.Of]++
		}
		if n[e.Of]++; e.N != n[e.Of] {
			w.t.Fatalf("%s: entry %d follows %d", e.Of, e.N, n[e.Of]-1)
		}
	}
	for _, c := range before.Calls {
		if ended[c.ID] != 1 {
			w.t.Fatalf("%s has ended %d times:\n%s", c.ID, ended[c.ID], w.journal(c.ID))
		}
	}
}
