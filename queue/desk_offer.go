package queue

import (
	"cmp"
	"slices"
	"strconv"
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
	if !c.queued || c.holder != 0 || c.adrift || c.cold || c.lastLeg >= mostLegs || !c.open() {
		return nowhere
	}
	for _, l := range c.legs {
		if l.purpose == answering && l.answered.IsZero() && l.dropped.IsZero() {
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
	if d.stopping || len(d.waking) > 0 || waiting == 0 { // what was there before is offered first
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
		if t.up && t.shift != "" && t.state == call.Ready && len(t.on) == 0 && !t.cool.After(d.now) && !d.listens(t.id) {
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
		d.ring(c, t, call.ForAnswer, d.display(c))
	}
}

// ring offers the call to one taker.
func (d *Desk) ring(c *liveCall, t *taker, what, display string) {
	n := c.lastLeg + 1
	d.emit(c, call.Offered{Leg: n, To: t.party, For: what, As: call.Talking})
	d.do(Ring{Of: c.id, Leg: n, To: t.party, Display: display})
	d.remind(due{of: c.id, leg: n})
}

// display is what the taker's phone shows: the caller's number, how long the call has waited, and the likelihood of a prank
// as a natural frequency if there is a history.
func (d *Desk) display(c *liveCall) string {
	number := c.caller.Number
	if number == "" || c.caller.Trust == call.None {
		number = "tersembunyi"
	}
	b := append(make([]byte, 0, 48), number...)
	b = clock(append(b, ' '), d.now.Sub(c.since))
	if n, ok := (call.Scored{P: c.p}).InTen(); ok {
		b = append(strconv.AppendInt(append(b, ' '), int64(n), 10), "/10"...)
	}
	return string(b)
}

// clock appends a span as minutes and seconds, from an hour on with hours.
func clock(b []byte, span time.Duration) []byte {
	s := int64(max(0, span) / time.Second)
	two := func(n int64) { b = append(b, ':', byte('0'+n/10), byte('0'+n%10)) }
	if s < 3600 {
		b = strconv.AppendInt(b, s/60, 10)
	} else {
		b = strconv.AppendInt(b, s/3600, 10)
		two(s / 60 % 60)
	}
	two(s % 60)
	return b
}

// waitingCalls is how many calls no taker has.
func (d *Desk) waitingCalls() int {
	return len(d.lists[plain]) + len(d.lists[held]) + len(d.lists[ringing])
}

// attend notes from when on people should know that calls wait and nobody is there for them: at once where somebody was just
// paused for not answering. Who talks, or writes down a call, comes back by himself.
func (d *Desk) attend() {
	there := func(t *taker) bool { return t.up && (t.state == call.Ready || t.state == call.WrapUp) }
	switch {
	case d.stopping || d.waitingCalls() == 0 || slices.ContainsFunc(d.roster, there):
		d.noTaker = time.Time{}
	case d.gaveUp:
		d.noTaker = d.now
	case d.noTaker.IsZero():
		d.noTaker = d.now.Add(noTakerTime)
	}
}
