package queue

import (
	"container/heap"
	"time"

	"github.com/siaga112/siaga112/call"
)

// due reminds of something that has a deadline: a leg, or a taker. What the deadline is follows from the state when it is
// looked at, so a reminder may be early or doubled, never late.
type due struct {
	at    time.Time
	of    call.ID // with leg; leg 0 is the caller's
	leg   call.Leg
	taker call.TakerID // if of is ""
}

// dues is a heap of reminders, the earliest first.
type dues []due

func (h dues) Len() int           { return len(h) }
func (h dues) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dues) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *dues) Push(x any) { *h = append(*h, x.(due)) }

// Pop is for container/heap.
func (h *dues) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = due{}
	*h = old[:len(old)-1]
	return x
}

// remind makes a reminder at the deadline as it is now, if there is one.
func (d *Desk) remind(w due) {
	if w.at = d.deadline(w); !w.at.IsZero() {
		heap.Push(&d.due, w)
	}
}

// deadline is when something must happen to the leg or the taker, if nothing else happens; zero: never.
func (d *Desk) deadline(w due) time.Time {
	if w.of == "" {
		return d.takerDeadline(d.takers[w.taker])
	}
	if a := d.asides[legID{w.of, w.leg}]; a != nil {
		return a.deadline()
	}
	c := d.calls[w.of]
	if c == nil {
		return time.Time{}
	}
	if w.leg == 0 {
		switch {
		case c.left:
			return time.Time{}
		case !c.dropped.IsZero():
			return c.dropped.Add(dropAgain)
		case c.test:
			return c.arrived.Add(testTime)
		}
		return time.Time{}
	}
	l := c.leg(w.leg)
	switch {
	case l == nil:
		return time.Time{}
	case !l.dropped.IsZero():
		return l.dropped.Add(dropAgain)
	case l.served():
		return l.at.Add(serveTime)
	case !l.answered.IsZero() || l.purpose == dialed:
		return time.Time{}
	case l.rang:
		return l.at.Add(d.rules.Queue.RingTimeout)
	}
	return l.at.Add(min(signTimeout, d.rules.Queue.RingTimeout))
}

// takerDeadline is the earliest of what waits for a taker: the end of wrap-up, of the grace after a restart, of the
// cool-down.
func (d *Desk) takerDeadline(t *taker) time.Time {
	if t == nil || t.shift == "" {
		return time.Time{}
	}
	var at time.Time
	sooner := func(u time.Time) {
		if at.IsZero() || u.Before(at) {
			at = u
		}
	}
	if t.state == call.WrapUp {
		sooner(t.until)
	}
	if !t.up && len(t.on) == 0 && !t.grace.IsZero() {
		sooner(t.grace)
	}
	if t.state == call.Ready && t.cool.After(d.now) {
		sooner(t.cool)
	}
	return at
}

// expire deals with every deadline that has passed.
func (d *Desk) expire() {
	for len(d.due) > 0 && !d.due[0].at.After(d.now) {
		w := heap.Pop(&d.due).(due)
		if at := d.deadline(w); at.IsZero() {
			continue
		} else if at.After(d.now) {
			d.remind(w)
		} else {
			d.elapse(w)
		}
	}
}

// elapse does what a passed deadline asks for. After it the deadline lies ahead, with a reminder, or is gone.
func (d *Desk) elapse(w due) {
	if w.of == "" {
		d.takerDue(d.takers[w.taker])
		return
	}
	if a := d.asides[legID{w.of, w.leg}]; a != nil {
		d.dropAside(legID{w.of, w.leg}, a, a.code)
		return
	}
	c := d.calls[w.of]
	if w.leg == 0 {
		if c.test && c.dropped.IsZero() {
			c.code = c.hangUp()
		}
		d.dropCaller(c, c.code)
		return
	}
	l := c.leg(w.leg)
	code := codeTimeout
	switch {
	case !l.dropped.IsZero():
		code = l.code
	case l.served():
		code = codeHangUp
	}
	d.dropLeg(c, l, code)
	d.settle(c)
}

func (d *Desk) takerDue(t *taker) {
	if t.state == call.WrapUp && !t.until.After(d.now) {
		d.change(t, call.TakerChanged{State: call.Ready, Why: "wrap-up over"})
	}
	if t.up {
		d.remind(due{taker: t.id})
		return
	}
	d.freed(t, false, "")
}

// wake is the next deadline; reminders of what is over are thrown away on the way.
func (d *Desk) wake() time.Time {
	if len(d.waking) > 0 {
		return d.now
	}
	for len(d.due) > 0 {
		w := d.due[0]
		at := d.deadline(w)
		switch {
		case at.IsZero():
			heap.Pop(&d.due)
		case at.After(w.at):
			d.due[0].at = at
			heap.Fix(&d.due, 0)
		default:
			return w.at
		}
	}
	return time.Time{}
}
