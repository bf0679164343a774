package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// journal is a fake that can be slow, stall before or after it has persisted, fail, and answer in the wrong order.
type journal struct {
	mu        sync.Mutex
	delay     time.Duration // before done
	stall     string        // "before" or "after" persisting; "" none
	fail      error         // persists nothing
	synchron  bool          // done before Append returns
	persisted []call.Entry
	stalled   []func()
}

func (j *journal) Append(es []call.Entry, done func(error)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	finish := func(persist bool) func() {
		err := j.fail
		if persist && err == nil {
			j.persisted = append(j.persisted, es...)
		}
		return func() {
			if !persist && err == nil {
				j.mu.Lock()
				j.persisted = append(j.persisted, es...)
				j.mu.Unlock()
			}
			done(err)
		}
	}
	switch {
	case j.stall == "before":
		j.stalled = append(j.stalled, finish(false))
	case j.stall == "after":
		j.stalled = append(j.stalled, finish(true))
	case j.synchron:
		finish(true)()
	default:
		time.AfterFunc(j.delay, finish(true))
	}
}

func (j *journal) set(change func(*journal)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
}

// release ends a stall, in order or backwards.
func (j *journal) release(backwards bool) {
	j.mu.Lock()
	fs := j.stalled
	j.stall, j.stalled = "", nil
	j.mu.Unlock()
	if backwards {
		slices.Reverse(fs)
	}
	for _, f := range fs {
		f()
	}
}

func (j *journal) words(of call.ID) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var words []string
	for _, e := range j.persisted {
		if e.Of == of {
			words = append(words, show(e.Event))
		}
	}
	return strings.Join(words, " | ")
}

// line is a fake that notes when it was told what, and can panic.
type line struct {
	mu     sync.Mutex
	from   time.Time
	told   []string
	panics bool
}

func (l *line) note(a queue.Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fmt.Sprintf("%s %s", time.Since(l.from), showAction(a)))
	if l.panics {
		l.panics = false
		panic("the line is broken")
	}
}

func (l *line) Answer(id call.ID, n call.Leg) { l.note(queue.Answer{Of: id, Leg: n}) }
func (l *line) Ring(id call.ID, n call.Leg, to call.Party, display string) {
	l.note(queue.Ring{Of: id, Leg: n, To: to, Display: display})
}

func (l *line) Drop(id call.ID, n call.Leg, code int) {
	l.note(queue.Drop{Of: id, Leg: n, Code: code})
}

func (l *line) Mix(id call.ID, roles map[call.Leg]call.Role) {
	l.note(queue.Mix{Of: id, Roles: roles})
}

func (l *line) Play(id call.ID, n call.Leg, prompt string) {
	l.note(queue.Play{Of: id, Leg: n, Prompt: prompt})
}

// say is what the line was told since it was asked last.
func (l *line) say() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.Join(l.told, " | ")
	l.told = nil
	return s
}

// alarms notes what sounds.
type alarms struct {
	mu   sync.Mutex
	said []string
	text string // of the last
}

func (a *alarms) set(name string, since time.Time, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text = text
	if since.IsZero() {
		a.said = append(a.said, name+" over")
		return
	}
	a.said = append(a.said, fmt.Sprintf("%s for %s", name, time.Since(since)))
}

func (a *alarms) say() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := strings.Join(a.said, " | ")
	a.said = nil
	return s
}

// lastText is the text of the last alarm.
func (a *alarms) lastText() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text
}

// actor is a Queue with its fakes.
type actor struct {
	*queue.Queue
	ahead   atomic.Int64 // of the wall clock, against the bubble's
	journal *journal
	line    *line
	alarms  *alarms
	log     *observer.ObservedLogs
}

// inBubble runs f on a started Queue in a bubble; the Queue is closed at the end.
func inBubble(t *testing.T, f func(t *testing.T, a *actor), change ...func(*queue.Rules)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.InfoLevel, change...)
		a.Start(a.line)
		defer a.Close()
		f(t, a)
	})
}

func newActor(level zapcore.Level, change ...func(*queue.Rules)) *actor {
	r := rules(change...)
	core, logs := observer.New(level)
	a := &actor{journal: &journal{}, line: &line{from: time.Now()}, alarms: &alarms{}, log: logs}
	shifts := 0
	a.Queue = queue.New(queue.Options{
		Queue: r.Queue, Answer: r.Answer, MaxCalls: r.MaxCalls, Journal: a.journal, Alarm: a.alarms.set, Log: zap.New(core),
		NewID: func(kind byte, _ time.Time) call.ID { // only ever asked in the one goroutine
			shifts++
			return call.ID(fmt.Sprintf("%c%d", kind, shifts))
		},
	})
	a.SetWall(func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) })
	return a
}

// setClock sets the clock that people see, so far ahead of the true time.
func (a *actor) setClock(ahead time.Duration) { a.ahead.Store(int64(ahead)) }

func (a *actor) arrive(id call.ID) {
	a.Tell(id, call.Arrived{Trunk: "telkom", Called: "112", Caller: asserted("+628115550001")})
}

func (a *actor) up(k call.TakerID) { a.Phone(call.Party{Taker: k}, true) }
