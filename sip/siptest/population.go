package siptest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
)

// Profile is what kind of caller somebody is.
type Profile uint8

// The profiles of a population.
const (
	Genuine   Profile = iota // has called before, for real reasons
	Newcomer                 // has never called before
	Prankster                // calls again and again for fun
	Silent                   // calls and says nothing
	Withheld                 // shows no number
)

var profileNames = [...]string{
	Genuine: "genuine", Newcomer: "newcomer", Prankster: "prankster", Silent: "silent", Withheld: "withheld",
}

// String is the profile's name.
func (p Profile) String() string {
	if int(p) < len(profileNames) {
		return profileNames[p]
	}
	return fmt.Sprintf("profile(%d)", uint8(p))
}

// Person is a caller with habits.
type Person struct {
	Caller  call.Caller
	Profile Profile
}

// Kind is how a call taker classifies a call of the person; roll is a number from 0 to below 1.
func (p Person) Kind(roll float64) call.Kind {
	switch p.Profile {
	case Prankster:
		if roll < 0.95 {
			return call.Prank
		}
		return call.Silent
	case Silent:
		return call.Silent
	case Genuine, Newcomer, Withheld:
	}
	switch {
	case roll < 0.6:
		return call.Emergency
	case roll < 0.8:
		return call.Complaint
	case roll < 0.95:
		return call.Information
	}
	return call.WrongNumber
}

// operators are prefixes of Indonesian mobile operators, after +62.
var operators = []int{811, 812, 813, 821, 822, 852, 853, 857, 858, 859, 877, 878, 881, 895, 896}

// MostPeople is the largest population: so many different numbers there are.
const MostPeople = 15 * 1000

// Number is the number of the nth person: a mobile one in Indonesia's plan, with the 5550 of fiction in its middle.
func Number(n int) string {
	return fmt.Sprintf("+62%d5550%03d", operators[n%len(operators)], n/len(operators)%1000)
}

// Population makes size people, at most MostPeople, the same for the same seed: a tenth each of pranksters and of
// silent callers, a tenth without a number, and of the rest two thirds who have called before.
func Population(seed uint64, size int) []Person {
	r := rand.New(rand.NewPCG(seed, 112))
	size = min(max(size, 0), MostPeople)
	people := make([]Person, 0, size)
	for i, n := range r.Perm(MostPeople)[:size] {
		p := Person{Caller: call.Caller{Number: Number(n), Trust: call.Asserted}}
		switch i % 10 {
		case 0:
			p.Profile = Prankster
		case 1:
			p.Profile = Silent
		case 2:
			p = Person{Caller: call.Caller{Trust: call.None}, Profile: Withheld}
		case 3, 6:
			p.Profile = Newcomer
		default:
			p.Profile = Genuine
		}
		people = append(people, p)
	}
	return people
}

// PastCall is a call of the past, over and classified.
type PastCall struct {
	At     time.Time
	Caller call.Caller
	Wait   time.Duration
	Talk   time.Duration // 0: the caller gave up after Wait
	Kind   call.Kind     // empty where nobody answered
}

// Past is what the people did in the days before the time, the oldest first and the same for the same seed: pranksters
// called nearly every day, silent callers every second, real callers once or twice; a tenth gave up.
func Past(people []Person, before time.Time, days int, seed uint64) []PastCall {
	r := rand.New(rand.NewPCG(seed, 1120))
	var past []PastCall
	for _, p := range people {
		for range p.calls(r, days) {
			past = append(past, p.pastCall(r, before, days))
		}
	}
	slices.SortStableFunc(past, func(a, b PastCall) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Caller.Number, b.Caller.Number))
	})
	return past
}

// calls is how often somebody called in so many days.
func (p Person) calls(r *rand.Rand, days int) int {
	switch p.Profile {
	case Prankster:
		return days * (60 + r.IntN(60)) / 100
	case Silent:
		return days * (30 + r.IntN(40)) / 100
	case Genuine, Withheld:
		return 1 + r.IntN(2)
	case Newcomer:
	}
	return 0
}

func (p Person) pastCall(r *rand.Rand, before time.Time, days int) PastCall {
	c := PastCall{
		At:     before.Add(-time.Duration(1+r.IntN(max(1, days*24*60-1))) * time.Minute),
		Caller: p.Caller,
		Wait:   time.Duration(2+r.IntN(40)) * time.Second,
		Talk:   time.Duration(15+r.IntN(180)) * time.Second,
		Kind:   p.Kind(r.Float64()),
	}
	if r.IntN(10) == 0 {
		c.Talk, c.Kind = 0, ""
	}
	return c
}

// Entries are the journal's lines of the call, numbered from 1, from its arrival to its end and classification: what a
// gateway would have written. To is the call taker who answered.
func (c PastCall) Entries(id call.ID, trunk, called string, to call.Party) []call.Entry {
	var es []call.Entry
	add := func(after time.Duration, evs ...call.Event) {
		for _, ev := range evs {
			es = append(es, call.Entry{Of: id, N: uint32(len(es) + 1), At: c.At.Add(after).UTC(), Event: ev})
		}
	}
	add(0, call.Arrived{Trunk: trunk, Called: called, SIPCallID: "past-" + string(id), Caller: c.Caller},
		call.Scored{P: -1}, call.Queued{Queue: called, Since: c.At.UTC()}, call.Answered{Leg: 0})
	end := c.Wait + c.Talk
	if c.Talk == 0 {
		add(end, call.Left{Leg: 0, By: "caller"}, call.Ended{Outcome: call.WasAbandoned})
		return es
	}
	add(max(0, c.Wait-3*time.Second), call.Offered{Leg: 1, To: to, For: "answer", As: call.Talking}, call.Rang{Leg: 1})
	add(c.Wait, call.Answered{Leg: 1}, call.RoleSet{Leg: 0, Role: call.Talking}, call.RoleSet{Leg: 1, Role: call.Talking})
	add(end, call.Left{Leg: 0, By: "caller"}, call.Left{Leg: 1, By: "desk"}, call.Ended{Outcome: call.WasAnswered})
	add(end+5*time.Second, call.Classified{By: to.Taker, Kind: c.Kind})
	return es
}
