package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue/prank"
)

// ErrClosed is what a closed Queue answers.
var ErrClosed = errors.New("the desk is closed")

const (
	journalPatience = 200 * time.Millisecond // then the actions run without the journal
	fewShown        = 256                    // so many live calls and call takers are shown anew after every change
	viewEvery       = 100 * time.Millisecond // more are not shown more often
	afterPanic      = time.Second            // until deadlines are looked at again
)

// Options are what a Queue is made of. Journal and Answer are needed; what else is missing does nothing.
type Options struct {
	Queue    config.Queue
	Answer   config.Answer
	MaxCalls int           // live calls from which on a call gets 503; 0: no bound
	Scorer   *prank.Scorer // has learnt from the sealed records; the Queue's from now on
	Journal  Journal
	Alarm    call.Alarm
	Log      *zap.Logger
	NewID    func(kind byte, now time.Time) call.ID // call.NewID unless given
}

// Queue is the actor around a Desk: the line's intake, and what people order and see. Its methods may be called from any
// goroutine.
type Queue struct {
	o    Options
	log  *zap.Logger
	view atomic.Pointer[View]

	began time.Time        // of New, with the monotonic reading
	wall  func() time.Time // time.Now, but in tests
	skew  atomic.Int64     // what ahead told last

	once   sync.Once     // of Start or Close
	signal chan struct{} // capacity 1: there is work
	done   chan struct{} // closed when the goroutine has ended, or never will begin

	mu     sync.Mutex
	work   []func()
	closed bool

	// Of the goroutine.
	desk   *Desk
	line   Line
	raised map[string]bool // alarms that sound
	full   bool            // alarmCalls last sounded for the number of calls
	wake   time.Time       // of the desk; zero: never
	steps  []*step         // in order: what is not both durable and acted on
	acted  int             // so many of them, from the front, are acted on
	late   int             // so many of those are not durable yet
	idle   []chan struct{} // who waits for the last call to end
	fresh  bool            // the view shows what is
	shown  time.Time       // when it was taken
}

// step is what one input has led to, from Append until it is durable and acted on.
type step struct {
	at      time.Time
	do      []Action
	durable bool       // or it never will be
	late    bool       // acted on before that
	reply   chan error // of an Order; nil: nobody waits
}

// New makes a Queue. It has no goroutine yet: what it is told waits for Start.
func New(o Options) *Queue {
	if o.Alarm == nil {
		o.Alarm = func(string, time.Time, string) {}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.NewID == nil {
		o.NewID = call.NewID
	}
	q := &Queue{
		o: o, log: o.Log, signal: make(chan struct{}, 1), done: make(chan struct{}), raised: map[string]bool{},
		began: time.Now(), wall: time.Now,
		desk: NewDesk(Rules{Queue: o.Queue, Answer: o.Answer, MaxCalls: o.MaxCalls}, o.Scorer),
	}
	q.view.Store(&View{})
	return q
}

// Apply writes one live entry of an earlier run into the state: before Start, subject by subject in the order of N.
func (q *Queue) Apply(e call.Entry) { q.desk.Apply(e) }

// Remember learns from a record of an earlier run which call its takers talked in last, for their feature codes: before Start,
// in any order.
func (q *Queue) Remember(r call.Record) { q.desk.Remember(r) }

// Start begins to serve, with what was told so far, and puts its decisions on the line.
func (q *Queue) Start(l Line) {
	q.once.Do(func() {
		q.line = l
		go q.run()
	})
}

// Close takes what was told so far, and then ends the goroutine and waits for it. Entries that were decided are appended;
// actions that still wait for the journal are not taken.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nudge()
	q.once.Do(func() { close(q.done) })
	<-q.done
}

// Tell reports a fact of a call. It never blocks.
func (q *Queue) Tell(id call.ID, ev call.Event) {
	q.post(func() { q.step(Fact{Of: id, Event: ev}, nil) })
}

// Ask reports what the phone of a leg wants. It never blocks.
func (q *Queue) Ask(id call.ID, l call.Leg, want string, to call.Party) {
	q.post(func() {
		q.step(Ask{ID: q.o.NewID(call.Act, q.wall()), Of: id, Leg: l, Want: want, To: to}, nil)
	})
}

// Phone reports that a taker's phone is there, or gone. It never blocks.
func (q *Queue) Phone(who call.Party, up bool) {
	q.post(func() { q.step(Phone{Shift: q.o.NewID(call.Shift, q.wall()), Who: who, Up: up}, nil) })
}

// Filed reports a sealed or amended record, for the score. It never blocks.
func (q *Queue) Filed(r call.Record) {
	q.post(func() { q.step(Filed{Record: r}, nil) })
}

// Learn shows records of earlier runs to the score, while calls go on; last says that no more come. It returns when they are
// learnt, or with ErrClosed or the context's error.
func (q *Queue) Learn(ctx context.Context, records []call.Record, last bool) error {
	done := make(chan struct{})
	if !q.post(func() { defer close(done); q.step(Past{Records: records, Last: last}, nil) }) {
		return fmt.Errorf("learn: %w", ErrClosed)
	}
	select {
	case <-done:
		return nil
	case <-q.done:
		return fmt.Errorf("learn: %w", ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("learn: %w", context.Cause(ctx))
	}
}

// Order carries out an order and returns when it is decided and durable. The error wraps ErrOrder when it makes no sense,
// is the journal's when it could not be made durable, and ErrClosed or the context's when that came first: then the order
// may still be carried out.
func (q *Queue) Order(ctx context.Context, o Order) error {
	reply := make(chan error, 1)
	if !q.post(func() { q.step(o, reply) }) {
		return fmt.Errorf("order %s: %w", o.Verb, ErrClosed)
	}
	var err error
	select {
	case err = <-reply:
	case <-q.done:
		err = ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("order %s: %w", o.Verb, err)
	}
	return nil
}

// View is the latest picture, its times by the wall clock as it goes now. With many calls and takers it may be a tenth of a
// second old.
func (q *Queue) View() View { return q.view.Load().shifted(q.ahead()) }

// Idle returns when no call and no phone's own leg is live and all that was decided is acted on, or with the context's error or ErrClosed.
func (q *Queue) Idle(ctx context.Context) error {
	idle := make(chan struct{})
	if !q.post(func() { q.idle = append(q.idle, idle) }) {
		return fmt.Errorf("wait for the last call: %w", ErrClosed)
	}
	select {
	case <-idle:
		return nil
	case <-q.done:
		return fmt.Errorf("wait for the last call: %w", ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("wait for the last call: %w", context.Cause(ctx))
	}
}

// post adds work for the goroutine. It tells whether it will be done.
func (q *Queue) post(f func()) bool {
	q.mu.Lock()
	ok := !q.closed
	if ok {
		q.work = append(q.work, f)
	}
	q.mu.Unlock()
	q.nudge()
	return ok
}

func (q *Queue) nudge() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

func (q *Queue) take() (work []func(), closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	work, q.work = q.work, nil
	return work, q.closed
}

// run is the goroutine. A start is followed by a Tick.
func (q *Queue) run() {
	defer close(q.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	q.wake = q.now()
	for {
		work, closed := q.take()
		for _, f := range work {
			q.guard(f)
		}
		if now := q.now(); !q.wake.IsZero() && !q.wake.After(now) {
			q.guard(func() { q.step(Tick{}, nil) })
		}
		q.watch(q.now())
		q.flush(q.now())
		q.guard(func() { q.publish(q.now()) })
		if closed {
			return
		}
		if at := q.next(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(at.Sub(q.now()))
		}
		select {
		case <-q.signal:
		case <-timer.C:
		}
	}
}

// next is when the goroutine must look again though nothing was told; zero: never.
func (q *Queue) next() time.Time {
	at := q.wake
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if q.acted < len(q.steps) {
		sooner(q.steps[q.acted].at.Add(journalPatience))
	}
	if !q.fresh {
		sooner(q.shown.Add(viewEvery))
	}
	if at := q.desk.noTaker; !at.IsZero() && !q.raised[alarmNoTaker] {
		sooner(at)
	}
	return at
}

// guard keeps a panic from ending the process: what caused it is lost, everything else goes on.
func (q *Queue) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			q.panicked(p)
		}
	}()
	f()
}

func (q *Queue) panicked(p any) {
	q.log.Error("the desk met a bug", zap.Any("panic", p), zap.Stack("stack"))
	q.raise(alarmPanic, q.now(), "the desk met a bug: one input was lost, calls go on; keep the log and report it, restart when the line is calm")
}

// decide is the desk's Step. What it had decided when it panicked is applied, and so is journaled and acted on.
func (q *Queue) decide(now time.Time, in Input) (out Out) {
	defer func() {
		if p := recover(); p != nil {
			q.panicked(p)
			out = q.desk.out
			out.Wake = now.Add(afterPanic)
		}
	}()
	return q.desk.Step(now, in)
}

// step takes one input and appends what it led to. A crash before the entries are durable loses the step whole: no action
// of it was taken.
func (q *Queue) step(in Input, reply chan error) {
	now, strays := q.now(), q.desk.strays
	out := q.decide(now, in)
	if q.desk.strays != strays {
		q.log.Warn("input ignored", zap.String("input", fmt.Sprintf("%T", in)), zap.String("what", strange(in)), zap.Uint64("so far", q.desk.strays))
	}
	if out.Err != nil {
		answer(reply, out.Err)
		return
	}
	q.wake = out.Wake
	if _, order := in.(Order); order || len(out.Events) > 0 || len(out.Do) > 0 || q.desk.strays != strays {
		q.fresh = false
	}
	q.logEntries(out.Events)
	q.refusing(in, out.Events, now)
	s := &step{at: now, do: out.Do, reply: reply, durable: len(out.Events) == 0}
	if s.durable {
		answer(reply, nil)
	} else {
		q.o.Journal.Append(shiftAll(out.Events, q.ahead()), func(err error) { q.post(func() { q.persisted(s, err) }) })
	}
	if !s.durable || len(s.do) > 0 {
		q.steps = append(q.steps, s)
	}
}

// strange names an ignored input for the log, without anything of a caller.
func strange(in Input) string {
	switch in := in.(type) {
	case Fact:
		return fmt.Sprintf("%T of %s", in.Event, in.Of)
	case Phone:
		return string(in.Who.Taker)
	case Ask:
		return fmt.Sprintf("%s of %s", in.Want, in.Of)
	case Order, Filed, Past, Tick:
	}
	return ""
}

func answer(reply chan error, err error) {
	if reply != nil {
		reply <- err // it has room for the one answer
	}
}

// persisted notes that a step's entries are durable, or never will be.
func (q *Queue) persisted(s *step, err error) {
	if s.durable {
		return
	}
	s.durable = true
	if s.late {
		q.late--
	}
	answer(s.reply, err)
	switch {
	case err == nil && q.late == 0:
		q.clear(alarmJournal, "the journal is in time again")
	case err != nil && s.reply == nil:
		q.log.Error("entries were not journaled", zap.Error(err))
		q.raise(alarmJournal, q.now(), "the journal refused entries ("+err.Error()+"): calls go on, their records may lack something; look at the disk")
	}
}

// flush takes the actions of every step that is durable or has waited long enough, in order: none overtakes an earlier one.
func (q *Queue) flush(now time.Time) {
	for ; q.acted < len(q.steps); q.acted++ {
		s := q.steps[q.acted]
		if !s.durable && now.Sub(s.at) < journalPatience {
			break
		}
		if !s.durable {
			s.late = true
			q.late++
			q.raise(alarmJournal, s.at, "the journal is late: calls go on, but a crash now loses what is not written; look at the disk")
		}
		for _, a := range s.do {
			q.guard(func() { q.act(a) })
		}
		s.do = nil
	}
	over := 0
	for over < q.acted && q.steps[over].durable {
		over++
	}
	clear(q.steps[:over])
	q.steps, q.acted = q.steps[over:], q.acted-over
	if len(q.desk.calls)+len(q.desk.asides) == 0 && q.acted == len(q.steps) {
		for _, idle := range q.idle {
			close(idle)
		}
		q.idle = nil
	}
}

// act puts one action on the line.
func (q *Queue) act(a Action) {
	switch a := a.(type) {
	case Answer:
		q.line.Answer(a.Of, a.Leg)
	case Ring:
		q.line.Ring(a.Of, a.Leg, a.To, a.Display)
	case Drop:
		q.line.Drop(a.Of, a.Leg, a.Code)
	case Mix:
		q.line.Mix(a.Of, a.Roles)
	case Play:
		q.line.Play(a.Of, a.Leg, a.Prompt)
	}
}

// refusing sounds the alarm when the desk refused the call that has come, and ends it when it admits one. What the line
// refused is not the desk's to complain of.
func (q *Queue) refusing(in Input, es []call.Entry, now time.Time) {
	f, _ := in.(Fact)
	if told, ok := f.Event.(call.Arrived); !ok || told.Reject != 0 {
		return
	}
	for _, e := range es {
		a, ok := e.Event.(call.Arrived)
		switch {
		case !ok:
		case a.Reject == 0:
			q.clear(alarmCalls, "calls are admitted again")
		case q.desk.draining:
			if q.full {
				q.clear(alarmCalls, "the gateway is draining")
			}
			q.full = false
			q.raise(alarmCalls, now, "calls get 503: the gateway is draining")
		default:
			q.full = true
			q.raise(alarmCalls, now, fmt.Sprintf("calls get 503: %d calls are live; raise sip.max_calls if the machine can carry more", q.desk.admitted))
		}
	}
}

// watch sounds the alarm when calls have waited with nobody ready, until somebody is or nobody waits.
func (q *Queue) watch(now time.Time) {
	switch at := q.desk.noTaker; {
	case at.IsZero():
		q.clear(alarmNoTaker, "somebody is ready again, or nobody waits")
	case !at.After(now):
		q.raise(alarmNoTaker, now, fmt.Sprintf(
			"%d calls wait and no call taker is ready: they hear the announcement; have somebody dial *00 or register a phone", q.desk.waitingCalls()))
	}
}

// publish takes a new picture where the last one is out of date: at once while there is little to show, else not too often.
func (q *Queue) publish(now time.Time) {
	if q.fresh || len(q.desk.calls)+len(q.desk.roster) > fewShown && now.Sub(q.shown) < viewEvery {
		return
	}
	q.fresh, q.shown = true, now
	q.view.Store(q.desk.view(now))
}
