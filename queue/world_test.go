package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
	"github.com/siaga112/siaga112/queue/prank"
)

// start is when every test begins.
var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func rules(change ...func(*queue.Rules)) queue.Rules {
	r := queue.Rules{
		Queue:  config.Queue{RingTimeout: 15 * time.Second, WrapUp: 10 * time.Second, Strategy: config.LongestIdle},
		Answer: config.AnswerQueue, MaxCalls: 500,
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func ringAll(r *queue.Rules)  { r.Queue.Strategy = config.RingAll }
func byTaker(r *queue.Rules)  { r.Answer = config.AnswerTaker }
func noWrapUp(r *queue.Rules) { r.Queue.WrapUp = 0 }

// pranksters are numbers with a history: +62p0 to +62p9, the higher the worse. All have a probability.
func pranksters(maxDelay time.Duration) *prank.Scorer {
	s := prank.New(maxDelay)
	for n := range 10 {
		for i := range n {
			s.Learn(call.Record{
				Of: call.ID(fmt.Sprintf("cpast%d-%d", n, i)), FirstAt: start.Add(-time.Hour), Kind: call.Prank, Caller: asserted(prankster(n)),
			})
		}
		s.Learn(call.Record{
			Of: call.ID(fmt.Sprintf("cpast%d", n)), FirstAt: start.Add(-time.Hour), Kind: call.WrongNumber, Caller: asserted(prankster(n)),
		})
	}
	return s
}

func prankster(n int) string { return fmt.Sprintf("+62p%d", n) }

func asserted(number string) call.Caller { return call.Caller{Number: number, Trust: call.Asserted} }

// world drives a desk by hand: it keeps the time, all entries and all actions.
type world struct {
	t       rapid.TB
	desk    *queue.Desk
	now     time.Time
	wake    time.Time
	entries []call.Entry
	actions []queue.Action
	shown   int // actions that did has told
	shifts  int
	acts    int
	from    uint32 // journal begins after this
}

func newWorld(t rapid.TB, r queue.Rules, s *prank.Scorer) *world {
	t.Helper()
	return &world{t: t, desk: queue.NewDesk(r, s), now: start}
}

func (w *world) step(in queue.Input) queue.Out {
	w.t.Helper()
	out := w.desk.Step(w.now, in)
	w.entries = append(w.entries, out.Events...)
	w.actions = append(w.actions, out.Do...)
	if out.Err == nil {
		w.wake = out.Wake
		if _, tick := in.(queue.Tick); !out.Wake.IsZero() && !out.Wake.After(w.now) && (tick || out.Wake.Before(w.now)) {
			w.t.Fatalf("%T at %s wants to be woken at %s: a tight loop", in, w.now, out.Wake)
		}
	}
	if bad := w.desk.Consistent(); bad != "" {
		w.t.Fatalf("after %T: %s", in, bad)
	}
	return out
}

func (w *world) fact(id call.ID, evs ...call.Event) {
	w.t.Helper()
	for _, ev := range evs {
		w.step(queue.Fact{Of: id, Event: ev})
	}
}

// arrive lets a call come from an asserted number.
func (w *world) arrive(id call.ID, number string) {
	w.t.Helper()
	w.fact(id, call.Arrived{Trunk: "telkom", Called: "112", Caller: asserted(number)})
}

func (w *world) phone(up bool, takers ...call.TakerID) {
	w.t.Helper()
	for _, k := range takers {
		w.shifts++
		w.step(queue.Phone{Shift: call.ID(fmt.Sprintf("s%d", w.shifts)), Who: call.Party{Taker: k}, Up: up})
	}
}

func (w *world) up(takers ...call.TakerID) { w.t.Helper(); w.phone(true, takers...) }

func (w *world) order(verb string, who call.TakerID) error {
	w.t.Helper()
	return w.step(queue.Order{Verb: verb, To: call.Party{Taker: who}}).Err
}

// wait lets time pass; the desk is woken when it asked to be, and never else.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for !w.wake.IsZero() && !w.wake.After(end) {
		w.now = w.wake
		w.step(queue.Tick{})
	}
	w.now = end
}

// talk takes a call through to a conversation on a leg.
func (w *world) talk(id call.ID, l call.Leg) {
	w.t.Helper()
	w.fact(id, call.Answered{Leg: 0}, call.Rang{Leg: l}, call.Answered{Leg: l})
}

// journal is what was written of a subject, as in the stories.
func (w *world) journal(of call.ID) string {
	var words []string
	for _, e := range w.entries {
		if e.Of == of && (e.N > w.from || e.N == 0) {
			words = append(words, show(e.Event))
		}
	}
	return strings.Join(words, " | ")
}

// offers are all Offered since the start, in order: "c1:1:t1".
func (w *world) offers() string {
	var words []string
	for _, e := range w.entries {
		if o, ok := e.Event.(call.Offered); ok {
			words = append(words, fmt.Sprintf("%s:%d:%s", e.Of, o.Leg, o.To.Taker))
		}
	}
	return strings.Join(words, " ")
}

// did are the actions since it was asked last.
func (w *world) did() string {
	var words []string
	for _, a := range w.actions[w.shown:] {
		words = append(words, showAction(a))
	}
	w.shown = len(w.actions)
	return strings.Join(words, " | ")
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(want, " | "), strings.Split(got, " | ")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// show is an event as a story's journal writes it.
func show(ev call.Event) string {
	switch ev := ev.(type) {
	case call.Arrived:
		if ev.Reject != 0 {
			return fmt.Sprintf("arrived reject %d", ev.Reject)
		}
		return "arrived"
	case call.Scored:
		if ev.P < 0 {
			return "scored unknown"
		}
		return fmt.Sprintf("scored %.3f %s", ev.P, ev.Delay)
	case call.Queued:
		return fmt.Sprintf("queued %s passed %d", ev.Queue, ev.Passed)
	case call.Offered:
		if ev.For != call.ForAnswer {
			return fmt.Sprintf("offered %d %s %s", ev.Leg, ev.To.Taker, ev.For)
		}
		return fmt.Sprintf("offered %d %s", ev.Leg, ev.To.Taker)
	case call.Rang:
		return fmt.Sprintf("rang %d", ev.Leg)
	case call.Answered:
		return fmt.Sprintf("answered %d", ev.Leg)
	case call.RoleSet:
		return fmt.Sprintf("role %d %s", ev.Leg, ev.Role)
	case call.Heard:
		return fmt.Sprintf("heard %d %s", ev.Leg, ev.What)
	case call.Left:
		return fmt.Sprintf("left %d %s", ev.Leg, ev.By)
	case call.Restored:
		return "restored"
	case call.Ended:
		return "ended " + string(ev.Outcome)
	case call.Classified:
		return strings.TrimSpace(fmt.Sprintf("classified %s %s", ev.Kind, ev.Note))
	case call.TakerChanged:
		if !ev.Until.IsZero() && ev.Why != "no answer" && ev.Why != "answered" {
			return fmt.Sprintf("%s %s until %s", ev.Taker, ev.State, ev.Until.Sub(start))
		}
		if ev.Why == "no answer" || ev.Why == "answered" {
			return fmt.Sprintf("%s %s %s", ev.Taker, ev.State, ev.Why)
		}
		return fmt.Sprintf("%s %s", ev.Taker, ev.State)
	case call.Acted:
		return strings.TrimSpace("acted " + ev.What + " " + ev.Detail)
	}
	return fmt.Sprintf("%T", ev)
}

func showAction(a queue.Action) string {
	switch a := a.(type) {
	case queue.Answer:
		if a.Leg != 0 {
			return fmt.Sprintf("answer %s %d", a.Of, a.Leg)
		}
		return fmt.Sprintf("answer %s", a.Of)
	case queue.Ring:
		return fmt.Sprintf("ring %s %d %s", a.Of, a.Leg, a.To.Taker)
	case queue.Drop:
		return fmt.Sprintf("drop %s %d %d", a.Of, a.Leg, a.Code)
	case queue.Mix:
		var roles []string
		for l, r := range a.Roles {
			roles = append(roles, fmt.Sprintf("%d=%s", l, r))
		}
		slices.Sort(roles)
		return fmt.Sprintf("mix %s %s", a.Of, strings.Join(roles, " "))
	case queue.Play:
		return fmt.Sprintf("play %s %d %q", a.Of, a.Leg, a.Prompt)
	}
	return fmt.Sprintf("%T", a)
}
