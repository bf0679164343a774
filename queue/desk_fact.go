package queue

import (
	"maps"
	"slices"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// Codes of a Drop.
const (
	codeElsewhere = 200
	codeTimeout   = 408
	codeHungUp    = 480 // the caller's leg of a call that the taker ended before our 200 had gone
	codeGone      = 487
	codeStopping  = 503
)

// fact takes what the line saw.
func (d *Desk) fact(id call.ID, ev call.Event) {
	if a, ok := ev.(call.Arrived); ok {
		d.arrive(id, a)
		return
	}
	c := d.calls[id]
	if c == nil {
		d.stray(ev)
		return
	}
	switch ev := ev.(type) {
	case call.Rang:
		d.rang(c, ev)
	case call.Answered:
		if ev.Leg == 0 {
			d.answeredCaller(c, ev)
		} else {
			d.answeredTaker(c, ev)
		}
	case call.Heard:
		if c.heard < mostHeard && (ev.Leg == 0 && !c.left || c.leg(ev.Leg) != nil) {
			d.emit(c, ev)
		} else {
			d.stray(ev)
		}
	case call.Left:
		d.leave(c, ev)
	case call.Restored:
		d.restore(c, ev)
	case nil, call.Arrived, call.Scored, call.Queued, call.Offered, call.RoleSet, call.Ended, call.Classified,
		call.TakerChanged, call.Acted: // not the line's to tell
		d.stray(ev)
	}
	d.settle(c)
}

// stray counts a fact that is ignored. A Left by node is none: so the line answers a Drop that crossed the leg's end.
func (d *Desk) stray(ev call.Event) {
	if l, ok := ev.(call.Left); ok && l.By == "node" {
		return
	}
	d.strays++
}

// arrive takes a new call. It is refused above the configured number of live calls and while draining, never for its score.
func (d *Desk) arrive(id call.ID, ev call.Arrived) {
	if id.Kind() != call.Call || d.calls[id] != nil {
		d.stray(ev)
		return
	}
	if ev.Reject == 0 && (d.draining || d.rules.MaxCalls > 0 && d.admitted >= d.rules.MaxCalls) {
		ev.Reject = codeStopping
	}
	d.write(call.Entry{Of: id, N: 1, At: d.now, Event: ev})
	c := d.calls[id]
	switch {
	case ev.Reject != 0:
		d.dropCaller(c, ev.Reject)
	case ev.Test:
		d.do(Answer{Of: id})
		d.do(Play{Of: id, Prompt: PromptWaiting})
		d.remind(due{of: id})
	default:
		d.emit(c, d.scorer.Score(d.now, ev.Trunk, ev.Caller))
		d.emit(c, call.Queued{Queue: theQueue, Since: c.arrived})
		d.greet(c)
	}
}

// greet lets the caller hear that somebody is there.
func (d *Desk) greet(c *liveCall) {
	switch d.rules.Answer {
	case config.AnswerTaker:
		d.do(Play{Of: c.id})
	case config.AnswerEarly:
		d.do(Play{Of: c.id, Prompt: PromptWaiting})
	case config.AnswerQueue:
		d.do(Answer{Of: c.id})
		d.do(Play{Of: c.id, Prompt: PromptWaiting})
	}
}

func (d *Desk) rang(c *liveCall, ev call.Rang) {
	if l := c.leg(ev.Leg); l == nil || l.rang || !l.answered.IsZero() {
		d.stray(ev)
		return
	}
	d.emit(c, ev)
}

func (d *Desk) answeredCaller(c *liveCall, ev call.Answered) {
	if c.answered || c.left {
		d.stray(ev)
		return
	}
	d.emit(c, ev)
}

// answeredTaker: the first has the caller. A later one is journaled and dropped. One that nobody can have any more, because
// it is being dropped or the caller is gone, is dropped again, now by BYE; it is not journaled, or the record would name it
// as who answered.
func (d *Desk) answeredTaker(c *liveCall, ev call.Answered) {
	l := c.leg(ev.Leg)
	switch {
	case l == nil || !l.answered.IsZero():
		d.stray(ev)
	case l.dropped.IsZero() && c.open() && c.holder == 0:
		d.emit(c, ev)
		d.emit(c, call.RoleSet{Leg: 0, Role: call.Talking})
		d.emit(c, call.RoleSet{Leg: ev.Leg, Role: call.Talking})
		if d.rules.Answer != config.AnswerQueue && !c.answered {
			d.do(Answer{Of: c.id})
		}
		d.do(Mix{Of: c.id, Roles: map[call.Leg]call.Role{0: call.Talking, ev.Leg: call.Talking}})
	case c.holder != 0 || c.done:
		d.emit(c, ev)
		d.dropLeg(c, c.leg(ev.Leg), codeElsewhere)
	default:
		d.stray(ev)
		d.dropLeg(c, l, c.why())
	}
}

// leave takes the end of a leg. If it had the caller, the caller's leg follows a taker who hung up; a caller whose taker
// was lost waits again at the old place.
func (d *Desk) leave(c *liveCall, ev call.Left) {
	if ev.Leg == 0 {
		if c.left {
			d.stray(ev)
			return
		}
		d.emit(c, ev)
		return
	}
	l := c.leg(ev.Leg)
	if l == nil {
		d.stray(ev)
		return
	}
	who, talked := l.to.Taker, ev.Leg == c.holder
	d.emit(c, ev)
	if talked && !c.done && c.open() {
		d.emit(c, call.RoleSet{Leg: 0, Role: call.Waiting})
		d.emit(c, call.Queued{Queue: theQueue, Since: c.since, Passed: c.passed})
		d.do(Mix{Of: c.id, Roles: map[call.Leg]call.Role{0: call.Waiting}})
		d.do(Play{Of: c.id, Prompt: PromptWaiting})
	}
	if t := d.taker(who); t != nil {
		d.freed(t, talked, c.id)
	}
}

// restore takes a start that found the call unfinished. Nothing is offered any more; the line tells the end of each leg.
func (d *Desk) restore(c *liveCall, ev call.Restored) {
	if c.restored && !c.cold {
		d.stray(ev)
		return
	}
	c.cold = false
	d.emit(c, ev)
	for i := range c.legs {
		d.dropping(c, &c.legs[i], codeStopping)
	}
	if !c.left && c.dropped.IsZero() {
		c.dropped, c.code = d.now, codeStopping
		d.remind(due{of: c.id})
	}
	d.relist(c)
}

// settle brings a call's legs in line with what it has come to, and ends it when the last has left.
func (d *Desk) settle(c *liveCall) {
	if c.done && !c.left && c.dropped.IsZero() {
		d.dropCaller(c, c.hangUp())
	}
	for i := range c.legs {
		l := &c.legs[i]
		if l.dropped.IsZero() && (c.left || c.done || c.holder != 0 && c.holder != l.n) {
			d.dropLeg(c, l, c.why())
		}
	}
	d.finish(c)
}

// finish ends a call whose legs have all left; never before, or a crash would leave somebody connected for ever.
func (d *Desk) finish(c *liveCall) {
	if c.left && len(c.legs) == 0 {
		d.emit(c, call.Ended{Outcome: c.outcome()})
	}
}

// why is the code with which a leg of this call is dropped.
func (c *liveCall) why() int {
	switch {
	case c.stopped || c.restored:
		return codeStopping
	case c.left:
		return codeGone
	case c.holder != 0 || c.done:
		return codeElsewhere
	}
	return codeTimeout
}

// hangUp is the code with which the desk itself ends the call: a plain BYE, unless our 200 has not gone yet.
func (c *liveCall) hangUp() int {
	if c.answered {
		return 0
	}
	return codeHungUp
}

// open tells whether the caller is there to be served.
func (c *liveCall) open() bool {
	return c.reject == 0 && !c.test && !c.left && !c.done && !c.restored && !c.stopped && c.dropped.IsZero()
}

func (c *liveCall) outcome() call.Outcome {
	switch {
	case c.reject == codeStopping:
		return call.WasRefused
	case c.reject != 0:
		return call.WasRejected
	case c.restored || c.stopped:
		return call.WasRestart
	case c.test:
		return call.WasTest
	case c.human && c.answered:
		return call.WasAnswered
	case c.leftBy == "caller":
		return call.WasAbandoned
	}
	return call.WasFailed
}

// dropCaller ends the caller's leg.
func (d *Desk) dropCaller(c *liveCall, code int) {
	c.dropped, c.code = d.now, code
	d.do(Drop{Of: c.id, Code: code})
	d.remind(due{of: c.id})
	d.relist(c)
}

// dropLeg ends a taker's leg.
func (d *Desk) dropLeg(c *liveCall, l *leg, code int) {
	d.dropping(c, l, code)
	d.do(Drop{Of: c.id, Leg: l.n, Code: code})
}

// dropping notes that the leg is on its way out.
func (d *Desk) dropping(c *liveCall, l *leg, code int) {
	l.dropped, l.code = d.now, code
	d.remind(due{of: c.id, leg: l.n})
	d.relist(c)
}

// stopAll drops every leg. A call that was over already, but for its last messages, keeps its outcome.
func (d *Desk) stopAll() {
	d.stopping = true
	for _, id := range slices.Sorted(maps.Keys(d.calls)) {
		c := d.calls[id]
		if c.left || !c.dropped.IsZero() {
			continue
		}
		c.stopped = true
		for i := range c.legs {
			if c.legs[i].dropped.IsZero() {
				d.dropLeg(c, &c.legs[i], codeStopping)
			}
		}
		d.dropCaller(c, codeStopping)
	}
}
