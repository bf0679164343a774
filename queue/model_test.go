package queue_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
)

// model is what an observer makes of a desk's entries and actions, written another way than the desk.
type model struct {
	all    bool // ring-all
	calls  map[call.ID]*modelCall
	takers map[call.TakerID]*modelTaker
	stop   bool
}

type modelCall struct {
	id       call.ID
	since    time.Time
	delay    time.Duration
	queued   bool
	passed   uint8 // as journaled
	overtook int   // as seen
	lastTo   call.TakerID
	caller   *modelLeg
	legs     map[call.Leg]*modelLeg // takers', live
	talking  call.Leg
	done     bool
	left     bool
	gone     bool // refused, restored, test: never to be offered
	ended    bool
}

type modelLeg struct {
	call                     *modelCall
	n                        call.Leg
	to                       call.TakerID
	asked, answered, dropped bool
}

type modelTaker struct {
	up    bool
	state call.TakerState
	legs  int
	cool  time.Time
	sure  time.Time // until then a cool-down may have been lost with its call in a restart
}

func newModel(r queue.Rules) *model {
	return &model{
		all: r.Queue.Strategy == config.RingAll, calls: map[call.ID]*modelCall{}, takers: map[call.TakerID]*modelTaker{},
	}
}

func (m *model) taker(id call.TakerID) *modelTaker {
	if m.takers[id] == nil {
		m.takers[id] = &modelTaker{state: call.Off}
	}
	return m.takers[id]
}

func (m *model) sorted() []*modelCall {
	return slices.SortedFunc(maps.Values(m.calls), func(a, b *modelCall) int { return cmp.Compare(a.id, b.id) })
}

// liveLegs are all legs that have not left, callers first within their call.
func (m *model) liveLegs() []*modelLeg {
	var legs []*modelLeg
	for _, c := range m.sorted() {
		if !c.left {
			legs = append(legs, c.caller)
		}
		for _, n := range slices.Sorted(maps.Keys(c.legs)) {
			legs = append(legs, c.legs[n])
		}
	}
	return legs
}

// live tells whether any call has that leg.
func (m *model) live(n call.Leg) bool {
	return slices.ContainsFunc(m.liveLegs(), func(l *modelLeg) bool { return l.n == n })
}

// waits tells whether the call is waiting for a taker.
func (c *modelCall) waits() bool {
	return c.queued && c.talking == 0 && !c.done && !c.left && !c.gone && !c.caller.dropped
}

func (c *modelCall) rings() bool {
	for _, l := range c.legs {
		if !l.dropped && !l.answered {
			return true
		}
	}
	return false
}

func (c *modelCall) before(other *modelCall) bool {
	return c.since.Before(other.since) || c.since.Equal(other.since) && c.id < other.id
}

func (m *model) free(now time.Time) []call.TakerID {
	var free []call.TakerID
	for id, k := range m.takers {
		if k.up && k.state == call.Ready && k.legs == 0 && !k.cool.After(now) {
			free = append(free, id)
		}
	}
	return free
}

// observe takes one step: drops come before offers in every step, so they are noted first.
func (m *model) observe(t *rapid.T, now time.Time, es []call.Entry, do []queue.Action) {
	for _, e := range es {
		if ev, ok := e.Event.(call.Arrived); ok {
			c := &modelCall{id: e.Of, gone: ev.Reject != 0 || ev.Test, legs: map[call.Leg]*modelLeg{}}
			c.caller = &modelLeg{call: c}
			m.calls[e.Of] = c
		}
	}
	for _, a := range do {
		m.action(t, a)
	}
	for _, e := range es {
		m.entry(t, now, e)
	}
	m.nobodyIdle(t, now)
}

func (m *model) action(t *rapid.T, a queue.Action) {
	switch a := a.(type) {
	case queue.Answer:
		m.calls[a.Of].caller.asked = true
	case queue.Drop:
		c := m.calls[a.Of]
		if l := c.legs[a.Leg]; l != nil {
			l.dropped = true
		} else if a.Leg == 0 {
			c.caller.dropped = true
			if a.Code == 503 && !c.gone {
				m.stop = true
			}
		} else {
			t.Fatalf("a leg is dropped that was never rung: %s", showAction(a))
		}
	case queue.Ring, queue.Mix, queue.Play:
	}
}

func (m *model) entry(t *rapid.T, now time.Time, e call.Entry) {
	if e.Of.Kind() == call.Shift {
		ev := e.Event.(call.TakerChanged)
		k := m.taker(ev.Taker)
		if ev.State == call.Off && k.legs > 0 {
			t.Fatalf("%s goes off with a leg", ev.Taker)
		}
		k.state = ev.State
		return
	}
	c := m.calls[e.Of]
	if c.ended {
		t.Fatalf("%s: %s after Ended", c.id, show(e.Event))
	}
	switch ev := e.Event.(type) {
	case call.Scored:
		c.delay = ev.Delay
	case call.Queued:
		if ev.Passed < c.passed || ev.Passed > 3 || ev.Passed > c.passed+1 {
			t.Fatalf("%s: passed goes from %d to %d", c.id, c.passed, ev.Passed)
		}
		c.queued, c.since, c.passed = true, ev.Since, ev.Passed
	case call.Offered:
		m.offered(t, now, c, ev)
	case call.Answered:
		if ev.Leg == 0 {
			c.caller.answered = true
		} else {
			c.legs[ev.Leg].answered = true
		}
	case call.RoleSet:
		m.role(t, c, ev)
	case call.Left:
		m.leftLeg(now, c, ev)
	case call.Restored:
		c.gone = c.gone || !c.left
		c.caller.dropped = true
		for _, l := range c.legs {
			l.dropped = true
		}
	case call.Ended:
		if !c.left || len(c.legs) > 0 {
			t.Fatalf("%s ended before every leg had left", c.id)
		}
		c.ended = true
	case call.Arrived, call.Rang, call.Heard, call.Classified, call.TakerChanged, call.Acted:
	}
}

// offered is where the order of serving shows.
func (m *model) offered(t *rapid.T, now time.Time, c *modelCall, ev call.Offered) {
	free := m.free(now)
	k := m.taker(ev.To.Taker)
	cooled := k.up && k.state == call.Ready && k.legs == 0 && k.sure.After(now)
	if !cooled && !slices.Contains(free, ev.To.Taker) {
		t.Fatalf("%s is offered to %s, who is not free", c.id, ev.To.Taker)
	}
	if !c.waits() {
		t.Fatalf("%s is offered and does not wait", c.id)
	}
	if !m.all && c.lastTo == ev.To.Taker && len(free) > 1 {
		t.Fatalf("%s is offered to %s twice in a row, and %v are free", c.id, ev.To.Taker, free)
	}
	if !c.rings() {
		for _, w := range m.sorted() {
			if w == c || !w.waits() || w.rings() || !w.before(c) {
				continue
			}
			w.overtook++
			switch {
			case w.delay == 0:
				t.Fatalf("%s overtakes %s, which has no delay", c.id, w.id)
			case now.Sub(w.since) >= time.Minute:
				t.Fatalf("%s overtakes %s, which has waited %s", c.id, w.id, now.Sub(w.since))
			case w.overtook > 3:
				t.Fatalf("%s is overtaken for the 4th time, by %s", w.id, c.id)
			case int(w.passed) < w.overtook:
				t.Fatalf("%s was overtaken %d times, journaled %d", w.id, w.overtook, w.passed)
			}
		}
	}
	c.lastTo = ev.To.Taker
	c.legs[ev.Leg] = &modelLeg{call: c, n: ev.Leg, to: ev.To.Taker}
	k.legs++
}

func (m *model) role(t *rapid.T, c *modelCall, ev call.RoleSet) {
	if ev.Leg == 0 {
		return
	}
	if c.talking != 0 {
		t.Fatalf("%s: legs %d and %d talk with one caller", c.id, c.talking, ev.Leg)
	}
	c.talking = ev.Leg
}

func (m *model) leftLeg(now time.Time, c *modelCall, ev call.Left) {
	if ev.Leg == 0 {
		c.left = true
		return
	}
	l := c.legs[ev.Leg]
	delete(c.legs, ev.Leg)
	k := m.taker(l.to)
	k.legs--
	switch {
	case c.talking == ev.Leg:
		c.talking, c.done = 0, ev.By == "taker"
	case !l.answered && c.talking == 0 && !c.done && !c.left && !c.gone:
		k.cool = now.Add(queue.CoolDown)
	}
}

// nobodyIdle: a free taker and a call that he may take never coexist.
func (m *model) nobodyIdle(t *rapid.T, now time.Time) {
	free := m.free(now)
	if m.stop || len(free) == 0 {
		return
	}
	for _, c := range m.sorted() {
		if c.waits() && (m.all || !c.rings()) {
			t.Fatalf("%v are free and %s waits", free, c.id)
		}
	}
}
