package queue

import (
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
)

// clockSlack is how far the wall clock may be from the desk's before entries follow it.
const clockSlack = time.Second

// now is the time by which the desk decides: the wall time of New, and from there on the monotonic clock alone. Whoever
// sets the wall clock moves no deadline.
func (q *Queue) now() time.Time { return q.began.Add(time.Since(q.began)) }

// ahead is how far the wall clock, which people see, is ahead of now. It stays as it is while the two run alike.
func (q *Queue) ahead() time.Duration {
	was := time.Duration(q.skew.Load())
	is := skewed(was, q.wall().Round(0).Sub(q.now().Round(0)))
	if is != was {
		q.skew.Store(int64(is))
	}
	return is
}

// seen is a time of the desk as people see it, and for those who measure from it in this process as exact as it was.
func (q *Queue) seen(at time.Time) time.Time { return q.wall().Add(at.Sub(q.now())) }

// skewed is the difference of the clocks to go by from now on, after was, when is is measured: within the slack was still
// holds, so the entries of a call keep their spans to the nanosecond.
func skewed(was, is time.Duration) time.Duration {
	switch {
	case (is - was).Abs() <= clockSlack:
		return was
	case is.Abs() <= clockSlack:
		return 0
	}
	return is
}

// shiftAll are the entries with their times later by that much: a copy, unless it is nothing.
func shiftAll(es []call.Entry, by time.Duration) []call.Entry {
	if by == 0 {
		return es
	}
	out := make([]call.Entry, len(es))
	for i, e := range es {
		out[i] = shift(e, by)
	}
	return out
}

// shift is the entry with the times that the desk's clock gave it later by that much. The times in a Scored are none of
// them: they come from sealed records, as people saw them then.
func shift(e call.Entry, by time.Duration) call.Entry {
	e.At = e.At.Add(by)
	switch ev := e.Event.(type) {
	case call.Queued:
		ev.Since = later(ev.Since, by)
		e.Event = ev
	case call.TakerChanged:
		ev.Until = later(ev.Until, by)
		e.Event = ev
	case call.Arrived, call.Scored, call.Offered, call.Rang, call.Answered, call.RoleSet, call.Heard, call.Left, call.Restored,
		call.Ended, call.Classified, call.Acted:
	}
	return e
}

// shifted is the picture with its times later by that much. The picture itself stays as it is.
func (v View) shifted(by time.Duration) View {
	if by == 0 {
		return v
	}
	v.At = later(v.At, by)
	v.Waiting, v.Takers = slices.Clone(v.Waiting), slices.Clone(v.Takers)
	for i := range v.Waiting {
		w := &v.Waiting[i]
		w.Since = later(w.Since, by)
	}
	for i := range v.Takers {
		t := &v.Takers[i]
		t.Since, t.Until, t.Rang, t.Answered = later(t.Since, by), later(t.Until, by), later(t.Rang, by), later(t.Answered, by)
	}
	return v
}

// later is the wall time later by that much; no time stays none.
func later(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Round(0).Add(by)
}
