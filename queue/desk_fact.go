package queue

import (
	"maps"
	"slices"
	"strings"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// Codes of a Drop.
const (
	codeHangUp    = 0 // a plain BYE
	codeElsewhere = 200
	codeForbidden = 403
	codeUnknown   = 404
	codeTimeout   = 408
	codeHungUp    = 480 // the caller's leg of a call that the taker ended before our 200 had gone
	codeNotThere  = 480 // a colleague's phone is not up, or does not answer
	codeNoCall    = 481 // there is no consultation that could take the caller over
	codeBusy      = 486
	codeGone      = 487
	codeStopping  = 503
)

// fact takes what the line saw.
func (d *Desk) fact(id call.ID, ev call.Event) {
	if a, ok := ev.(call.Arrived); ok {
		d.arrive(id, a)
		return
	}
	if d.asideFact(id, ev) {
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
		d.admit(c, ev.Trunk)
		d.greet(c)
	}
}

func (d *Desk) rang(c *liveCall, ev call.Rang) {
	l := c.leg(ev.Leg)
	if l == nil || l.rang || l.purpose == dialed || !l.answered.IsZero() {
		d.stray(ev)
		return
	}
	if t := d.taker(l.to.Taker); t != nil {
		t.rang = d.now
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

// answeredTaker: the first to answer a waiting call has the caller. A later one is journaled and dropped. One that nobody can
// have any more, because it is being dropped or the caller is gone, is dropped again, now by BYE; it is not journaled, or the
// record would name it as who answered.
func (d *Desk) answeredTaker(c *liveCall, ev call.Answered) {
	l := c.leg(ev.Leg)
	if l == nil || !l.answered.IsZero() {
		d.stray(ev)
		return
	}
	if t := d.taker(l.to.Taker); t != nil && l.purpose != dialed {
		t.answered = d.now
		if t.missed > 0 && t.shift != "" {
			d.note(t, answeredOne)
		}
	}
	wanted := l.dropped.IsZero() && c.open()
	switch {
	case wanted && l.purpose == dialed:
		d.emit(c, ev)
	case wanted && l.purpose == consulted:
		d.emit(c, ev)
		if own, _ := c.consultation(); own != nil {
			d.do(Answer{Of: c.id, Leg: own.n})
		}
	case wanted && l.purpose == transferring, wanted && c.holder == 0:
		giver := c.holder
		d.emit(c, ev)
		d.connect(c, ev.Leg)
		if g := c.leg(giver); g != nil {
			d.dropLeg(c, g, codeElsewhere)
		}
	case l.purpose == answering && (c.holder != 0 || c.done):
		d.emit(c, ev)
		d.dropLeg(c, c.leg(ev.Leg), codeElsewhere)
	default:
		code := l.code
		if l.dropped.IsZero() {
			code = c.why(l)
		}
		d.stray(ev)
		d.dropLeg(c, l, code)
	}
}

// connect lets the caller talk with the leg that has just got him.
func (d *Desk) connect(c *liveCall, n call.Leg) {
	d.emit(c, call.RoleSet{Leg: 0, Role: call.Talking})
	d.emit(c, call.RoleSet{Leg: n, Role: call.Talking})
	if d.rules.Answer != config.AnswerQueue && !c.answered {
		d.do(Answer{Of: c.id})
	}
	d.mix(c)
}

// leave takes the end of a leg. What it means for the others, settle says.
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
	if l.purpose == consulted && l.answered.IsZero() && ev.By == "taker" && ev.Code >= 400 { // busy, or declined: who asked is told so
		if own, _ := c.consultation(); own != nil {
			d.dropLeg(c, own, ev.Code)
		}
	}
	if l.old && !inTheRestart(ev) {
		ev.Why = strings.TrimSuffix(inRestart+": "+ev.Why, ": ")
	}
	if l.missed(ev) {
		ev.Why = strings.TrimSuffix(noAnswer+": "+ev.Why, ": ")
	}
	if ev.By == "taker" && !l.gave.IsZero() && d.now.Sub(l.gave) <= giveTime {
		ev.Why = strings.TrimSuffix(gaveAway+": "+ev.Why, ": ")
	}
	gone := *l
	if c.cold && inTheRestart(ev) && l.answered.IsZero() && (l.purpose == consulted || l.purpose == transferring && c.role == call.Waiting) {
		c.again = append(c.again, gone)
	}
	d.emit(c, ev)
	if t := d.taker(gone.to.Taker); t != nil {
		if t.state == call.Ready && strings.HasPrefix(ev.Why, noAnswer) {
			d.note(t, noAnswer)
		}
		d.freed(t, gone.talked, c.id)
	}
}

// missed tells whether a leg that ends so was an offer that nobody answered in time; to reject it is an answer of a kind.
func (l *leg) missed(ev call.Left) bool {
	if l.purpose != answering || !l.answered.IsZero() {
		return false
	}
	if l.dropped.IsZero() {
		return ev.By == "network"
	}
	return l.code == codeTimeout && ev.By != "taker"
}

// settle brings a call's legs in line with what it has come to: which are left over, who talks, and whether the caller must
// wait again. It ends the call when the last leg has left. What a start has found waits until it is resumed.
func (d *Desk) settle(c *liveCall) {
	if c.cold {
		return
	}
	if c.done && !c.left && c.dropped.IsZero() {
		d.dropCaller(c, c.hangUp())
	}
	for i := range c.legs {
		if l := &c.legs[i]; l.dropped.IsZero() && c.surplus(l) {
			d.dropLeg(c, l, c.why(l))
		}
	}
	switch {
	case !c.open():
	case c.holder != 0:
		d.arrange(c)
	case c.adrift && c.transferred() == nil:
		d.requeue(c)
	}
	d.finish(c)
}

// requeue lets a caller whose taker was lost wait again, at the old place.
func (d *Desk) requeue(c *liveCall) {
	if c.role != call.Waiting {
		d.emit(c, call.RoleSet{Leg: 0, Role: call.Waiting})
	}
	d.emit(c, call.Queued{Queue: theQueue, Since: c.since, Passed: c.passed})
	d.mix(c)
	d.do(Play{Of: c.id, Prompt: PromptWaiting})
}

// finish ends a call whose legs have all left; never before, or a crash would leave somebody connected for ever.
func (d *Desk) finish(c *liveCall) {
	if c.left && len(c.legs) == 0 {
		d.emit(c, call.Ended{Outcome: c.outcome()})
	}
}

// surplus tells whether nobody needs the leg any more.
func (c *liveCall) surplus(l *leg) bool {
	if c.left || c.done {
		return true
	}
	if l.n == c.holder || l.served() {
		return false
	}
	switch l.purpose {
	case answering:
		return c.holder != 0
	case transferring:
		return !l.answered.IsZero() // it had the caller, and has given him away
	case consulted:
		own, _ := c.consultation()
		return c.holder == 0 || own == nil && !c.joined
	case dialed:
		h := c.leg(c.holder)
		_, other := c.consultation()
		return h == nil || other == nil || h.to.Taker != l.to.Taker
	}
	return false
}

// why is the code with which a leg of this call is dropped.
func (c *liveCall) why(l *leg) int {
	switch {
	case c.stopped:
		return codeStopping
	case l.purpose == dialed && l.answered.IsZero():
		return codeNotThere
	case l.purpose == dialed:
		return codeHangUp
	case c.left:
		return codeGone
	case l.purpose == consulted && l.answered.IsZero():
		return codeGone
	case l.purpose == consulted:
		return codeHangUp
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
	return c.reject == 0 && !c.test && !c.left && !c.done && !c.stopped && c.dropped.IsZero()
}

func (c *liveCall) outcome() call.Outcome {
	switch {
	case c.reject == codeStopping:
		return call.WasRefused
	case c.reject != 0:
		return call.WasRejected
	case c.lost || c.stopped:
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
	d.stopAsides()
}
