// Package queue is the desk: it decides who talks to whom.
//
// Desk is the pure core. Step takes one input and the time and returns what was decided: entries for the journal, actions
// for the line. There is no clock, no I/O and no goroutine in it, and the same inputs always give the same answers. Queue
// is the actor around it: one goroutine, one timer, and the rule that no action runs before its entries are durable, or
// before the journal has been late for 200 ms.
package queue

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue/prank"
)

// The desk's fixed times and bounds.
const (
	signTimeout = 4 * time.Second  // from Offered to the first sign of ringing
	coolDown    = 5 * time.Second  // a taker is offered nothing after an offer that was not taken
	patience    = 60 * time.Second // a call that waited this long is overtaken by nobody
	dropAgain   = 40 * time.Second // a dropped leg that is still there is dropped again: longer than any SIP transaction
	phoneGrace  = 10 * time.Second // after a restart, until a phone of which nothing is heard ends its taker's shift
	testTime    = 10 * time.Second // a test call is held this long
	serveTime   = 30 * time.Second // a leg that has dialed a feature code is dropped after this, heard or not
	giveTime    = 2 * time.Second  // a phone that hangs up so soon after it asked for a transfer has given the caller away
	noTakerTime = 10 * time.Second // so long calls may wait with nobody ready before the alarm
	mostMissed  = 2                // offers in a row without an answer: the taker is paused
	mostPassed  = 3                // a call that was overtaken this often is overtaken no more
	mostHeard   = 1000             // Heard entries a call; the keys of a phone must not fill the disk
	mostLegs    = 65000            // legs a call: far above what can happen, far below what a Leg can count
	theQueue    = "112"            // the name of the one queue
	noAnswer    = "no answer"      // begins Why in the Left of an offer that nobody answered; Why in the shift, which counts them
	answeredOne = "answered"       // Why in the shift: the count is over
	inRestart   = "restart"        // begins Why in the Left of a leg that a start could not take up; by node: the peer is lost
	gaveAway    = "gave away"      // begins Why in the Left of a taker who has given the caller away
)

// Rules are what a Desk goes by. They do not change while it runs.
type Rules struct {
	Queue    config.Queue
	Answer   config.Answer
	MaxCalls int // admitted live calls, from which on a call gets 503; 0: no bound
}

// Desk is the state of all live calls and of all call takers. It is for one goroutine.
//
// What is journaled is written by Apply alone. What is not (a leg that is being dropped, a phone that is up or holds,
// deadlines) follows again from what is, or from what the line tells the next run (desk_resume.go).
type Desk struct {
	rules  Rules
	scorer *prank.Scorer

	// Written by Apply.
	calls    map[call.ID]*liveCall
	takers   map[call.TakerID]*taker
	roster   []*taker                // the same, by name
	lists    [listed][]*liveCall     // the waiting calls, each list in the order of places
	last     map[call.TakerID]talk   // the last call that each taker talked in
	admitted int                     // live calls that were not rejected
	arrived  uint64                  // since this Desk was made, as all totals
	ended    map[call.Outcome]uint64 // by outcome

	// Written by Step.
	started  bool
	draining bool
	stopping bool
	strays   uint64 // facts that were ignored
	asides   map[legID]*aside
	noTaker  time.Time        // when it is time to say that calls wait and nobody is ready; zero: not so
	gaveUp   bool             // a taker was paused in this Step for not answering
	waking   []*liveCall      // Restored, and resumed with the next Tick
	later    []Ask            // what phones wanted of them
	renewed  map[call.ID]bool // calls Filed while the past is still being learnt; nil: it is
	due      dues

	// Of the Step under way.
	now time.Time
	out Out
}

// NewDesk is an empty desk. The scorer may have learnt already; from now on it is the desk's. Without one no call has a
// history.
func NewDesk(r Rules, s *prank.Scorer) *Desk {
	if s == nil {
		s = prank.New(0)
	}
	return &Desk{
		rules: r, scorer: s,
		calls: map[call.ID]*liveCall{}, takers: map[call.TakerID]*taker{}, last: map[call.TakerID]talk{},
		asides: map[legID]*aside{}, ended: map[call.Outcome]uint64{}, renewed: map[call.ID]bool{},
	}
}

// Step takes one input at the time now, decides, applies its own events and returns them with the actions that follow. Any
// input is also a Tick: deadlines that have passed are dealt with after it, then waiting calls are offered. It never
// fails; an Order that makes no sense comes back as Out.Err and changes nothing.
func (d *Desk) Step(now time.Time, in Input) Out {
	d.now, d.out, d.gaveUp = now.Round(0).UTC(), Out{}, false
	d.start()
	switch in := in.(type) {
	case Fact:
		d.fact(in.Of, in.Event)
	case Ask:
		d.ask(in)
	case Phone:
		d.phone(in)
	case Order:
		if err := d.order(in); err != nil {
			return Out{Err: err}
		}
	case Filed:
		d.filed(in.Record)
	case Past:
		d.past(in)
	case Tick:
		d.wakeUp()
	}
	d.expire()
	d.dispatch()
	d.attend()
	d.out.Wake = d.wake()
	return d.out
}

// start does what a restart owes: a call whose last leg had left is ended, and a taker whose phone does not come back goes
// off in a while.
func (d *Desk) start() {
	if d.started {
		return
	}
	d.started = true
	for _, id := range slices.Sorted(maps.Keys(d.calls)) {
		d.finish(d.calls[id])
	}
	for _, t := range d.roster {
		if t.shift != "" && !t.up {
			t.grace = d.now.Add(phoneGrace)
		}
		// Journaled by a clock that was ahead, they would keep the taker from being rung for hours.
		t.until = earlier(t.until, d.now.Add(d.rules.Queue.WrapUp))
		t.cool = earlier(t.cool, d.now.Add(coolDown))
		d.remind(due{taker: t.id})
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// talk is a call that a taker talked in, and since when.
type talk struct {
	of   call.ID
	at   time.Time
	seen bool // in this run
}

// Remember learns from a record of an earlier run which call its takers talked in last, so that a feature code can classify
// it: in any order. What this run has seen itself counts more.
func (d *Desk) Remember(r call.Record) {
	if r.Of.Kind() != call.Call {
		return
	}
	at := r.FirstAt.Add(r.Wait)
	for _, id := range append([]call.TakerID{r.Taker}, r.Takers...) {
		if was := d.last[id]; id != "" && !was.seen && !at.Before(was.at) {
			d.last[id] = talk{of: r.Of, at: at}
		}
	}
}

// filed learns from a record of this run.
func (d *Desk) filed(r call.Record) {
	d.scorer.Learn(r)
	d.Remember(r)
	if d.renewed != nil && r.Of.Kind() == call.Call {
		d.renewed[r.Of] = true
	}
}

// past learns from records of earlier runs, unless a later piece of the same call was filed meanwhile.
func (d *Desk) past(p Past) {
	for _, r := range p.Records {
		if !d.renewed[r.Of] {
			d.scorer.Learn(r)
		}
		d.Remember(r)
	}
	if p.Last {
		d.renewed = nil
	}
}

// emit decides one entry of a call: journaled and applied.
func (d *Desk) emit(c *liveCall, ev call.Event) {
	d.write(call.Entry{Of: c.id, N: c.n + 1, At: d.now, Event: ev})
}

func (d *Desk) write(e call.Entry) {
	if d.out.Events == nil {
		d.out.Events = make([]call.Entry, 0, 4) // as many as most steps have
	}
	d.out.Events = append(d.out.Events, e)
	d.apply(e)
}

func (d *Desk) do(a Action) { d.out.Do = append(d.out.Do, a) }

// order carries out an order, or says what is wrong with it before anything has changed.
func (d *Desk) order(o Order) error {
	switch o.Verb {
	case Classify:
		return d.classify(o)
	case Pause:
		return d.shiftTo(o, call.Paused)
	case Ready:
		return d.shiftTo(o, call.Ready)
	case Drain:
		d.draining = true
		d.act(o, "draining")
	case Stop:
		d.draining = true
		d.act(o, "stopped")
		d.stopAll()
	default:
		return refusef("unknown verb %q, want classify, pause, ready, drain or stop", o.Verb)
	}
	return nil
}

// act journals the order as an act of its own, if it came with an ID for that.
func (d *Desk) act(o Order, what string) {
	if o.ID.Kind() == call.Act {
		d.write(call.Entry{Of: o.ID, N: 1, At: d.now, Event: call.Acted{By: o.By, What: what, Detail: o.Text}})
	}
}

// classify takes a call taker's disposition: an entry of a live call, else an amendment, which the store numbers.
func (d *Desk) classify(o Order) error {
	if o.Of.Kind() != call.Call {
		return refusef("%q is not the ID of a call", o.Of)
	}
	word, note, _ := strings.Cut(strings.TrimSpace(o.Text), " ")
	kind, ok := kindOf(word)
	if !ok {
		return refusef("unknown kind %q, want one of %s", word, kindWords())
	}
	ev := call.Classified{By: o.By, Kind: kind, Note: strings.TrimSpace(note)}
	if c := d.calls[o.Of]; c != nil {
		d.emit(c, ev)
		return nil
	}
	d.write(call.Entry{Of: o.Of, At: d.now, Event: ev})
	return nil
}
