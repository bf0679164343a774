package queue_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
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
	asides map[call.ID]map[call.Leg]*modelLeg // dialed, and no part of a call
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
	mixed    map[call.Leg]call.Role // the line's picture
	rung     call.Leg               // the highest leg rung
	dialed   int                    // legs that phones have dialed into it
	has      call.Leg               // who has the caller
	adrift   bool                   // who had is gone, and it is not queued again
	done     bool
	left     bool
	gone     bool // refused, test: never to be offered
	cold     bool // a start has found it, and it is not resumed
	ended    bool
}

type modelLeg struct {
	call                     *modelCall
	n                        call.Leg
	to                       call.TakerID
	what                     string // for what it was offered
	code                     bool   // it has dialed a feature code
	role                     call.Role
	since                    time.Time
	asked, answered, dropped bool
	held                     bool
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
		asides: map[call.ID]map[call.Leg]*modelLeg{},
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
	return c.queued && c.has == 0 && !c.adrift && c.open()
}

// open tells whether the caller is there to be served.
func (c *modelCall) open() bool { return !c.done && !c.left && !c.gone && !c.cold && !c.caller.dropped }

func (c *modelCall) rings() bool {
	for _, l := range c.legs {
		if l.what == call.ForAnswer && !l.dropped && !l.answered {
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
		if k.up && k.state == call.Ready && k.legs == 0 && !k.cool.After(now) && !m.listens(id) {
			free = append(free, id)
		}
	}
	return free
}

// listens tells whether the taker's phone hears the answer to a feature code.
func (m *model) listens(id call.TakerID) bool {
	for _, legs := range m.asides {
		for _, l := range legs {
			if l.asked && l.to == id {
				return true
			}
		}
	}
	return false
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
	m.nobodyAlone(t, now)
}

// leg is a live leg of a call, or one that is no part of it.
func (m *model) leg(of call.ID, n call.Leg) *modelLeg {
	if l := m.asides[of][n]; l != nil {
		return l
	}
	c := m.calls[of]
	switch {
	case c == nil:
		return nil
	case n == 0:
		return c.caller
	}
	return c.legs[n]
}

func (m *model) action(t *rapid.T, a queue.Action) {
	switch a := a.(type) {
	case queue.Answer:
		m.leg(a.Of, a.Leg).asked = true
	case queue.Drop:
		l, c := m.leg(a.Of, a.Leg), m.calls[a.Of]
		switch {
		case l != nil:
			l.dropped = true
			if a.Code == 503 && a.Leg == 0 && c != nil && !c.gone {
				m.stop = true
			}
		case c == nil || a.Leg != c.rung+1 || a.Code < 400: // but to refuse a transfer
			t.Fatalf("a leg is dropped that was never rung: %s", showAction(a))
		}
	case queue.Ring:
		m.calls[a.Of].rung = a.Leg
	case queue.Mix:
		m.calls[a.Of].mixed = a.Roles
	case queue.Play:
		if l := m.leg(a.Of, a.Leg); l != nil && l.role == call.Talking && l.dropped {
			t.Fatalf("a prompt for a leg that is gone: %s", showAction(a))
		}
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
	if e.Of.Kind() == call.Act || e.N == 0 {
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
		c.queued, c.since, c.passed, c.adrift = true, ev.Since, ev.Passed, false
	case call.Offered:
		if ev.For == call.ForAnswer {
			m.offered(t, now, c, ev)
		} else {
			m.asked(t, c, ev)
		}
		m.join(now, c, ev)
	case call.Answered:
		m.answeredLeg(t, c, ev)
	case call.RoleSet:
		l := c.caller
		if ev.Leg != 0 {
			l = c.legs[ev.Leg]
		}
		if l.role == ev.Role && ev.Leg != c.has {
			t.Fatalf("%s: leg %d is %s again", c.id, ev.Leg, ev.Role)
		}
		l.role = ev.Role
		c.follow()
	case call.Left:
		m.leftLeg(now, c, ev)
	case call.Ended:
		if !c.left || len(c.legs) > 0 {
			t.Fatalf("%s ended before every leg had left", c.id)
		}
		c.ended = true
	case call.Arrived, call.Rang, call.Heard, call.Restored, call.Classified, call.TakerChanged, call.Acted:
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
}

// asked is a leg that a taker's phone has asked for: the colleague's, or its own.
func (m *model) asked(t *rapid.T, c *modelCall, ev call.Offered) {
	k := m.taker(ev.To.Taker)
	switch {
	case !c.open():
		t.Fatalf("%s is over, and %s is asked for", c.id, ev.For)
	case ev.For == call.ForOwn:
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.legs)), func(l *modelLeg) bool { return l.to == ev.To.Taker && l.answered }) {
			t.Fatalf("%s: %s has dialed into it and is not in it", c.id, ev.To.Taker)
		}
	case !k.up || k.state == call.Off || k.legs > 0:
		t.Fatalf("%s: %s is rung and not free: %+v", c.id, ev.To.Taker, k)
	}
}

// join takes a leg into the call; one that was dialed is known already.
func (m *model) join(now time.Time, c *modelCall, ev call.Offered) {
	l := &modelLeg{call: c, n: ev.Leg}
	if ev.For == call.ForOwn {
		l = m.asides[c.id][ev.Leg]
		delete(m.asides[c.id], ev.Leg)
	}
	l.call, l.to, l.what, l.since = c, ev.To.Taker, ev.For, now
	c.legs[l.n] = l
	m.taker(l.to).legs++
	if l.what == call.ForAnswer || l.what == call.ForTransfer {
		c.lastTo = l.to
	}
}

func (m *model) answeredLeg(t *rapid.T, c *modelCall, ev call.Answered) {
	if ev.Leg == 0 {
		c.caller.answered = true
		return
	}
	l := c.legs[ev.Leg]
	l.answered = true
	if takes := l.what == call.ForTransfer || l.what == call.ForAnswer && c.has == 0; takes && !c.done && !c.left && !c.gone {
		if l.dropped {
			t.Fatalf("%s goes to leg %d, which is being dropped", c.id, l.n)
		}
		c.has, c.adrift, l.role = l.n, false, call.Talking
	}
	c.follow()
}

// follow is who has the caller when the one who had him is gone or silent.
func (c *modelCall) follow() {
	if h := c.legs[c.has]; c.caller.role != call.Talking || c.done || c.left || h != nil && h.role == call.Talking {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(c.legs)) {
		if l := c.legs[n]; l.what != call.ForOwn && l.answered && l.role == call.Talking {
			c.has, l.held = n, false
			return
		}
	}
}

// ringsTransfer tells whether a colleague's phone rings for it; sure: and will go on ringing.
func (c *modelCall) ringsTransfer(sure bool) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(c.legs)), func(l *modelLeg) bool {
		return l.what == call.ForTransfer && !l.answered && (!sure || !l.dropped)
	})
}

func (m *model) leftLeg(now time.Time, c *modelCall, ev call.Left) {
	if ev.Leg == 0 {
		c.left = true
		return
	}
	l := c.legs[ev.Leg]
	passes := c.caller.role == call.Waiting && c.ringsTransfer(false)
	delete(c.legs, ev.Leg)
	k := m.taker(l.to)
	k.legs--
	offered := l.what == call.ForTransfer || l.what == call.ForAnswer && c.has == 0
	switch {
	case c.has == ev.Leg:
		c.has = 0
		if c.follow(); c.has == 0 {
			c.done = ev.By == "taker" && !passes && !strings.HasPrefix(ev.Why, "gave away")
			c.adrift = !c.done
		}
	case !l.answered && offered && !c.done && !c.left && !c.gone && ev.By != "node":
		k.cool = now.Add(queue.CoolDown)
	}
}

// nobodyAlone: a caller has a place, a taker, or a transfer under way; who talks with whom is what the phones have asked for,
// and the line has been told; no taker is in two calls; and nothing lasts for ever.
func (m *model) nobodyAlone(t *rapid.T, now time.Time) {
	in := map[call.TakerID]call.ID{}
	for _, c := range m.sorted() {
		for _, l := range c.legs {
			if other, ok := in[l.to]; ok && other != c.id {
				t.Fatalf("%s is in %s and in %s", l.to, other, c.id)
			}
			in[l.to] = c.id
		}
		if !m.stop && c.open() && c.queued {
			m.whoTalks(t, now, c)
		}
	}
	for of, legs := range m.asides {
		for n, l := range legs {
			if !l.dropped && (!l.asked || now.Sub(l.since) >= queue.ServeTime) {
				t.Fatalf("leg %d of %s was dialed and is left alone", n, of)
			}
		}
	}
}

func (m *model) whoTalks(t *rapid.T, now time.Time, c *modelCall) {
	var own, other, third bool
	talking := 0
	for n, l := range c.legs {
		if l.dropped {
			continue
		}
		if l.answered && c.mixed[n] != l.role {
			t.Fatalf("%s: leg %d is %s, and the line has %v", c.id, n, l.role, c.mixed)
		}
		if l.role == call.Talking {
			talking++
			third = third || l.what == call.ForOwn
		}
		own = own || l.what == call.ForOwn && !l.code
		other = other || l.what == call.ForConsult && n != c.has
		if l.code && now.Sub(l.since) >= queue.ServeTime {
			t.Fatalf("%s: leg %d is left alone", c.id, n)
		}
	}
	h := c.legs[c.has]
	switch {
	case c.mixed[0] != c.caller.role:
		t.Fatalf("%s: the caller is %s, and the line has %v", c.id, c.caller.role, c.mixed)
	case h == nil && own, h == nil && other, own && !other:
		t.Fatalf("%s: half a consultation is left", c.id)
	case h == nil && !c.waits() && !c.ringsTransfer(true):
		t.Fatalf("%s: the caller is left alone", c.id)
	case h == nil && talking+int(c.caller.role) > 0:
		t.Fatalf("%s: %d talk with nobody", c.id, talking)
	case h == nil:
	case h.dropped || !h.answered:
		t.Fatalf("%s: leg %d has the caller and is not there", c.id, c.has)
	case c.caller.role == call.Talking && (h.role != call.Talking || third || h.held || c.ringsTransfer(true)):
		t.Fatalf("%s: the caller talks, but not with who has him", c.id)
	case c.caller.role == call.Waiting && (talking != 0 && talking != 2 || talking == 2 && !third):
		t.Fatalf("%s: the caller waits and %d talk", c.id, talking)
	case c.caller.role == call.Waiting && !h.held && !own && !c.ringsTransfer(true):
		t.Fatalf("%s: the caller waits and nobody holds him", c.id)
	}
}

// nobodyIdle: a free taker and a call that he may take never coexist.
func (m *model) nobodyIdle(t *rapid.T, now time.Time) {
	free := m.free(now)
	if m.stop || len(free) == 0 || slices.ContainsFunc(m.sorted(), func(c *modelCall) bool { return c.cold && !c.ended }) {
		return
	}
	for _, c := range m.sorted() {
		if c.waits() && (m.all || !c.rings()) {
			t.Fatalf("%v are free and %s waits", free, c.id)
		}
	}
}
