package siptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
)

// RunStory tells a story to a gateway in a synctest bubble and fails the test where it goes otherwise. Start starts the
// gateway; it is called in the bubble, again after each kill or stop that the story starts over. With update the
// journal and the end of the file are written anew instead of being compared.
func RunStory(t *testing.T, file string, start func(*testing.T, Setting) Gateway, update bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseStory(file, data)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var journal, end []byte
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, s, root, start)
		r.begin()
		for i := range s.lines {
			r.line(&s.lines[i])
		}
		journal, end = r.finish(update)
	})
	if update && !t.Failed() {
		if err := os.WriteFile(file, s.rewrite(journal, end), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runner tells one story.
type runner struct {
	t      *testing.T
	s      *Story
	root   string
	start  func(*testing.T, Setting) Gateway
	net    *Network
	people map[string]*person
	order  []*person // takers, then callers

	gateway  Gateway
	setting  Setting
	running  bool
	starts   int
	stopping chan error         // a stop that is under way
	hurry    context.CancelFunc // of that

	t0     time.Time
	before time.Duration // of the line before
	calls  []placed
	tags   map[string]string
	base   Counts // at the start
	later  []expected

	mu  sync.Mutex
	log []string // all that was seen
}

// expected is something that must come true by a time.
type expected struct {
	line  *line
	due   time.Duration
	early bool // it may come true before
	check func() error
}

// placed is a call of the story.
type placed struct {
	name  string
	sipID string
}

func newRunner(t *testing.T, s *Story, root string, start func(*testing.T, Setting) Gateway) *runner {
	t.Helper()
	r := &runner{
		t: t, s: s, root: root, start: start, net: NewNetwork(),
		people: map[string]*person{}, tags: map[string]string{},
	}
	t.Cleanup(r.close)
	for i := range s.Takers {
		taker := &s.Takers[i]
		r.join(&person{who: string(taker.ID), taker: taker, addr: taker.Addr})
	}
	ip := storyTrunk
	for _, name := range s.callers {
		ip = ip.Next()
		r.join(&person{who: name, addr: ip})
	}
	return r
}

func (r *runner) join(p *person) {
	p.r, p.voice, p.named = r, Apart(len(r.order)), map[string]*Call{}
	r.order = append(r.order, p)
	r.people[p.who] = p
}

// close ends what a story leaves behind, also one that failed.
func (r *runner) close() {
	if r.stopping != nil {
		if err := <-r.stopping; err != nil {
			r.t.Logf("%s: gateway stop: %v", r.s.File, err)
		}
	}
	if r.running {
		r.gateway.Kill()
	}
	for _, p := range r.order {
		if p.phone != nil {
			p.phone.Close()
		}
	}
	r.net.Close()
}

// begin starts the gateway and registers the takers; then the story's clock is at 0.
func (r *runner) begin() {
	r.setting = Setting{
		Net: r.net.Host(storyGateway.Addr()).Net(), Addr: storyGateway, Data: filepath.Join(r.root, "data-0"),
		Takers: r.s.Takers, History: r.s.past(time.Now()),
	}
	if err := os.MkdirAll(r.setting.Data, 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.startGateway()
	for _, p := range r.order {
		if p.taker == nil || p.taker.Away {
			continue
		}
		if err := p.comeUp(r.t.Context(), 0, 0); err != nil {
			r.t.Fatalf("%s: before the story: %v", r.s.File, err)
		}
	}
	pass(time.Second)
	base, err := r.gateway.Check(r.t.Context())
	if err != nil {
		r.t.Fatalf("%s: before the story: %v", r.s.File, err)
	}
	r.base, r.t0 = base, time.Now()
}

func (r *runner) startGateway() {
	config, err := r.s.configuration(r.setting.Data)
	if err != nil {
		r.t.Fatal(err)
	}
	r.setting.Config = config
	r.gateway = r.start(r.t, r.setting)
	r.running = true
	r.setting.Again = true
	r.starts++
}

// killGateway is a kill between two instructions: nothing of the gateway runs while its data are copied.
func (r *runner) killGateway() error {
	synctest.Wait()
	data := filepath.Join(r.root, fmt.Sprintf("data-%d", r.starts))
	if err := copyFolder(r.setting.Data, data); err != nil {
		return err
	}
	r.net.Drop(storyGateway.Addr())
	r.gateway.Kill()
	r.running = false
	r.setting.Data = data
	return nil
}

// stopTime is how long a gateway may take to stop.
const stopTime = 5 * time.Second

// stopGateway begins a stop; phones have to answer while it goes on.
func (r *runner) stopGateway(within time.Duration) {
	r.stopping = make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	r.hurry = cancel
	go func() {
		defer cancel()
		begin := time.Now()
		err := r.gateway.Stop(ctx)
		if took := time.Since(begin); took > within {
			err = errors.Join(err, fmt.Errorf("it took %s, more than %s", took, within))
		}
		r.stopping <- err
	}()
	r.running = false
}

// stopped waits for a stop that is under way.
func (r *runner) stopped() error {
	if r.stopping == nil {
		return nil
	}
	err := <-r.stopping
	r.stopping = nil
	return err
}

// now is the story's time.
func (r *runner) now() time.Duration { return time.Since(r.t0) }

// line waits for the line's time and does what it says.
func (r *runner) line(l *line) {
	r.until(l.at)
	for _, c := range l.clauses {
		if err := r.do(l, c); err != nil {
			r.fail(l, "%s %s: %v", l.who, c, err)
		}
	}
	for _, p := range r.order {
		if err := p.unwritten(l.at - Slack); err != nil {
			r.fail(l, "%v", err)
		}
	}
	r.before = l.at
}

// until lets time pass, with the checks that are due in it.
func (r *runner) until(at time.Duration) {
	waiting := r.later
	r.later = nil
	for _, e := range waiting {
		if e.early && e.check() == nil {
			continue
		}
		if e.due > at {
			r.later = append(r.later, e)
			continue
		}
		r.sleep(e.due)
		if err := e.check(); err != nil {
			r.fail(e.line, "%v", err)
		}
	}
	r.sleep(at)
}

func (r *runner) sleep(at time.Duration) {
	pass(at - r.now())
}

// pass lets time pass, and all that happens at its end.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *runner) do(l *line, c clause) error {
	if l.who == theGateway {
		return r.doGateway(c)
	}
	p := r.people[l.who]
	if c.verb == verbHears {
		return r.hears(l, p, c)
	}
	if err := p.do(r.t.Context(), c); err != nil {
		return err
	}
	synctest.Wait()
	return nil
}

func (r *runner) doGateway(c clause) error {
	switch c.verb {
	case verbHurries:
		r.hurry()
		return nil
	case verbStalls:
		s, ok := r.gateway.(Staller)
		if !ok {
			return errors.New("this gateway can't")
		}
		s.Stall(Stall(c.arg))
		return nil
	}
	if err := r.stopped(); err != nil {
		return err
	}
	switch c.verb {
	case verbKill:
		return r.killGateway()
	case verbStart:
		r.startGateway()
	case verbStop:
		within := stopTime
		if c.options["within"] != "" {
			var err error
			if within, err = time.ParseDuration(c.options["within"]); err != nil {
				return err
			}
		}
		r.stopGateway(within)
	}
	return nil
}

// hears checks at once, or within Slack where the line has done something first.
func (r *runner) hears(l *line, p *person, c clause) error {
	if !c.after {
		return p.heard(c, r.before-Slack)
	}
	r.later = append(r.later, expected{
		line: l, due: l.at + Slack, early: c.arg != "nothing",
		check: func() error {
			if err := p.heard(c, l.at); err != nil {
				return fmt.Errorf("%s %s: %w", l.who, c, err)
			}
			return nil
		},
	})
	return nil
}

// seen logs what somebody saw.
func (r *runner) seen(at time.Time, who, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf("%8s %s %s", short(at.Sub(r.t0)), who, what))
}

func short(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }

// mostLog is how much of what was seen a failure shows.
const mostLog = 40

// fail ends the story with the line and what was seen.
func (r *runner) fail(l *line, format string, args ...any) {
	r.t.Helper()
	r.mu.Lock()
	log := r.log
	r.mu.Unlock()
	if len(log) > mostLog {
		log = append([]string{"   …"}, log[len(log)-mostLog:]...)
	}
	if len(log) == 0 {
		log = []string{"  nothing"}
	}
	r.t.Fatalf("%s:%d: at %s: %s\nseen so far:\n%s", r.s.File, l.no, l.at, fmt.Sprintf(format, args...), strings.Join(log, "\n"))
}

// lastCall is the call that the taker spoke in last, or the named one.
func (r *runner) lastCall(ctx context.Context, taker call.TakerID, name string) (call.ID, error) {
	all, err := r.gateway.Calls(ctx)
	if err != nil {
		return "", err
	}
	var found call.ID
	var at time.Time
	for _, es := range all {
		if name != "" && !r.isCall(es, name) {
			continue
		}
		legs := map[call.Leg]bool{}
		for _, e := range es {
			switch ev := e.Event.(type) {
			case call.Offered:
				legs[ev.Leg] = ev.To.Taker == taker
			case call.Answered:
				if legs[ev.Leg] && !e.At.Before(at) {
					found, at = e.Of, e.At
				}
			case call.Arrived, call.Scored, call.Queued, call.Rang, call.RoleSet, call.Heard, call.Left, call.Restored,
				call.Ended, call.Classified, call.TakerChanged, call.Acted:
			}
		}
	}
	if found == "" {
		return "", fmt.Errorf("%s has answered no such call", taker)
	}
	return found, nil
}

func (r *runner) isCall(es []call.Entry, name string) bool {
	for _, c := range r.calls {
		if c.name == name && sipID(es) == c.sipID {
			return true
		}
	}
	return false
}

// sipID is the SIP Call-ID of a call's entries.
func sipID(es []call.Entry) string {
	for _, e := range es {
		if a, ok := e.Event.(call.Arrived); ok {
			return a.SIPCallID
		}
	}
	return ""
}
