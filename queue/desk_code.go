package queue

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

// Feature codes for phones without a console. *1 to *8 classify by call.Kinds.
const (
	codePause  = "*0"
	codeReady  = "*00"
	codeStatus = "*9"
)

// mostSpoken is the highest number that there is a prompt for.
const mostSpoken = 20

// dial takes a taker's own INVITE: a feature code; a colleague, for a taker who has a caller; nothing else, or a phone's
// stolen password would call the world.
func (d *Desk) dial(a Ask) {
	c := d.calls[a.Of]
	id := legID{a.Of, a.Leg}
	inCall := a.Of.Kind() == call.Call && a.Leg > mostLegs
	if !inCall && (a.Of.Kind() != call.Act || a.Leg != 0) || d.asides[id] != nil || c != nil && c.leg(a.Leg) != nil {
		d.strays++
		return
	}
	by := d.takers[a.To.Taker]
	if c != nil && c.cold {
		d.later = append(d.later, a)
		return
	}
	switch {
	case d.stopping:
		d.turnAway(id, codeStopping)
	case by == nil || by.shift == "":
		d.forbid(a)
	case strings.HasPrefix(a.To.URI, "*"):
		d.serve(a, by)
	default:
		d.dialColleague(a, c, by)
	}
}

// dialColleague begins a consultation, if the taker who dials has a caller and the colleague is free.
func (d *Desk) dialColleague(a Ask, c *liveCall, by *taker) {
	to, code := d.colleague(call.TakerID(a.To.URI))
	if code == codeUnknown || !c.has(by) {
		d.forbid(a)
		return
	}
	if h := c.leg(c.holder); code == 0 && (h == nil || h.to.Taker != by.id || c.engaged()) {
		code = codeBusy
	}
	if code != 0 {
		d.turnAway(legID{a.Of, a.Leg}, code)
		return
	}
	d.consult(c, a.Leg, by, to)
	d.settle(c)
}

// has tells whether the taker is in the call, on a leg that was rung and answered; false of no call, or one that is over.
func (c *liveCall) has(t *taker) bool {
	return c != nil && c.open() && slices.ContainsFunc(c.legs, func(l leg) bool {
		return l.to.Taker == t.id && l.purpose != dialed && !l.answered.IsZero() && l.dropped.IsZero()
	})
}

// serve carries out a feature code and says so on the leg that has dialed it: a leg of the call that the taker has, else an
// act of its own.
func (d *Desk) serve(a Ask, by *taker) {
	if c := d.calls[a.Of]; c.has(by) {
		d.emit(c, call.Offered{Leg: a.Leg, To: by.party, For: call.ForOwn, As: call.Waiting})
		d.remind(due{of: c.id, leg: a.Leg})
	} else {
		d.act(Order{ID: a.act(), By: by.id, Text: a.To.URI}, "feature-code")
		d.asides[legID{a.Of, a.Leg}] = &aside{at: d.now, by: by.id}
		d.remind(due{of: a.Of, leg: a.Leg})
	}
	said := d.feature(a.To.URI, by)
	d.do(Answer{Of: a.Of, Leg: a.Leg})
	d.do(Play{Of: a.Of, Leg: a.Leg, Prompt: said})
}

// feature carries out a feature code and returns what is said to it.
func (d *Desk) feature(code string, by *taker) string {
	to := call.Party{Taker: by.id}
	switch code {
	case codePause:
		return d.told(Order{Verb: Pause, To: to, Text: code}, string(call.Paused))
	case codeReady:
		return d.told(Order{Verb: Ready, To: to, Text: code}, string(call.Ready))
	case codeStatus:
		return string(by.state) + " " + d.spokenWaiting() + " waiting-calls"
	}
	n, err := strconv.Atoi(strings.TrimPrefix(code, "*"))
	if len(code) != 2 || err != nil || n < 1 || n > len(call.Kinds) {
		return "unknown-code"
	}
	kind := string(call.Kinds[n-1])
	return d.told(Order{Verb: Classify, Of: d.last[by.id].of, By: by.id, Text: kind}, kind)
}

// told is what is said once the order is carried out.
func (d *Desk) told(o Order, prompt string) string {
	if err := d.order(o); err != nil { // only a classification can be refused: of no call
		return "no-call"
	}
	return prompt
}

func (d *Desk) spokenWaiting() string {
	n := d.waitingCalls()
	if n > mostSpoken {
		return "many"
	}
	return "number-" + strconv.Itoa(n)
}

// played ends a leg that has dialed a feature code once it has been told the answer.
func (d *Desk) played(a Ask) {
	id := legID{a.Of, a.Leg}
	if s := d.asides[id]; s != nil {
		if s.dropped.IsZero() {
			d.dropAside(id, s, codeHangUp)
		}
		return
	}
	if c := d.calls[a.Of]; c != nil {
		if l := c.leg(a.Leg); l != nil && l.served() {
			if l.dropped.IsZero() {
				d.dropLeg(c, l, codeHangUp)
			}
			return
		}
	}
	d.strays++
}

// legID names a leg among all.
type legID struct {
	of call.ID
	n  call.Leg
}

// aside is a leg that a phone has dialed and that is no part of a call: leg 0 of an act, or one in a call that was turned
// away. It is not journaled: a crash ends it.
type aside struct {
	at      time.Time
	by      call.TakerID // who listens to the answer to a feature code; "": nobody
	dropped time.Time    // zero: it was not
	code    int
}

// listens tells whether the taker's phone is busy with a feature code: a phone with one line would refuse a call now.
func (d *Desk) listens(t call.TakerID) bool {
	for _, a := range d.asides {
		if a.by == t {
			return true
		}
	}
	return false
}

func (a *aside) deadline() time.Time {
	if a.dropped.IsZero() {
		return a.at.Add(serveTime)
	}
	return a.dropped.Add(dropAgain)
}

// act is the ID of the act that an Ask makes.
func (a Ask) act() call.ID {
	if a.Of.Kind() == call.Act {
		return a.Of
	}
	return a.ID
}

// forbid turns away what nobody may dial, with an act in the ledger.
func (d *Desk) forbid(a Ask) {
	d.act(Order{ID: a.act(), By: a.To.Taker, Text: a.To.URI}, "call-refused")
	d.turnAway(legID{a.Of, a.Leg}, codeForbidden)
}

// turnAway refuses a leg that a phone has dialed.
func (d *Desk) turnAway(id legID, code int) {
	a := &aside{at: d.now}
	d.asides[id] = a
	d.dropAside(id, a, code)
}

func (d *Desk) dropAside(id legID, a *aside, code int) {
	a.dropped, a.code = d.now, code
	d.do(Drop{Of: id.of, Leg: id.n, Code: code})
	d.remind(due{of: id.of, leg: id.n})
}

// asideFact takes what the line saw of a leg that is no part of a call; false where it is of none.
func (d *Desk) asideFact(id call.ID, ev call.Event) bool {
	if len(d.asides) == 0 {
		return false
	}
	switch ev := ev.(type) {
	case call.Answered:
		return d.asides[legID{id, ev.Leg}] != nil
	case call.Heard:
		return d.asides[legID{id, ev.Leg}] != nil
	case call.Left:
		if d.asides[legID{id, ev.Leg}] == nil {
			return false
		}
		delete(d.asides, legID{id, ev.Leg})
		return true
	case nil, call.Arrived, call.Scored, call.Queued, call.Offered, call.Rang, call.RoleSet, call.Restored, call.Ended,
		call.Classified, call.TakerChanged, call.Acted:
	}
	return false
}

// stopAsides drops every leg that is no part of a call.
func (d *Desk) stopAsides() {
	for _, id := range slices.SortedFunc(maps.Keys(d.asides), compareLegs) {
		if a := d.asides[id]; a.dropped.IsZero() {
			d.dropAside(id, a, codeStopping)
		}
	}
}

func compareLegs(a, b legID) int {
	return cmp.Or(cmp.Compare(a.of, b.of), cmp.Compare(a.n, b.n))
}
