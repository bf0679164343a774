package queue

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
)

// Snapshot is the journaled state of a Desk: what Apply alone writes.
type Snapshot struct {
	Calls    []CallState
	Takers   []TakerState
	Last     map[call.TakerID]call.ID
	Admitted int
	Arrived  uint64
	Ended    map[call.Outcome]uint64
}

type CallState struct {
	ID                                           call.ID
	N                                            uint32
	Arrived, Since                               time.Time
	Caller                                       call.Caller
	Reject                                       int
	P                                            float64
	Delay                                        time.Duration
	Passed                                       uint8
	LastLeg, Holder                              call.Leg
	LastTo                                       call.TakerID
	Legs                                         []LegState
	Test, Queued, Human, Done, Answered, HasLeft bool
	LeftBy                                       string
	Restored, Adrift                             bool
	Role                                         call.Role
	Heard                                        int
}

type LegState struct {
	N            call.Leg
	To           call.Party
	At, Answered time.Time
	Purpose      uint8
	Role         call.Role
	Rang, Talked bool
}

type TakerState struct {
	ID                 call.TakerID
	Department         string
	Shift              call.ID
	N                  uint32
	State              call.TakerState
	Since, Until, Cool time.Time
	WasPaused          bool
	Missed             int
	On                 []call.ID
}

func (d *Desk) Snapshot() Snapshot {
	s := Snapshot{Last: map[call.TakerID]call.ID{}, Admitted: d.admitted, Arrived: d.arrived, Ended: maps.Clone(d.ended)}
	for id, t := range d.last {
		s.Last[id] = t.of
	}
	for _, c := range d.calls {
		cs := CallState{
			ID: c.id, N: c.n, Arrived: c.arrived, Since: c.since, Caller: c.caller, Reject: c.reject, P: c.p, Delay: c.delay,
			Passed: c.passed, LastLeg: c.lastLeg, Holder: c.holder, LastTo: c.lastTo, Test: c.test, Queued: c.queued, Human: c.human,
			Done: c.done, Answered: c.answered, HasLeft: c.left, LeftBy: c.leftBy, Restored: c.restored, Heard: c.heard,
			Adrift: c.adrift, Role: c.role,
		}
		for _, l := range c.legs {
			cs.Legs = append(cs.Legs, LegState{
				N: l.n, To: l.to, At: l.at, Answered: l.answered, Purpose: uint8(l.purpose), Role: l.role, Rang: l.rang, Talked: l.talked,
			})
		}
		s.Calls = append(s.Calls, cs)
	}
	slices.SortFunc(s.Calls, func(a, b CallState) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range d.roster {
		ts := TakerState{
			ID: t.id, Department: t.department, Shift: t.shift, N: t.n, State: t.state, Since: t.since, Until: t.until, Cool: t.cool,
			WasPaused: t.wasPaused, Missed: t.missed,
		}
		for _, c := range t.on {
			ts.On = append(ts.On, c.id)
		}
		s.Takers = append(s.Takers, ts)
	}
	return s
}

// Consistent checks what must hold between the desk's lists, calls and takers.
func (d *Desk) Consistent() string {
	n := 0
	for l := plain; l < listed; l++ {
		if !slices.IsSortedFunc(d.lists[l], place) {
			return "a list is not in the order of places"
		}
		for _, c := range d.lists[l] {
			if d.calls[c.id] != c || c.list != l || c.belongs() != l {
				return "a call stands in a list where it does not belong: " + string(c.id)
			}
		}
		n += len(d.lists[l])
	}
	for _, c := range d.calls {
		if c.belongs() != nowhere {
			n--
		}
	}
	if n != 0 {
		return "a waiting call stands in no list, or one in two"
	}
	return ""
}

// Asides is how many legs there are that are no part of a call.
func (d *Desk) Asides() int { return len(d.asides) }

// Dues is how many reminders there are.
func (d *Desk) Dues() int { return len(d.due) }

// View takes the picture.
func (d *Desk) View(now time.Time) *View { return d.view(now) }

// Break makes the next call that arrives panic inside Step; Mend undoes it. Before Start, or in a hook of the goroutine.
func (q *Queue) Break() { q.desk.calls = nil }

// Mend undoes Break.
func (q *Queue) Mend() { q.desk.calls = map[call.ID]*liveCall{} }

// Run does f in the actor's goroutine.
func (q *Queue) Run(f func()) { q.post(f) }

// SetWall makes the clock that people see, before Start.
func (q *Queue) SetWall(wall func() time.Time) { q.wall = wall }

// ShiftEntry is shift, and Skewed is skewed.
var (
	ShiftEntry = shift
	Skewed     = skewed
)

// Mask is mask.
func Mask(number string) string { return mask(number) }

// Deadlines and bounds of the desk.
const (
	SignTimeout = signTimeout
	CoolDown    = coolDown
	Patience    = patience
	DropAgain   = dropAgain
	PhoneGrace  = phoneGrace
	TestTime    = testTime
	MostPassed  = mostPassed
	MostHeard   = mostHeard
	ServeTime   = serveTime
	NoTakerTime = noTakerTime
)
