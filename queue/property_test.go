package queue_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// TestProperties plays random histories on a desk, with each strategy and mode, and holds every step against a model
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
	if rapid.Bool().Draw(t, "talking") {
		h.talking()
	}
	for range rapid.IntRange(40, 200).Draw(t, "steps") {
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

// moves are what may happen, the common ones first, for rapid draws those more often.
var moves = []string{
	"line", "ask", "arrive", "dial", "ask", "line", "time", "arrive", "ask", "line", "dial", "phone", "aside", "line", "time",
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
	case "ask":
		legs := h.model.liveLegs()
		if rapid.IntRange(0, 9).Draw(h.rt, "sense") > 0 {
			legs = slices.DeleteFunc(legs, func(l *modelLeg) bool { return l.n == 0 || l.dropped || !l.answered })
		}
		if len(legs) > 0 {
			h.askAny(rapid.SampledFrom(legs).Draw(h.rt, "leg"))
		}
	case "dial":
		h.dialAny()
	case "aside":
		h.aside()
	case "replay":
		h.replay()
	case "restart":
		if rapid.IntRange(0, 9).Draw(h.rt, "really") == 0 {
			h.crash()
		}
	}
}

// talking is a beginning in which somebody talks already: what phones want makes sense then.
func (h *history) talking() {
	for _, k := range []call.TakerID{"t1", "t2", "t3"} {
		h.phoneOf(k, true)
	}
	h.calls++
	id := call.ID(fmt.Sprintf("c%03d", h.calls))
	h.input(queue.Fact{Of: id, Event: call.Arrived{Caller: asserted("+62800")}})
	h.input(queue.Fact{Of: id, Event: call.Answered{Leg: 1}})
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
	h.phoneOf(h.anyTaker(), rapid.IntRange(0, 3).Draw(h.rt, "up") > 0)
}

func (h *history) phoneOf(k call.TakerID, up bool) {
	h.shifts++
	h.model.taker(k).up = up
	h.input(queue.Phone{Shift: call.ID(fmt.Sprintf("s%03d", h.shifts)), Who: call.Party{Taker: k}, Up: up})
}

// askAny lets the phone of a leg want something, with sense or without.
func (h *history) askAny(l *modelLeg) {
	wants := []string{queue.WantHold, queue.WantResume, queue.WantTransfer, queue.WantReplace, queue.WantPlayed}
	a := queue.Ask{Of: l.call.id, Leg: l.n, Want: rapid.SampledFrom(wants).Draw(h.rt, "want")}
	if a.Want == queue.WantTransfer {
		a.To.URI = string(h.anyTaker())
	}
	if c := l.call; c.open() && l.answered && !l.dropped && (l.n != 0 && l.n == c.has || l.what == call.ForConsult || l.what == call.ForOwn && !l.code) {
		switch a.Want {
		case queue.WantHold:
			l.held = true
		case queue.WantResume:
			l.held = false
		}
	}
	h.input(a)
}

// dialAny is a phone's own INVITE: a leg of the call where the line knows the taker, else of an act.
func (h *history) dialAny() {
	h.acts++
	act := call.ID(fmt.Sprintf("a%03d", h.acts))
	who := h.anyTaker()
	a := queue.Ask{ID: act, Of: act, Want: queue.WantDial, To: call.Party{Taker: who}}
	talks := slices.DeleteFunc(h.model.liveLegs(), func(l *modelLeg) bool { return l.what == "" || l.what == call.ForOwn || !l.answered })
	if len(talks) > 0 && rapid.Bool().Draw(h.rt, "talks") {
		a.To.Taker = rapid.SampledFrom(talks).Draw(h.rt, "who").to
	}
	for _, l := range talks {
		if l.to == a.To.Taker {
			a.Of, a.Leg = l.call.id, own-call.Leg(l.call.dialed)
			l.call.dialed++
			break
		}
	}
	a.To.URI = rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "t1", "t2", "t3", "t4", "*4", "*0", "*00", "*9", "*", "0811"}).Draw(h.rt, "number")
	if h.model.asides[a.Of] == nil {
		h.model.asides[a.Of] = map[call.Leg]*modelLeg{}
	}
	h.model.asides[a.Of][a.Leg] = &modelLeg{n: a.Leg, to: a.To.Taker, code: strings.HasPrefix(a.To.URI, "*"), since: h.now}
	h.input(a)
}

// aside lets one leg that is no part of a call go on.
func (h *history) aside() {
	type at struct {
		of call.ID
		n  call.Leg
	}
	var all []at
	for _, of := range slices.Sorted(maps.Keys(h.model.asides)) {
		for _, n := range slices.Sorted(maps.Keys(h.model.asides[of])) {
			all = append(all, at{of, n})
		}
	}
	if len(all) == 0 {
		return
	}
	x := rapid.SampledFrom(all).Draw(h.rt, "aside")
	switch rapid.IntRange(0, 2).Draw(h.rt, "what") {
	case 0:
		h.input(queue.Fact{Of: x.of, Event: call.Answered{Leg: x.n}})
	case 1:
		h.input(queue.Ask{Of: x.of, Leg: x.n, Want: queue.WantPlayed})
	case 2:
		delete(h.model.asides[x.of], x.n)
		h.input(queue.Fact{Of: x.of, Event: call.Left{Leg: x.n, By: "taker"}})
	}
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
	case !l.answered && l.what == call.ForOwn:
		if l.asked {
			evs = append(evs, call.Answered{Leg: l.n}, call.Answered{Leg: l.n}, call.Answered{Leg: l.n})
		}
		by("taker", "network")
	case !l.answered:
		evs = append(evs, call.Answered{Leg: l.n}, call.Rang{Leg: l.n}, call.Answered{Leg: l.n}, call.Rang{Leg: l.n})
		by("taker", "network")
	default:
		evs = append(evs, call.Heard{Leg: l.n, What: "dtmf:1"}, call.Heard{Leg: l.n, What: "dtmf:2"})
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

// crash starts a new desk from what is live. The line takes up what was answered, in part; what rang has left by node. Phones
// come back in part.
func (h *history) crash() {
	h.restarted = true
	h.desk = queue.NewDesk(h.rules, pranksters(time.Minute))
	for _, e := range h.stored(liveEntries(h.entries)) {
		h.desk.Apply(e)
	}
	for _, k := range h.model.takers {
		k.up, k.sure = false, h.now.Add(time.Second+queue.CoolDown)
	}
	h.now = h.now.Add(time.Second)
	clear(h.model.asides)
	legs := h.model.liveLegs()
	for _, l := range legs {
		l.dropped, l.asked, l.call.mixed, l.call.cold = false, false, nil, true
		if l.n == 0 {
			h.input(queue.Fact{Of: l.call.id, Event: call.Restored{Node: "n", Gap: time.Second}})
		}
	}
	for _, l := range legs {
		if l.n != 0 && l.call.left {
			h.input(queue.Fact{Of: l.call.id, Event: call.Restored{Node: "n", Gap: time.Second}})
		}
	}
	for _, k := range []call.TakerID{"t1", "t2", h.anyTaker()} {
		h.phoneOf(k, true)
	}
	for _, l := range legs {
		rings := l.n != 0 && l.what != call.ForOwn && !l.answered
		switch {
		case rings || rapid.IntRange(0, 4).Draw(h.rt, "lost") == 0:
			h.input(queue.Fact{Of: l.call.id, Event: call.Left{Leg: l.n, By: "node", Why: "restart"}})
		case l.held:
			h.input(queue.Ask{Of: l.call.id, Leg: l.n, Want: queue.WantHold})
		}
	}
	for _, l := range legs {
		l.call.cold = false
	}
	h.input(queue.Tick{})
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
	h.pass(queue.ServeTime)
	for _, of := range slices.Sorted(maps.Keys(h.model.asides)) {
		for n := range h.model.asides[of] {
			delete(h.model.asides[of], n)
			h.input(queue.Fact{Of: of, Event: call.Left{Leg: n, By: "desk"}})
		}
	}
	v := h.desk.View(h.now)
	if n := h.desk.Asides(); n != 0 {
		h.rt.Fatalf("%d legs are forgotten", n)
	}
	if v.Live != 0 || v.Arrived != v.Ended {
		h.rt.Fatalf("the ledger is wrong: %+v", v.Totals)
	}
	numbers := map[call.ID]uint32{}
	for _, e := range h.entries {
		if e.N == 0 {
			continue
		}
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

// onlyLive leaves out what follows from subjects that are over: totals, cool-downs, who was paused in an earlier shift, offers
// that were not answered, last calls.
func onlyLive(s queue.Snapshot) queue.Snapshot {
	s.Arrived, s.Ended, s.Last = 0, nil, nil
	s.Takers = slices.DeleteFunc(slices.Clone(s.Takers), func(t queue.TakerState) bool { return t.Shift == "" })
	for i := range s.Takers {
		s.Takers[i].Cool, s.Takers[i].WasPaused, s.Takers[i].Missed = time.Time{}, false, 0
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
