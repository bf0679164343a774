package queue

import (
	"slices"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// restore takes a start that found the call unfinished. It goes on with the next Tick: until then the line tells which legs
// it could not take up, and what phones hold.
func (d *Desk) restore(c *liveCall, ev call.Restored) {
	if !c.cold || c.waking {
		d.stray(ev)
		return
	}
	c.waking = true
	d.waking = append(d.waking, c)
	d.emit(c, ev)
	c.guess()
}

// guess is what the roles tell of what phones hold: that was not journaled. Where they leave it open, a phone holds nothing
// unless the line says so.
func (c *liveCall) guess() {
	h := c.leg(c.holder)
	if h == nil {
		return
	}
	switch own, other := c.consultation(); {
	case own != nil && c.role == call.Talking:
		c.joined = other != nil && other.role == call.Talking
		own.held = !c.joined
	case own == nil && other != nil:
		c.joined = other.stays
	case own == nil && c.transferred() == nil:
		h.held = c.role == call.Waiting && h.role == call.Waiting
	}
}

// wakeUp lets what was Restored go on, in the order of arrival, and then does what phones have wanted meanwhile.
func (d *Desk) wakeUp() {
	if len(d.waking) == 0 {
		return
	}
	waking, asks := d.waking, d.later
	d.waking, d.later = nil, nil
	slices.SortFunc(waking, place)
	for _, c := range waking {
		d.takeUp(c)
	}
	for _, a := range asks {
		d.ask(a)
	}
}

// takeUp decides what the run before has decided and perhaps not done, and tells the line the whole picture of the call: each
// verb is idempotent.
func (d *Desk) takeUp(c *liveCall) {
	c.cold, c.waking = false, false
	for i := range c.legs {
		if t := d.taker(c.legs[i].to.Taker); t != nil && t.party.Taker == "" { // its phone is here, registered or not
			t.party = c.legs[i].to
		}
		switch l := &c.legs[i]; {
		case l.served(): // what it was told is done
			d.dropLeg(c, l, codeHangUp)
		case l.purpose != dialed && l.answered.IsZero(): // it rang for the run before
			l.old = true
			d.dropLeg(c, l, codeStopping)
		}
	}
	switch {
	case c.left:
	case c.reject != 0:
		d.dropCaller(c, c.reject)
	case c.test:
		d.do(Answer{Of: c.id})
		d.do(Play{Of: c.id, Prompt: PromptWaiting})
		d.remind(due{of: c.id})
	case c.open() && !c.queued:
		d.admit(c, "")
	}
	d.askAgain(c)
	d.settle(c)
	if c.open() {
		d.picture(c)
	}
	d.relist(c)
}

// askAgain rings the colleagues' phones that rang when the run before ended: for a consultation, and for a caller whose taker has
// gone. A taker who is still there has the caller again, and the line has told the phone that the transfer has failed.
func (d *Desk) askAgain(c *liveCall) {
	again := c.again
	c.again = nil
	for _, l := range again {
		t, code := d.colleague(l.to.Taker)
		if code != 0 || !c.open() || c.lastLeg >= mostLegs {
			continue
		}
		own, other := c.consultation()
		h := c.leg(c.holder)
		switch {
		case l.purpose == transferring && h == nil && c.adrift && own == nil && other == nil && c.transferred() == nil:
			d.ring(c, t, call.ForTransfer, d.display(c))
		case l.purpose == consulted && h != nil && own != nil && other == nil && own.to.Taker == h.to.Taker:
			d.ring(c, t, call.ForConsult, consultation(h.to.Taker))
		}
	}
}

// picture tells the line what each leg of a call is to do and to hear.
func (d *Desk) picture(c *liveCall) {
	if c.holder == 0 && c.transferred() == nil {
		d.greet(c)
		if c.answered {
			d.mix(c)
			d.do(Play{Of: c.id, Prompt: PromptWaiting})
		}
		return
	}
	if !c.answered {
		d.do(Answer{Of: c.id})
	}
	switch own, other := c.consultation(); {
	case own == nil || !own.answered.IsZero():
	case other != nil && !other.answered.IsZero():
		d.do(Answer{Of: c.id, Leg: own.n})
	default:
		d.do(Play{Of: c.id, Leg: own.n})
	}
	d.mix(c)
	if c.role == call.Waiting {
		d.do(Play{Of: c.id, Prompt: PromptMusic})
	}
	for i := range c.legs {
		l := &c.legs[i]
		if l.n != c.holder && l.role == call.Waiting && !l.answered.IsZero() && l.dropped.IsZero() && c.bored(l) {
			d.do(Play{Of: c.id, Leg: l.n, Prompt: PromptMusic})
		}
	}
}

// bored tells whether the leg, which is silent, is to hear music.
func (c *liveCall) bored(l *leg) bool {
	return !l.held && (l.purpose != dialed || c.role == call.Waiting)
}

// admit gives a new call its score and its place.
func (d *Desk) admit(c *liveCall, trunk string) {
	d.emit(c, d.scorer.Score(d.now, trunk, c.caller))
	d.emit(c, call.Queued{Queue: theQueue, Since: c.arrived})
}

// greet lets the caller hear that somebody is there.
func (d *Desk) greet(c *liveCall) {
	switch {
	case c.answered:
	case d.rules.Answer == config.AnswerTaker:
		d.do(Play{Of: c.id})
	case d.rules.Answer == config.AnswerEarly:
		d.do(Play{Of: c.id, Prompt: PromptWaiting})
	case d.rules.Answer == config.AnswerQueue:
		d.do(Answer{Of: c.id})
		d.do(Play{Of: c.id, Prompt: PromptWaiting})
	}
}
