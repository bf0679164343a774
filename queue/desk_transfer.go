package queue

import "github.com/siaga112/siaga112/call"

// transfer gives the caller to a colleague unseen (RFC 3515): he waits with music while the colleague's phone rings. If
// nobody answers, who gave him away has him again, and if that one has gone, he waits at the old place; also where there was
// nobody to ring, for some phones hang up before they hear of that.
func (d *Desk) transfer(c *liveCall, l *leg, to call.TakerID) {
	l.gave = d.now
	t, code := d.colleague(to)
	switch {
	case l.n != c.holder:
		code = codeForbidden
	case code == 0 && c.engaged():
		code = codeBusy
	}
	if code != 0 {
		d.refuseTransfer(c, code)
		return
	}
	d.ring(c, t, call.ForTransfer, d.display(c))
}

// replace gives the caller to the colleague who is consulted (RFC 3891). The phone's two legs are not needed any more, first
// the one whose REFER it was.
func (d *Desk) replace(c *liveCall, l *leg) {
	own, other := c.consultation()
	if l.n != c.holder || own == nil || other == nil || own.answered.IsZero() || other.answered.IsZero() {
		d.refuseTransfer(c, codeNoCall)
		return
	}
	other.held = false // its phone says so again if it is
	d.setRoles(c, []part{
		{0, c.role, call.Talking}, {l.n, l.role, call.Waiting}, {own.n, own.role, call.Waiting}, {other.n, other.role, call.Talking},
	})
	d.mix(c)
	d.dropLeg(c, l, codeElsewhere)
	d.dropLeg(c, own, codeElsewhere)
}

// refuseTransfer: the end of a leg that was never rung says why.
func (d *Desk) refuseTransfer(c *liveCall, code int) {
	d.do(Drop{Of: c.id, Leg: c.lastLeg + 1, Code: code})
}

// engaged tells whether the taker who has the caller consults or gives away already: one at a time.
func (c *liveCall) engaged() bool {
	own, other := c.consultation()
	return own != nil || other != nil || c.transferred() != nil || c.lastLeg >= mostLegs
}

// transferred is the leg that a transfer rings, or nil.
func (c *liveCall) transferred() *leg {
	for i := range c.legs {
		if l := &c.legs[i]; l.purpose == transferring && l.answered.IsZero() && l.dropped.IsZero() {
			return l
		}
	}
	return nil
}
