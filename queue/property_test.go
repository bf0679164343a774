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

// TestProperties plays random histories on a desk, 100 with each strategy and mode, and holds every step against a model
// that knows only entries and actions.
func TestProperties(t *testing.T) {
	for _, r := range []queue.Rules{rules(), rules(ringAll), rules(byTaker, noWrapUp), rules(ringAll, byTaker)} {
		r.MaxCalls = 12
		t.Run(fmt.Sprintf("%s %s", r.Queue.Strategy, r.Answer), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { playHistory(t, r) })
		})
	}
}

func playHistory(t *rapid.T, r queue.Rules) {
	h := &history{world: newWorld(t, r, pranksters(time.Minute)), model: newModel(r), rules: r, rt: t}
	for range rapid.IntRange(10, 150).Draw(t, "steps") {
		h.play(rapid.SampledFrom(moves).Draw(t, "move"))
	}
	h.replay()
	if rapid.Bool().Draw(t, "stop") {
		h.input(queue.Order{Verb: queue.Stop})
		for _, c := range h.model.calls {
			if !c.ended && !c.caller.dropped && !c.left {
				t.Fatalf("%s is not dropped by the stop", c.id)
			}
		}
	}
	h.finish()
}

// moves are what may happen, the common ones more often.
var moves = []string{
	"arrive", "arrive", "arrive", "line", "line", "line", "line", "line", "line", "time", "time", "time", "phone", "phone",
	"order", "stray", "hang up", "replay", "restart", "reject",
}

// history is a random run: the world, its model, and a line that behaves.
type history struct {
	*world
	model     *model
	rules     queue.Rules
	rt        *rapid.T
	calls     int
	restarted bool
}

// input is one step, seen by the model.
func (h *history) input(in queue.Input) {
	before, shown := len(h.entries), len(h.actions)
	h.step(in)
	h.model.observe(h.rt, h.now, h.entries[before:], h.actions[shown:])
}

func (h *history) play(move string) {
	switch move {
	case "arrive":
		h.arriveAny(0)
	case "reject":
		h.arriveAny(rapid.SampledFrom([]int{404, 488, 0}).Draw(h.rt, "code"))
	case "line":
		if legs := h.model.liveLegs(); len(legs) > 0 {
			h.line(rapid.SampledFrom(legs).Draw(h.rt, "leg"))
		}
	case "hang up":
		if legs := h.model.liveLegs(); len(legs) > 0 {
			l := rapid.SampledFrom(legs).Draw(h.rt, "call")
			h.input(queue.Fact{Of: l.call.id, Event: call.Left{Leg: 0, By: "caller"}})
		}
	case "time":
		h.pass(time.Duration(rapid.IntRange(0, 25_000).Draw(h.rt, "ms")) * time.Millisecond)
	case "phone":
		h.phoneAny()
	case "order":
		h.input(queue.Order{
			Verb: rapid.SampledFrom([]string{queue.Pause, queue.Ready, queue.Ready, "dance"}).Draw(h.rt, "verb"),
			To:   call.Party{Taker: h.anyTaker()},
		})
	case "stray":
		h.stray()
	case "replay":
		h.replay()
	case "restart":
		if rapid.IntRange(0, 9).Draw(h.rt, "really") == 0 {
			h.crash()
		}
	}
}

func (h *history) anyTaker() call.TakerID {
	return rapid.SampledFrom([]call.TakerID{"t1", "t2", "t3", "t4"}).Draw(h.rt, "taker")
}

func (h *history) arriveAny(reject int) {
	h.calls++
	c := call.Caller{Number: prankster(rapid.IntRange(0, 9).Draw(h.rt, "history")), Trust: call.Asserted}
	switch rapid.IntRange(0, 4).Draw(h.rt, "caller") {
	case 0, 1:
		c.Number = "+62800"
	case 2:
		c.Trust = call.Claimed
	}
	test := reject == 0 && rapid.IntRange(0, 20).Draw(h.rt, "test") == 0
	h.input(queue.Fact{Of: call.ID(fmt.Sprintf("c%03d", h.calls)), Event: call.Arrived{Caller: c, Reject: reject, Test: test}})
}

func (h *history) phoneAny() {
	k := h.anyTaker()
	up := rapid.IntRange(0, 3).Draw(h.rt, "up") > 0
	h.shifts++
	h.model.taker(k).up = up
	h.input(queue.Phone{Shift: call.ID(fmt.Sprintf("s%03d", h.shifts)), Who: call.Party{Taker: k}, Up: up})
}

// line lets one leg go on as a line may.
func (h *history) line(l *modelLeg) {
	var evs []call.Event
	by := func(who ...string) {
		for _, w := range who {
			evs = append(evs, call.Left{Leg: l.n, By: w})
		}
	}
	switch {
	case l.n == 0 && l.dropped:
		by("desk")
	case l.n == 0 && !l.answered:
		if l.asked {
			evs = append(evs, call.Answered{Leg: 0}, call.Answered{Leg: 0}, call.Answered{Leg: 0})
		}
		by("caller", "network")
	case l.n == 0:
		evs = append(evs, call.Heard{What: "dtmf:1"})
		by("caller", "network")
	case l.dropped:
		by("desk", "desk")
		if !l.answered {
			evs = append(evs, call.Answered{Leg: l.n})
		}
	case !l.answered:
		evs = append(evs, call.Rang{Leg: l.n}, call.Rang{Leg: l.n}, call.Answered{Leg: l.n}, call.Answered{Leg: l.n})
		by("taker", "network")
	default:
		by("taker", "network")
	}
	h.input(queue.Fact{Of: l.call.id, Event: rapid.SampledFrom(evs).Draw(h.rt, "fact")})
}

// stray is a fact that may make no sense at all.
func (h *history) stray() {
	n := call.Leg(rapid.IntRange(0, 5).Draw(h.rt, "n"))
	if h.model.live(n) {
		return // what the line would say in time; the move line does that
	}
	ev := rapid.SampledFrom([]call.Event{
		call.Rang{Leg: n},
		call.Answered{Leg: n},
		call.Left{Leg: n, By: "taker"},
		call.Heard{Leg: n},
		call.Queued{},
		call.Offered{Leg: n},
		call.Ended{},
		call.RoleSet{Leg: n},
		nil,
	}).Draw(h.rt, "event")
	h.input(queue.Fact{Of: call.ID(fmt.Sprintf("c%03d", rapid.IntRange(0, h.calls+1).Draw(h.rt, "call"))), Event: ev})
}

// pass lets time go by with the wakes that the desk asked for.
func (h *history) pass(d time.Duration) {
	end := h.now.Add(d)
	for !h.wake.IsZero() && !h.wake.After(end) {
		h.now = h.wake
		h.input(queue.Tick{})
	}
	h.now = end
	h.model.nobodyIdle(h.rt, end) // the desk would have asked to be woken
}

// crash starts a new desk from what is live; every live leg has left by node. Phones come back in part.
func (h *history) crash() {
	h.restarted = true
	h.desk = queue.NewDesk(h.rules, pranksters(time.Minute))
	for _, e := range liveEntries(h.entries) {
		h.desk.Apply(e)
	}
	for _, k := range h.model.takers {
		k.up, k.sure = false, h.now.Add(time.Second+queue.CoolDown)
	}
	h.now = h.now.Add(time.Second)
	legs := h.model.liveLegs()
	for _, l := range legs {
		if l.n == 0 {
			h.input(queue.Fact{Of: l.call.id, Event: call.Restored{Node: "n", Gap: time.Second}})
		}
	}
	for _, k := range []call.TakerID{"t1", "t2"} {
		h.shifts++
		h.model.taker(k).up = true
		h.input(queue.Phone{Shift: call.ID(fmt.Sprintf("s%03d", h.shifts)), Who: call.Party{Taker: k}, Up: true})
	}
	for _, l := range legs {
		h.input(queue.Fact{Of: l.call.id, Event: call.Left{Leg: l.n, By: "node"}})
	}
}

// finish lets every leg leave and looks at the ledger.
func (h *history) finish() {
	for range 1000 {
		legs := h.model.liveLegs()
		if len(legs) == 0 {
			break
		}
		l := legs[len(legs)-1]
		h.input(queue.Fact{Of: l.call.id, Event: call.Left{Leg: l.n, By: "network"}})
	}
	for _, c := range h.model.calls {
		if !c.ended {
			h.rt.Fatalf("%s has not ended though all its legs have left:\n%s", c.id, h.journal(c.id))
		}
	}
	v := h.desk.View(h.now)
	if v.Live != 0 || v.Arrived != v.Ended {
		h.rt.Fatalf("the ledger is wrong: %+v", v.Totals)
	}
	numbers := map[call.ID]uint32{}
	for _, e := range h.entries {
		numbers[e.Of]++
		if e.N != numbers[e.Of] {
			h.rt.Fatalf("%s: entry %d follows %d", e.Of, e.N, numbers[e.Of]-1)
		}
	}
}

// replay holds the state against that of a desk which only has the journal: all of it, in order and doubled; and, as a
// restart has it, what is live, subject by subject.
func (h *history) replay() {
	got := h.desk.Snapshot()
	if !h.restarted {
		all := queue.NewDesk(h.rules, nil)
		for _, e := range h.stored(h.entries) {
			all.Apply(e)
			all.Apply(e)
		}
		if diff := cmp.Diff(got, all.Snapshot(), cmpopts.EquateEmpty()); diff != "" {
			h.rt.Fatalf("replay of the whole journal differs (-run +replay):\n%s", diff)
		}
	}
	live := queue.NewDesk(h.rules, nil)
	for _, e := range h.stored(liveEntries(h.entries)) {
		live.Apply(e)
	}
	if bad := live.Consistent(); bad != "" {
		h.rt.Fatalf("after a replay: %s", bad)
	}
	if diff := cmp.Diff(onlyLive(got), onlyLive(live.Snapshot()), cmpopts.EquateEmpty()); diff != "" {
		h.rt.Fatalf("replay of what is live differs (-run +replay):\n%s", diff)
	}
}

// stored is the entries after a way through the journal's format.
func (h *history) stored(es []call.Entry) []call.Entry {
	out := make([]call.Entry, 0, len(es))
	for _, e := range es {
		line, err := call.AppendEntry(nil, e)
		if err != nil {
			h.rt.Fatal(err)
		}
		back, err := call.ParseEntry(line)
		if err != nil {
			h.rt.Fatal(err)
		}
		out = append(out, back)
	}
	return out
}

// onlyLive leaves out what follows from subjects that are over: totals, cool-downs, who was paused in an earlier shift.
func onlyLive(s queue.Snapshot) queue.Snapshot {
	s.Arrived, s.Ended = 0, nil
	s.Takers = slices.DeleteFunc(slices.Clone(s.Takers), func(t queue.TakerState) bool { return t.Shift == "" })
	for i := range s.Takers {
		s.Takers[i].Cool, s.Takers[i].WasPaused = time.Time{}, false
	}
	return s
}

// liveEntries are what the store gives a restart: the entries of unfinished subjects, subject by subject.
func liveEntries(es []call.Entry) []call.Entry {
	over := map[call.ID]bool{}
	var subjects []call.ID
	by := map[call.ID][]call.Entry{}
	for _, e := range es {
		if e.N == 0 {
			continue
		}
		switch ev := e.Event.(type) {
		case call.Ended, call.Acted:
			over[e.Of] = true
		case call.TakerChanged:
			over[e.Of] = ev.State == call.Off
		case call.Arrived, call.Scored, call.Queued, call.Offered, call.Rang, call.Answered, call.RoleSet, call.Heard, call.Left,
			call.Restored, call.Classified:
		}
		if by[e.Of] == nil {
			subjects = append(subjects, e.Of)
		}
		by[e.Of] = append(by[e.Of], e)
	}
	slices.Sort(subjects)
	var out []call.Entry
	for _, id := range subjects {
		if !over[id] {
			out = append(out, by[id]...)
		}
	}
	return out
}
