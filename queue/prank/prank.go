// Package prank tells from a caller's history how likely the next call is a prank, and how far it may give way for that.
//
// It is a projection of sealed records: history in, probability and reasons out, no I/O and no clock. A probability never
// refuses a call; all it can do is to move it a little in the order of the queue.
//
// The model is small and can be checked by hand. Of one number's calls, each counted half after 30 days: P pranks, S silent
// calls and wrong numbers, G emergencies and complaints, I calls for information. Then
//
//	p = (K·prior + P + 0.7·S) / (K + P + 0.7·S + 2·G + I)
//
// with K = 0.8 and a prior of 0.5. The prior is fixed and means that nothing is known; it is no measured share of pranks. A
// call for which there is no history has no probability at all.
package prank

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

const (
	strength  = 0.8                 // K: how many calls the prior is worth
	prior     = 0.5                 // fixed, not measured
	halfLife  = 30 * 24 * time.Hour // after this a call counts half
	memory    = 12 * halfLife       // after this it is forgotten: it would count 1/4096
	perNumber = 64                  // lessons a number: the latest, older ones are forgotten
	sweep     = 4096                // lessons between two sweeps of what is forgotten, at least
	mostWhy   = 3                   // reasons in a score

	from, full = 0.7, 0.9 // where the delay begins, and where it is whole
)

// class is what a disposition teaches.
type class uint8

const (
	pranks class = iota
	silents
	wrongs
	genuines
	informations
	classes // how many there are
)

// words are the reasons' kinds, by class.
var words = [classes]string{pranks: "prank", silents: "silent", wrongs: "wrong-number", genuines: "genuine", informations: "information"}

// weights are what one call of a class, today, adds to the denominator.
var weights = [classes]float64{pranks: 1, silents: 0.7, wrongs: 0.7, genuines: 2, informations: 1}

// against are the classes that add the same to the numerator.
var against = [classes]bool{pranks: true, silents: true, wrongs: true}

// lesson is what one call taught: 24 bytes.
type lesson struct {
	of    uint64 // FNV-1a of the call's ID
	at    int64  // arrival, Unix seconds
	class class
}

// Scorer is the history of all asserted numbers. It is for one goroutine at a time.
//
// It keeps at most 64 lessons of 24 bytes a number and forgets what is older than 360 days, so a million classified calls
// of as many numbers take about 135 MB and of ten thousand numbers about 30 MB. It is built anew from the records at each
// start; nothing of it is stored.
type Scorer struct {
	maxDelay time.Duration
	numbers  map[string][]lesson // by asserted number, ordered by time
	taught   int                 // lessons since the last sweep
	latest   int64               // arrival of the latest call learnt from
}

// New is a scorer without history. maxDelay is the delay of a call that is a prank for sure; 0 or less: no call is delayed.
func New(maxDelay time.Duration) *Scorer {
	return &Scorer{maxDelay: max(0, maxDelay), numbers: map[string][]lesson{}}
}

// Learn takes a record of a call, sealed or amended. The same call again replaces what it taught before, so a correction
// counts once and a record may be read any number of times. A record that is not classified, or is disconnected or test,
// teaches nothing; nor does one whose number is withheld or only claimed: everybody can claim a number.
func (s *Scorer) Learn(r call.Record) {
	if r.Of.Kind() != call.Call || !known(r.Caller) {
		return
	}
	number, of := strings.Clone(r.Caller.Number), hash(r.Of) // a record's strings share the memory of its line
	ls := slices.DeleteFunc(s.numbers[number], func(l lesson) bool { return l.of == of })
	if c, ok := classOf(r.Kind); ok && !r.Test {
		l := lesson{of: of, at: r.FirstAt.Unix(), class: c}
		i, _ := slices.BinarySearchFunc(ls, l, func(a, b lesson) int { return cmp.Compare(a.at, b.at) })
		ls = slices.Insert(ls, i, l)
		ls = ls[max(0, len(ls)-perNumber):]
		s.latest = max(s.latest, l.at)
		s.taught++
	}
	if len(ls) == 0 {
		delete(s.numbers, number)
	} else {
		s.numbers[number] = ls
	}
	if s.taught >= max(sweep, len(s.numbers)) {
		s.forget()
	}
}

// Forget forgets what the number's calls have taught.
func (s *Scorer) Forget(number string) { delete(s.numbers, number) }

// forget frees the numbers of which no lesson counts any more, by the time of the latest call.
func (s *Scorer) forget() {
	s.taught = 0
	old := s.latest - int64(memory/time.Second)
	for number, ls := range s.numbers {
		if ls[len(ls)-1].at <= old {
			delete(s.numbers, number)
		}
	}
}

// Score is how likely a call is a prank at the time now, with the reasons, the largest first, and the delay that follows. P
// is -1 when there is no history; the delay is then 0, as it is for a number that is withheld or only claimed. P is rounded
// to three decimals and the delay follows from the rounded P: maxDelay × clamp((P − 0.7) / 0.2, 0, 1). The trunk is not
// used yet: a number is the same caller on every trunk.
func (s *Scorer) Score(now time.Time, _ string, c call.Caller) call.Scored {
	none := call.Scored{P: -1}
	if !known(c) {
		return none
	}
	var f facts
	for _, l := range s.numbers[c.Number] {
		f.add(l, now)
	}
	if f.empty() {
		return none
	}
	p := math.Round(f.p()*1000) / 1000
	delay := time.Duration(float64(s.maxDelay) * min(max((p-from)/(full-from), 0), 1)).Round(time.Millisecond)
	return call.Scored{P: p, Delay: delay, Why: f.why()}
}

// facts are the counts of one number.
type facts struct {
	decayed [classes]float64
	count   [classes]int
	days    [classes]int
	last    [classes]int64
	day     [classes]int64
}

// add counts a lesson; lessons come in the order of time. A call of the future counts whole: clocks only measure.
func (f *facts) add(l lesson, now time.Time) {
	age := max(0, now.Unix()-l.at)
	if age >= int64(memory/time.Second) {
		return
	}
	f.decayed[l.class] += math.Exp2(-float64(age) / halfLife.Seconds())
	if day := l.at / (24 * 60 * 60); f.count[l.class] == 0 || day != f.day[l.class] {
		f.days[l.class]++
		f.day[l.class] = day
	}
	f.count[l.class]++
	f.last[l.class] = l.at
}

func (f *facts) empty() bool { return f.count == [classes]int{} }

func (f *facts) p() float64 {
	num, den := strength*prior, strength
	for c, n := range f.decayed {
		den += weights[c] * n
		if against[c] {
			num += weights[c] * n
		}
	}
	return num / den
}

// why are the classes that weigh most, as facts. Days are days of UTC.
func (f *facts) why() []call.Reason {
	order := make([]class, 0, classes)
	for c := range classes {
		if f.count[c] > 0 {
			order = append(order, c)
		}
	}
	slices.SortStableFunc(order, func(a, b class) int { return cmp.Compare(weights[b]*f.decayed[b], weights[a]*f.decayed[a]) })
	order = order[:min(mostWhy, len(order))]
	why := make([]call.Reason, 0, len(order))
	for _, c := range order {
		why = append(why, call.Reason{Kind: words[c], Count: f.count[c], Days: f.days[c], Last: time.Unix(f.last[c], 0).UTC()})
	}
	return why
}

// known tells whether the number stands for somebody: only what the operator's network vouches for does.
func known(c call.Caller) bool { return c.Trust == call.Asserted && c.Number != "" }

// classOf is what a disposition teaches, if anything.
func classOf(k call.Kind) (class, bool) {
	switch k {
	case call.Prank:
		return pranks, true
	case call.Silent:
		return silents, true
	case call.WrongNumber:
		return wrongs, true
	case call.Emergency, call.Complaint:
		return genuines, true
	case call.Information:
		return informations, true
	case call.Disconnected, call.TestCall:
		return 0, false
	}
	return 0, false
}

// hash stands for a call's ID; that two calls of one number collide is as good as impossible.
func hash(id call.ID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum64()
}
