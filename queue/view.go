package queue

import (
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
)

// View is a picture of the desk for people. It is never changed once it is published.
type View struct {
	At      time.Time // when it was taken; zero: before the start
	Waiting []Waiting // in the order of serving
	Takers  []Taker   // on shift, by name
	Totals
	Draining bool // new calls get 503
}

// Waiting is a call that no taker has.
type Waiting struct {
	ID      call.ID
	Caller  call.Caller
	Since   time.Time     // its place
	P       float64       // likelihood of a prank, if HasP
	HasP    bool          // the caller has a history
	Delay   time.Duration // how long it gives way at most
	Passed  int           // how often it was overtaken
	Ringing []call.TakerID
}

// Taker is a call taker on shift.
type Taker struct {
	ID         call.TakerID
	Department string
	State      call.TakerState
	Since      time.Time // of the state; with a call: since Offered, or since Answered once Talking
	Until      time.Time // of wrap-up
	Call       call.ID   // that rings at the phone or that the taker has; "": none
	Talking    bool
	Rang       time.Time // when the phone rang last; zero: not in this run
	Answered   time.Time // when it answered last
}

// Totals count calls since the start, with those that were unfinished then.
type Totals struct {
	Arrived, Ended, Live uint64
	Outcomes             map[call.Outcome]uint64 // of the ended
	Strays               uint64                  // facts that were ignored
}

// view takes the picture.
func (d *Desk) view(now time.Time) *View {
	v := &View{At: now, Totals: d.totals(), Draining: d.draining}
	v.Waiting = d.waiting(now)
	for _, t := range d.roster {
		if t.shift != "" {
			v.Takers = append(v.Takers, t.view())
		}
	}
	return v
}

// waiting are the waiting calls in the order of serving: those in plain stand in it already.
func (d *Desk) waiting(now time.Time) []Waiting {
	before := serve(now)
	few := slices.Concat(d.lists[ringing], d.lists[held])
	slices.SortFunc(few, before)
	ws := make([]Waiting, 0, len(few)+len(d.lists[plain]))
	for _, c := range d.lists[plain] {
		for len(few) > 0 && before(few[0], c) < 0 {
			ws = append(ws, few[0].view())
			few = few[1:]
		}
		ws = append(ws, c.view())
	}
	for _, c := range few {
		ws = append(ws, c.view())
	}
	return ws
}

func (d *Desk) totals() Totals {
	t := Totals{Arrived: d.arrived, Live: uint64(len(d.calls)), Outcomes: make(map[call.Outcome]uint64, len(d.ended)), Strays: d.strays}
	for o, n := range d.ended {
		t.Outcomes[o] = n
		t.Ended += n
	}
	return t
}

func (c *liveCall) view() Waiting {
	w := Waiting{
		ID: c.id, Caller: c.caller, Since: c.since, P: max(0, c.p), HasP: c.p >= 0, Delay: c.delay, Passed: int(c.passed),
	}
	for _, l := range c.legs {
		if l.purpose == answering && l.answered.IsZero() && l.dropped.IsZero() {
			w.Ringing = append(w.Ringing, l.to.Taker)
		}
	}
	return w
}

func (t *taker) view() Taker {
	v := Taker{
		ID: t.id, Department: t.department, State: t.state, Since: t.since, Until: t.until, Rang: t.rang, Answered: t.answered,
	}
	if len(t.on) == 0 {
		return v
	}
	c := t.on[0]
	v.Call = c.id
	for _, l := range c.legs {
		if l.to.Taker == t.id && l.purpose != dialed {
			v.Talking = l.n == c.holder || l.role == call.Talking
			v.Since = l.at
			if v.Talking {
				v.Since = l.answered
			}
		}
	}
	return v
}
