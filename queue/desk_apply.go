package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

// liveCall is a call from Arrived to Ended.
type liveCall struct {
	id call.ID

	// Written by apply.
	n        uint32 // of the last entry
	arrived  time.Time
	caller   call.Caller
	reject   int
	test     bool
	p        float64
	delay    time.Duration
	queued   bool
	since    time.Time // its place
	passed   uint8
	role     call.Role    // the caller's
	lastLeg  call.Leg     // the highest number given so far; phones' own legs count down from the top
	lastOwn  call.Leg     // the phone's own leg that the last entry offered; 0: none. A consultation follows at once
	lastTo   call.TakerID // whom it was offered to last
	legs     []leg        // takers' legs that have not left, by number
	holder   call.Leg     // the one that has the caller; 0: nobody
	adrift   bool         // the one that had the caller is gone: to be queued again, or a transfer is under way
	human    bool         // a taker has answered, now or before
	done     bool         // the taker who had the caller has hung up
	answered bool         // our 200 to the caller
	left     bool         // the caller's leg
	leftBy   string
	restored bool // found unfinished at a start, with the caller's leg still there
	lost     bool // that start could not take the caller's leg up
	heard    int

	// Written by Step.
	list    list      // the waiting list that it stands in
	cold    bool      // of an earlier run, and not resumed yet: nothing is decided
	waking  bool      // Restored: the next Tick resumes it
	again   []leg     // colleagues' phones that rang for its taker when the run before ended
	stopped bool      // the stop found it alive
	joined  bool      // the caller, the taker who has him and the one who is consulted all talk
	dropped time.Time // when the caller's leg was dropped; zero: it was not
	code    int       // with what
}

// leg is a taker's leg.
type leg struct {
	// Written by apply.
	n        call.Leg
	purpose  purpose
	role     call.Role
	rang     bool
	talked   bool // its taker has talked with the caller, on this leg or on one that has left
	consults bool // of one that was dialed: to a colleague; else a feature code
	stays    bool // of a colleague's: its taker's own leg has left while all talked
	to       call.Party
	at       time.Time // Offered
	answered time.Time // zero: not
	// Written by Step.
	held    bool      // by its phone
	old     bool      // it rang for the run before
	gave    time.Time // the phone asked for a transfer; zero: it did not
	dropped time.Time // zero: it was not
	code    int
}

// purpose is what a leg was offered for.
type purpose uint8

const (
	answering    purpose = iota // rings for a waiting call
	transferring                // rings for a call that its taker gives away
	consulted                   // rings for the taker who has the caller
	dialed                      // the taker's own INVITE
)

func purposeOf(word string) purpose {
	switch word {
	case call.ForTransfer:
		return transferring
	case call.ForConsult:
		return consulted
	case call.ForOwn:
		return dialed
	}
	return answering
}

// taker is a call taker, with a shift or between two.
type taker struct {
	id call.TakerID

	// Written by apply.
	department string
	shift      call.ID // "": off
	n          uint32  // of the shift's last entry
	state      call.TakerState
	since      time.Time   // of the state: idle since
	until      time.Time   // of wrap-up
	wasPaused  bool        // when the last shift ended
	cool       time.Time   // offered nothing before this
	missed     int         // offers in a row that were not answered, as the shift tells
	on         []*liveCall // the calls of the live legs; one at most, but for a while in a restart

	// Written by Step.
	up             bool
	party          call.Party // as the phone's registration says
	grace          time.Time  // of a restart: when a phone that was not heard of ends the shift
	rang, answered time.Time  // the phone, the last time
}

// Apply writes one journaled entry into the state, as a restart does for every entry of what was live, subject by subject
// in the order of N and before the first Step. It is total: entries in any order never do worse than be ignored. A call
// that came in this way rests until the fact Restored and a Tick after it, and a taker until the phone is heard of.
func (d *Desk) Apply(e call.Entry) {
	d.apply(e)
	if c := d.calls[e.Of]; c != nil {
		c.cold = true
		d.relist(c)
	}
}

// apply is Apply for the Step that has decided the entry.
func (d *Desk) apply(e call.Entry) {
	if e.N == 0 { // an amendment: nothing here follows from it
		return
	}
	switch ev := e.Event.(type) {
	case call.TakerChanged:
		d.applyTaker(e, ev)
	case call.Arrived:
		d.applyArrived(e, ev)
	case call.Scored, call.Queued, call.Offered, call.Rang, call.Answered, call.RoleSet, call.Heard, call.Left, call.Restored,
		call.Ended, call.Classified:
		if c := d.calls[e.Of]; c != nil && e.N > c.n {
			c.n = e.N
			d.applyCall(c, e)
			d.relist(c)
		}
	case call.Acted:
	}
}

func (d *Desk) applyArrived(e call.Entry, ev call.Arrived) {
	if e.Of.Kind() != call.Call || d.calls[e.Of] != nil {
		return
	}
	d.calls[e.Of] = &liveCall{
		id: e.Of, n: e.N, arrived: e.At, caller: ev.Caller, reject: ev.Reject, test: ev.Test, p: -1, since: e.At,
	}
	d.arrived++
	if ev.Reject == 0 {
		d.admitted++
	}
}

func (d *Desk) applyCall(c *liveCall, e call.Entry) {
	own := c.leg(c.lastOwn)
	c.lastOwn = 0
	switch ev := e.Event.(type) {
	case call.Scored:
		d.unlist(c)
		c.p, c.delay = ev.P, max(0, ev.Delay)
	case call.Queued:
		d.unlist(c)
		c.queued, c.since, c.passed, c.adrift = true, ev.Since, ev.Passed, false
	case call.Offered:
		if own != nil && ev.For == call.ForConsult {
			own.consults = true
		}
		d.applyOffered(c, e.At, ev)
	case call.Rang:
		if l := c.leg(ev.Leg); l != nil {
			l.rang = true
		}
	case call.Answered:
		d.applyAnswered(c, ev, e.At)
	case call.RoleSet:
		c.applyRole(ev)
		d.follow(c, e.At)
	case call.Heard:
		c.heard++
	case call.Left:
		d.applyLeft(c, ev, e.At)
	case call.Restored:
		c.restored = c.restored || !c.left
	case call.Ended:
		d.applyEnded(c, ev)
	case call.Arrived, call.Classified, call.TakerChanged, call.Acted:
	}
}

func (d *Desk) applyOffered(c *liveCall, at time.Time, ev call.Offered) {
	i, known := c.find(ev.Leg)
	if known || ev.Leg == 0 {
		return
	}
	l := leg{n: ev.Leg, purpose: purposeOf(ev.For), to: ev.To, at: at}
	c.legs = slices.Insert(c.legs, i, l)
	if l.purpose != dialed {
		c.lastLeg = max(c.lastLeg, l.n)
	} else {
		c.lastOwn = l.n
	}
	if l.purpose == answering || l.purpose == transferring {
		c.lastTo = l.to.Taker
	}
	if t := d.taker(ev.To.Taker); t != nil {
		t.on = append(t.on, c)
	}
}

// applyAnswered: the first taker's leg that answers a waiting call has the caller, and so has one that answers a transfer, as
// long as the caller is there for it.
func (d *Desk) applyAnswered(c *liveCall, ev call.Answered, at time.Time) {
	if ev.Leg == 0 {
		c.answered = true
		return
	}
	l := c.leg(ev.Leg)
	if l == nil {
		return
	}
	l.answered = at
	if l.purpose == dialed {
		return
	}
	c.human = true
	if takes := l.purpose == transferring || l.purpose == answering && c.holder == 0; takes && !c.done && !c.left {
		c.holder, c.adrift, l.role = l.n, false, call.Talking
	}
	d.follow(c, at)
}

func (c *liveCall) applyRole(ev call.RoleSet) {
	if ev.Leg == 0 {
		c.role = ev.Role
	} else if l := c.leg(ev.Leg); l != nil {
		l.role = ev.Role
	}
}

// follow is the rest of the holder rule: when the leg that had the caller has left or no longer talks, the first other one
// that talks with the caller has him. It also notes who has talked with him.
func (d *Desk) follow(c *liveCall, at time.Time) {
	if c.role != call.Talking || c.done || c.left {
		return
	}
	for i := range c.legs {
		l := &c.legs[i]
		if l.purpose == dialed || l.answered.IsZero() || l.role != call.Talking {
			continue
		}
		if h := c.leg(c.holder); h == nil || h.role != call.Talking {
			c.holder = l.n
		}
		if !l.talked {
			l.talked = true
			d.talkedIn(l.to.Taker, c.id, at)
		}
	}
}

// talkedIn notes the last call that a taker talked in. Before the first Step calls come in any order.
func (d *Desk) talkedIn(id call.TakerID, of call.ID, at time.Time) {
	if id != "" && (d.started || !at.Before(d.last[id].at)) {
		d.last[id] = talk{of: of, at: at, seen: d.started}
	}
}

func (d *Desk) applyLeft(c *liveCall, ev call.Left, at time.Time) {
	if ev.Leg == 0 {
		if !c.left {
			c.left, c.leftBy = true, ev.By
			c.lost = c.restored && !c.done && inTheRestart(ev)
		}
		return
	}
	i, known := c.find(ev.Leg)
	if !known {
		return
	}
	l := c.legs[i]
	c.legs = slices.Delete(c.legs, i, i+1)
	c.parted(l)
	t := d.taker(l.to.Taker)
	t.release(c)
	if l.talked {
		for i := range c.legs {
			c.legs[i].talked = c.legs[i].talked || c.legs[i].to.Taker == l.to.Taker
		}
	}
	switch {
	case l.n == c.holder:
		c.holder = 0
		if d.follow(c, at); c.holder == 0 {
			c.done = ev.By == "taker" && !c.passing() && !strings.HasPrefix(ev.Why, gaveAway)
			c.adrift = !c.done
		}
	case t != nil && l.answered.IsZero():
		t.applyMissed(c, l, ev, at)
	}
}

// applyMissed takes the end of a leg that never answered: of an offer that was not taken, if the caller was there for it. A
// restart's CANCEL is nobody's fault.
func (t *taker) applyMissed(c *liveCall, l leg, ev call.Left, at time.Time) {
	offered := l.purpose == transferring || l.purpose == answering && c.holder == 0
	if cool := at.Add(coolDown); offered && !c.done && !c.left && !strings.HasPrefix(ev.Why, inRestart) && cool.After(t.cool) {
		t.cool = cool
	}
}

// parted: the colleague stays when the own leg of the taker who asked him has left while all talked.
func (c *liveCall) parted(own leg) {
	if !own.consults || c.role != call.Talking {
		return
	}
	for i := range c.legs {
		if l := &c.legs[i]; l.purpose == consulted && l.role == call.Talking {
			l.stays = true
		}
	}
}

// served tells whether the phone has dialed a feature code.
func (l *leg) served() bool { return l.purpose == dialed && !l.consults }

// inTheRestart tells that a start could not take the leg up.
func inTheRestart(ev call.Left) bool { return ev.By == "node" && strings.HasPrefix(ev.Why, inRestart) }

// passing tells whether the caller waits for a leg that a transfer rings.
func (c *liveCall) passing() bool {
	return c.role == call.Waiting && slices.ContainsFunc(c.legs, func(l leg) bool {
		return l.purpose == transferring && l.answered.IsZero()
	})
}

func (d *Desk) applyEnded(c *liveCall, ev call.Ended) {
	for _, l := range c.legs { // none, unless the journal is odd
		d.taker(l.to.Taker).release(c)
	}
	d.unlist(c)
	delete(d.calls, c.id)
	if c.reject == 0 {
		d.admitted--
	}
	d.ended[ev.Outcome]++
}

// applyTaker: the entries of a taker's latest shift count; one shift ends before the next begins.
func (d *Desk) applyTaker(e call.Entry, ev call.TakerChanged) {
	t := d.taker(ev.Taker)
	if t == nil || e.Of.Kind() != call.Shift {
		return
	}
	off := ev.State == call.Off
	if t.shift == e.Of && e.N <= t.n || t.shift != e.Of && off {
		return
	}
	if t.shift == e.Of && (ev.Why == noAnswer || ev.Why == answeredOne) { // only the count has changed
		t.n = e.N
		if t.missed++; ev.Why == answeredOne {
			t.missed = 0
		}
		return
	}
	if t.shift != e.Of || ev.State != call.Ready {
		t.missed = 0
	}
	t.wasPaused = off && t.state == call.Paused
	t.department, t.shift, t.n, t.state, t.since, t.until = ev.Department, e.Of, e.N, ev.State, e.At, ev.Until
	if off {
		t.shift, t.n = "", 0
	}
}

// taker is the taker of that name, made if need be; nil for no name.
func (d *Desk) taker(id call.TakerID) *taker {
	if id == "" {
		return nil
	}
	t := d.takers[id]
	if t == nil {
		t = &taker{id: id, state: call.Off}
		d.takers[id] = t
		i, _ := slices.BinarySearchFunc(d.roster, id, func(t *taker, id call.TakerID) int { return cmp.Compare(t.id, id) })
		d.roster = slices.Insert(d.roster, i, t)
	}
	return t
}

// release takes one leg of the call from the taker.
func (t *taker) release(c *liveCall) {
	if t == nil {
		return
	}
	if i := slices.Index(t.on, c); i >= 0 {
		t.on = slices.Delete(t.on, i, i+1)
	}
}

// find is where the leg of that number stands among the takers' live legs, or would stand.
func (c *liveCall) find(n call.Leg) (int, bool) {
	return slices.BinarySearchFunc(c.legs, n, func(l leg, n call.Leg) int { return cmp.Compare(l.n, n) })
}

// leg is a taker's live leg, or nil. It is good until a leg comes or goes.
func (c *liveCall) leg(n call.Leg) *leg {
	for i := range c.legs { // few
		if c.legs[i].n == n {
			return &c.legs[i]
		}
	}
	return nil
}
