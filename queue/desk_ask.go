package queue

import (
	"slices"

	"github.com/siaga112/siaga112/call"
)

// ask takes what the phone of a leg wants. What makes no sense, now or ever, is ignored and counted.
func (d *Desk) ask(a Ask) {
	switch a.Want {
	case WantDial:
		d.dial(a)
		return
	case WantPlayed:
		d.played(a)
		return
	}
	c := d.calls[a.Of]
	if c == nil {
		d.strays++
		return
	}
	l := c.leg(a.Leg)
	if l == nil || l.answered.IsZero() || !l.dropped.IsZero() || !c.open() {
		d.strays++
		return
	}
	if c.cold && a.Want != WantHold && a.Want != WantResume {
		d.later = append(d.later, a)
		return
	}
	switch a.Want {
	case WantHold:
		d.hold(c, l)
	case WantResume:
		d.resume(c, l)
	case WantTransfer:
		d.transfer(c, l, call.TakerID(a.To.URI))
	case WantReplace:
		d.replace(c, l)
	default:
		d.strays++
		return
	}
	d.settle(c)
}

// hold notes that the phone of a leg has put its peer on hold; arrange says what follows.
func (d *Desk) hold(c *liveCall, l *leg) {
	own, other := c.consultation()
	if l.n != c.holder && l != own && l != other {
		d.strays++
		return
	}
	l.held = true
	if own != nil && l != other {
		c.joined = false
	}
}

// resume notes that the phone of a leg listens again. A taker who listens to the caller and to the colleague at a time has
// joined them. One who takes the caller back while a transfer rings has ended the transfer.
func (d *Desk) resume(c *liveCall, l *leg) {
	own, other := c.consultation()
	switch {
	case l.n == c.holder:
		c.joined = c.joined || own != nil && !own.held
		if t := c.transferred(); t != nil {
			d.dropLeg(c, t, codeGone)
		}
	case l == own:
		h := c.leg(c.holder)
		c.joined = c.joined || l.held && h != nil && !h.held
	case l == other:
	default:
		d.strays++
		return
	}
	l.held = false
}

// consultation is the leg that the taker who has the caller has dialed to a colleague, and the colleague's; nil where there
// is none.
func (c *liveCall) consultation() (own, other *leg) {
	for i := range c.legs {
		l := &c.legs[i]
		switch {
		case !l.dropped.IsZero() || l.n == c.holder:
		case l.purpose == consulted:
			other = l
		case l.purpose == dialed && l.consults:
			own = l
		}
	}
	return own, other
}

// consult rings a colleague for the taker who has the caller and has dialed the leg n.
func (d *Desk) consult(c *liveCall, n call.Leg, by, to *taker) {
	c.joined = false
	d.emit(c, call.Offered{Leg: n, To: by.party, For: call.ForOwn, As: call.Talking})
	d.do(Play{Of: c.id, Leg: n})
	d.ring(c, to, call.ForConsult, consultation(by.id))
}

// consultation is what the colleague's phone shows.
func consultation(by call.TakerID) string { return string(by) + " konsultasi" }

// part is a leg's part in who talks: what its role was, and what it is to be.
type part struct {
	n       call.Leg
	was, is call.Role
}

// arrange gives a caller whom a taker has, and the legs around them, the roles that follow from what the phones hold, from
// the consultation and from the transfer under way:
//
//	the caller, the taker     talk unless the taker's phone holds, a transfer rings, or a consultation has him
//	own leg, colleague        talk once both are answered, unless one of the phones holds
//	all but the own leg       talk when the taker listens to both sides at a time: joined
func (d *Desk) arrange(c *liveCall) {
	h := c.leg(c.holder)
	own, other := c.consultation()
	if other == nil {
		c.joined = false
	}
	front := !h.held && c.transferred() == nil && (own == nil || own.held || c.joined)
	back := other != nil && !other.answered.IsZero() && !other.held &&
		(own == nil && front || own != nil && !own.held && !own.answered.IsZero())

	var parts [4]part // the caller's first
	ps := append(parts[:0], part{0, c.role, talking(front)}, part{h.n, h.role, talking(front)})
	if own != nil && !own.answered.IsZero() {
		ps = append(ps, part{own.n, own.role, talking(back && !front)})
	}
	if other != nil && !other.answered.IsZero() {
		ps = append(ps, part{other.n, other.role, talking(back)})
	}
	if d.setRoles(c, ps) {
		d.mix(c)
		d.music(c, ps)
	}
}

func talking(yes bool) call.Role {
	if yes {
		return call.Talking
	}
	return call.Waiting
}

// setRoles writes the roles that change: the caller falls silent first and talks last, so that by the holder rule he goes to
// nobody else on the way.
func (d *Desk) setRoles(c *liveCall, ps []part) (changed bool) {
	for _, p := range ps {
		if p.was == call.Talking && p.is == call.Waiting {
			d.emit(c, call.RoleSet{Leg: p.n, Role: p.is})
			changed = true
		}
	}
	for _, p := range slices.Backward(ps) {
		if p.was == call.Waiting && p.is == call.Talking {
			d.emit(c, call.RoleSet{Leg: p.n, Role: p.is})
			changed = true
		}
	}
	return changed
}

// music is for everybody who has fallen silent and did not hold himself: the caller, the colleague, and the taker whom the
// colleague holds.
func (d *Desk) music(c *liveCall, ps []part) {
	for _, p := range ps {
		if p.was != call.Talking || p.is != call.Waiting || p.n == c.holder {
			continue
		}
		if l := c.leg(p.n); l == nil || c.bored(l) {
			d.do(Play{Of: c.id, Leg: p.n, Prompt: PromptMusic})
		}
	}
}

// mix tells the line the whole picture: the roles of all who are connected and stay so.
func (d *Desk) mix(c *liveCall) {
	roles := make(map[call.Leg]call.Role, 2)
	roles[0] = c.role
	for i := range c.legs {
		if l := &c.legs[i]; !l.answered.IsZero() && l.dropped.IsZero() {
			roles[l.n] = l.role
		}
	}
	d.do(Mix{Of: c.id, Roles: roles})
}
