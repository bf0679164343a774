package queue

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// list is one of the waiting lists; a waiting call stands in exactly one.
type list uint8

const (
	nowhere list = iota // not waiting
	plain               // rings nowhere, and its key is its place
	held                // rings nowhere, and may be delayed
	ringing             // rings at somebody's
	listed              // how many there are
)

// place compares two calls by their place: who came first.
func place(a, b *liveCall) int {
	if c := a.since.Compare(b.since); c != 0 {
		return c
	}
	return cmp.Compare(a.id, b.id)
}

// key is the time by which waiting calls are served: the place, later by the delay. Who has waited for a minute, or was
// overtaken three times, is delayed no more.
func (c *liveCall) key(now time.Time) time.Time {
	if c.passed >= mostPassed || now.Sub(c.since) >= patience {
		return c.since
	}
	return c.since.Add(c.delay)
}

// serve compares two calls by the order of serving.
func serve(now time.Time) func(a, b *liveCall) int {
	return func(a, b *liveCall) int {
		if c := a.key(now).Compare(b.key(now)); c != 0 {
			return c
		}
		return place(a, b)
	}
}

// relist puts the call into the list where it belongs now.
func (d *Desk) relist(c *liveCall) {
	want := c.belongs()
	if want == c.list || d.calls[c.id] != c {
		return
	}
	d.unlist(c)
	c.list = want
	if want != nowhere {
		i, _ := slices.BinarySearchFunc(d.lists[want], c, place)
		d.lists[want] = slices.Insert(d.lists[want], i, c)
	}
}

// unlist takes the call out of its list; before anything changes by which the list is ordered.
func (d *Desk) unlist(c *liveCall) {
	if c.list != nowhere {
		if i, ok := slices.BinarySearchFunc(d.lists[c.list], c, place); ok {
			d.lists[c.list] = slices.Delete(d.lists[c.list], i, i+1)
		}
		c.list = nowhere
	}
}

func (c *liveCall) belongs() list {
	if !c.queued || c.holder != 0 || c.cold || c.lastLeg >= mostLegs || !c.open() {
		return nowhere
	}
	for _, l := range c.legs {
		if l.answered.IsZero() && l.dropped.IsZero() {
			return ringing
		}
	}
	if c.delay > 0 && c.passed < mostPassed {
		return held
	}
	return plain
}

// next is the waiting call that is served next among those that ring nowhere, or nil.
func (d *Desk) next() *liveCall {
	var c *liveCall
	if len(d.lists[plain]) > 0 {
		c = d.lists[plain][0]
	}
	before := serve(d.now)
	for _, h := range d.lists[held] {
		if c == nil || before(h, c) < 0 {
			c = h
		}
	}
	return c
}

// dispatch offers waiting calls until there is no free taker or nothing to offer. It leaves no free taker beside a call
// that he may take.
func (d *Desk) dispatch() {
	all := d.rules.Queue.Strategy == config.RingAll
	waiting := len(d.lists[plain]) + len(d.lists[held])
	if all {
		waiting += len(d.lists[ringing])
	}
	if d.stopping || waiting == 0 {
		return
	}
	free := d.free()
	for len(free) > 0 {
		c := d.next()
		switch {
		case c == nil && all && len(d.lists[ringing]) > 0:
			d.offer(slices.MinFunc(d.lists[ringing], serve(d.now)), free)
			return
		case c == nil:
			return
		case all:
			d.offer(c, free)
			return
		}
		i := max(0, slices.IndexFunc(free, func(t *taker) bool { return t.id != c.lastTo }))
		d.offer(c, free[i:i+1])
		free = slices.Delete(free, i, i+1)
	}
}

// free are the takers that may be offered a call now, the longest idle first.
func (d *Desk) free() []*taker {
	var free []*taker
	for _, t := range d.roster { // by name
		if t.up && t.shift != "" && t.state == call.Ready && len(t.on) == 0 && !t.cool.After(d.now) {
			free = append(free, t)
		}
	}
	slices.SortStableFunc(free, func(a, b *taker) int { return a.since.Compare(b.since) })
	return free
}

// offer rings the call at the takers. Every waiting call with an earlier place that rings nowhere is overtaken by that, once
// an offer, however many phones ring.
func (d *Desk) offer(c *liveCall, to []*taker) {
	if c.list != ringing {
		i, _ := slices.BinarySearchFunc(d.lists[held], c, place) // none in plain is passed: its key is its place
		for _, h := range slices.Clone(d.lists[held][:i]) {
			d.emit(h, call.Queued{Queue: theQueue, Since: h.since, Passed: h.passed + 1})
		}
	}
	for _, t := range to {
		n := c.lastLeg + 1
		d.emit(c, call.Offered{Leg: n, To: t.party, For: "answer", As: call.Talking})
		d.do(Ring{Of: c.id, Leg: n, To: t.party, Display: c.display()})
		d.remind(due{of: c.id, leg: n})
	}
}

// display is what the taker's phone shows beside the number: the queue, and the likelihood as a natural frequency if there
// is a history.
func (c *liveCall) display() string {
	n, ok := (call.Scored{P: c.p}).InTen()
	if !ok {
		return theQueue
	}
	return fmt.Sprintf("%s iseng %d/10", theQueue, n)
}
