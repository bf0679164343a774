// Package reconcile holds the calls that an operator says to have delivered against those that we have on record. It is
// pure: calls in, a report out.
package reconcile

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Call is a call of either side.
type Call struct {
	At       time.Time
	Number   string        // the caller's, as it stands there; "" is withheld
	Called   string        // "" is not told
	Duration time.Duration // of the operator: as billed; of ours: from arrival until the caller left
	Talk     time.Duration // of ours: with a call taker
	Name     string        // which it is: "line 7", or our id
	Outcome  string        // of ours
}

// Options say how calls are matched.
type Options struct {
	// Window is how far apart the two times of a call may be, once the clocks are set right. 0: DefaultWindow.
	Window time.Duration
	// Offset is the operator's clock minus ours, where it is known; nil: it is found.
	Offset *time.Duration
	// From and To bound what is reported, by our clock: From is in, To is not; zero: the span of the operator's calls.
	From, To time.Time
	// Country is the country code of national numbers. "": 62.
	Country string
}

// DefaultWindow is a few seconds of signaling, and one of rounding.
const DefaultWindow = 10 * time.Second

// MaxOffset is the largest difference of clocks that is looked for: more than all time zones.
const MaxOffset = 15 * time.Hour

// duplicateWindow is how far our call may be from a line that repeats another, to be another call and no repetition.
const duplicateWindow = 2 * time.Second

// Side is the sums of one side.
type Side struct {
	Attempts int
	Duration time.Duration
	Talk     time.Duration // ours only
}

// Report is what was found. The calls in it are by time.
type Report struct {
	Offset   time.Duration // the operator's clock minus ours
	Sure     bool          // at least half of the operator's calls stand at that offset; false also where it was given
	From, To time.Time     // what was compared, by our clock

	Operator, Ours Side // without repetitions
	Matched        int
	NumberDiffers  int    // matched by time alone: one side has no number
	Unseen         []Call // the operator delivered them, and we have no record; At is by our clock
	Undelivered    []Call // we have a record, and the operator does not tell of them
	Repeated       []Call // lines that tell again what another line told
}

// Complete tells that neither side misses a call.
func (r *Report) Complete() bool { return len(r.Unseen) == 0 && len(r.Undelivered) == 0 }

// Normal is a number in the form in which two notations of it are equal: digits with the country code before them. So
// 0812…, 62812…, +62812…, 0062812… are equal, and tel: and sip: addresses of them. What is no number is "".
func Normal(number, country string) string {
	if country == "" {
		country = "62"
	}
	s := strings.ToLower(strings.TrimSpace(number))
	for _, scheme := range []string{"tel:", "sip:", "sips:"} {
		s = strings.TrimPrefix(s, scheme)
	}
	if at := strings.IndexAny(s, "@;"); at >= 0 {
		s = s[:at]
	}
	plus := strings.HasPrefix(s, "+")
	digits := strings.Map(func(c rune) rune {
		switch {
		case c >= '0' && c <= '9':
			return c
		case strings.ContainsRune("+ -.()'", c):
			return -1
		}
		return 'x'
	}, s)
	switch {
	case digits == "" || strings.ContainsRune(digits, 'x') || strings.Trim(digits, "0") == "":
		return ""
	case plus:
		return digits
	case strings.HasPrefix(digits, "00"):
		return digits[2:]
	case strings.HasPrefix(digits, "0"):
		return country + digits[1:]
	}
	return digits
}

// Calls compares. The same calls in another order give the same report.
func Calls(operator, ours []Call, o Options) Report {
	if o.Window <= 0 {
		o.Window = DefaultWindow
	}
	theirs, own := events(operator, o.Country), events(ours, o.Country)
	var r Report
	first, repeated := split(theirs)
	if o.Offset != nil {
		r.Offset = *o.Offset
	} else {
		r.Offset, r.Sure = offset(first, own)
	}
	for _, some := range [][]*event{first, repeated} {
		for _, e := range some {
			e.at -= int64(r.Offset)
			e.call.At = e.call.At.Add(-r.Offset)
		}
	}
	byNumber(first, own, int64(o.Window))
	byNumber(repeated, own, int64(duplicateWindow))
	r.NumberDiffers = byTime(first, own, int64(o.Window))
	r.fill(first, repeated, own, o)
	return r
}

// event is a call that is being matched.
type event struct {
	call   Call
	number string // normal
	at     int64  // nanoseconds
	with   *event
}

func events(calls []Call, country string) []*event {
	out := make([]*event, len(calls))
	for i, c := range calls {
		out[i] = &event{call: c, number: Normal(c.Number, country), at: c.At.UnixNano()}
	}
	slices.SortStableFunc(out, compare)
	return out
}

// compare is by time, then by all else: an order that does not depend on the one in which the calls came.
func compare(a, b *event) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.number, b.number), cmp.Compare(a.call.Duration, b.call.Duration),
		cmp.Compare(a.call.Called, b.call.Called), cmp.Compare(len(a.call.Name), len(b.call.Name)), cmp.Compare(a.call.Name, b.call.Name))
}

// split takes out the lines that repeat another: the same number, time, duration and called number. Withheld ones are
// never repetitions: nobody can tell.
func split(es []*event) (first, repeated []*event) {
	type key struct {
		at       int64
		number   string
		called   string
		duration time.Duration
	}
	seen := map[key]bool{}
	for _, e := range es {
		k := key{e.at, e.number, e.call.Called, e.call.Duration}
		if e.number != "" && seen[k] {
			repeated = append(repeated, e)
			continue
		}
		seen[k] = true
		first = append(first, e)
	}
	return first, repeated
}

// offset finds how far the clocks are apart: where most calls of the same number stand at the same distance. Each call of
// the operator has one vote, shared by the distances that are possible for it.
func offset(theirs, own []*event) (found time.Duration, sure bool) {
	const (
		near = 3 * int64(time.Second) // within which distances are the same
		most = 64                     // of the candidates of one call, the nearest
	)
	numbers := map[string][]*event{}
	for _, e := range own {
		numbers[e.number] = append(numbers[e.number], e)
	}
	type vote struct {
		d int64
		w float64
	}
	var votes []vote
	voters := 0
	for _, e := range theirs {
		same := numbers[e.number]
		if e.number == "" {
			continue
		}
		lo, _ := slices.BinarySearchFunc(same, e.at-int64(MaxOffset), func(e *event, at int64) int { return cmp.Compare(e.at, at) })
		hi, _ := slices.BinarySearchFunc(same, e.at+int64(MaxOffset)+1, func(e *event, at int64) int { return cmp.Compare(e.at, at) })
		if same = same[lo:hi]; len(same) == 0 {
			continue
		}
		if len(same) > most {
			mid, _ := slices.BinarySearchFunc(same, e.at, func(e *event, at int64) int { return cmp.Compare(e.at, at) })
			from := max(0, min(mid-most/2, len(same)-most))
			same = same[from : from+most]
		}
		voters++
		for _, c := range same {
			votes = append(votes, vote{e.at - c.at, 1 / float64(len(same))})
		}
	}
	if len(votes) == 0 {
		return 0, false
	}
	slices.SortFunc(votes, func(a, b vote) int { return cmp.Or(cmp.Compare(a.d, b.d), cmp.Compare(a.w, b.w)) })
	// The densest stretch of two times near; of equal ones the nearest to no difference.
	const grain = 1e-9
	sum, best, at, end := 0.0, -1.0, 0, 0
	for lo, hi := 0, 0; hi < len(votes); hi++ {
		sum += votes[hi].w
		for votes[hi].d-votes[lo].d > 2*near {
			sum -= votes[lo].w
			lo++
		}
		closer := abs(votes[lo].d+votes[hi].d) < abs(votes[at].d+votes[end].d)
		if sum > best+grain || sum > best-grain && closer {
			best, at, end = sum, lo, hi
		}
	}
	// Its middle by weight.
	half := 0.0
	for i := at; i <= end; i++ {
		if half += votes[i].w; half >= best/2-grain {
			found = time.Duration(votes[i].d)
			break
		}
	}
	return found, best >= float64(voters)/2
}

func abs(n int64) int64 { return int64(math.Abs(float64(n))) }

// byNumber matches what has the same number.
func byNumber(theirs, own []*event, window int64) {
	a, b := map[string][]*event{}, map[string][]*event{}
	for _, side := range []struct {
		es   []*event
		into map[string][]*event
	}{{theirs, a}, {own, b}} {
		for _, e := range side.es {
			if e.number != "" && e.with == nil {
				side.into[e.number] = append(side.into[e.number], e)
			}
		}
	}
	for number, es := range a {
		pair(es, b[number], window)
	}
}

// byTime matches what is left where one side has no number: by time alone. First those that have none on both sides.
func byTime(theirs, own []*event, window int64) (differs int) {
	free := func(es []*event, withheld bool) (out []*event) {
		for _, e := range es {
			if e.with == nil && (e.number == "") == withheld {
				out = append(out, e)
			}
		}
		return out
	}
	pair(free(theirs, true), free(own, true), window)
	n := pair(free(theirs, true), free(own, false), window)
	return n + pair(free(theirs, false), free(own, true), window)
}

// fill makes the report of what is matched.
func (r *Report) fill(first, repeated, own []*event, o Options) {
	r.From, r.To = o.From, o.To
	if len(first) > 0 && r.From.IsZero() {
		r.From = first[0].call.At.Add(-o.Window)
	}
	if len(first) > 0 && r.To.IsZero() {
		r.To = first[len(first)-1].call.At.Add(o.Window + 1)
	}
	if r.From.After(r.To) {
		r.From = r.To
	}
	inside := func(e *event) bool { return !e.call.At.Before(r.From) && e.call.At.Before(r.To) }
	for _, e := range own {
		switch {
		case !inside(e) && (e.with == nil || !inside(e.with)):
			continue
		case e.with == nil:
			r.Undelivered = append(r.Undelivered, e.call)
		default:
			r.Matched++
		}
		r.Ours.add(e)
	}
	for _, e := range first {
		switch {
		case !inside(e) && (e.with == nil || !inside(e.with)):
			continue
		case e.with == nil:
			r.Unseen = append(r.Unseen, e.call)
		}
		r.Operator.add(e)
	}
	for _, e := range repeated {
		switch {
		case e.with != nil && (inside(e) || inside(e.with)):
			r.Operator.add(e)
		case e.with == nil && inside(e):
			r.Repeated = append(r.Repeated, e.call)
		}
	}
}

func (s *Side) add(e *event) {
	s.Attempts++
	s.Duration += e.call.Duration
	s.Talk += e.call.Talk
}
