package siptest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/siaga112/siaga112/call"
)

// person is a caller or a call taker of a story, with a phone.
type person struct {
	r     *runner
	name  string
	taker *Taker // nil: a caller
	addr  netip.Addr
	voice Voice
	phone *Phone

	// Owned by the runner.
	calls   []*Call // all that were made or taken
	current *Call   // the last one
	written map[voiceAt]bool

	mu      sync.Mutex
	pending []Event // seen, and not yet written of
}

// voiceAt is the nth voice heard in a call.
type voiceAt struct {
	call *Call
	n    int
}

// phonePort is where every phone of a story listens.
const phonePort = 5060

// open switches the phone on.
func (p *person) open() error {
	if p.phone != nil {
		return nil
	}
	o := Options{
		Net: p.r.net.Host(p.addr).Net(), Local: netip.AddrPortFrom(p.addr, phonePort), Gateway: storyGateway,
		Voice: p.voice, Seen: p.see,
	}
	if p.taker != nil {
		o.User, o.Password = string(p.taker.ID), p.taker.Password
	}
	phone, err := Open(o)
	if err != nil {
		return err
	}
	p.phone = phone
	return nil
}

// see is called from the phone's goroutine.
func (p *person) see(e Event) {
	p.r.seen(e.At, p.name, e.String())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, e)
}

// comeUp switches the phone on and registers it.
func (p *person) comeUp(ctx context.Context) error {
	if err := p.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lifetime)
	defer cancel()
	return p.phone.Register(ctx)
}

// do does what a clause says.
func (p *person) do(ctx context.Context, c clause) error {
	switch c.verb {
	case verbInvite:
		return p.invite(c)
	case verbRegisters:
		return p.comeUp(ctx)
	case verbSees:
		return p.sees(c)
	case verbPauses:
		return p.r.giveOrder(ctx, Order{By: p.taker.ID, Verb: "pause"})
	case verbReady:
		return p.r.giveOrder(ctx, Order{By: p.taker.ID, Verb: "ready"})
	case verbClassifies:
		of, err := p.r.lastCall(ctx, p.taker.ID, c.options["call"])
		if err != nil {
			return err
		}
		return p.r.giveOrder(ctx, Order{By: p.taker.ID, Verb: "classify", Of: of, Text: c.arg})
	}
	if p.phone == nil {
		return errors.New("the phone is off")
	}
	switch c.verb {
	case verbUnregisters:
		return p.phone.Unregister(ctx)
	case verbDies:
		p.die()
		return nil
	}
	if p.current == nil {
		return errors.New("there is no call yet")
	}
	switch c.verb {
	case verbSends:
		return p.current.Answer(c.code)
	case verbBye:
		return p.current.Bye()
	case verbCancel:
		return p.current.Cancel()
	case verbPresses:
		return p.current.Press(c.arg[0])
	case verbSays:
		p.current.Say(c.length)
	}
	return nil
}

// giveOrder gives one order to the gateway.
func (r *runner) giveOrder(ctx context.Context, o Order) error {
	if !r.running {
		return errors.New("the gateway does not run")
	}
	return r.gateway.Order(ctx, o)
}

func (p *person) invite(c clause) error {
	if err := p.open(); err != nil {
		return err
	}
	made, err := p.phone.Invite(Invite{Number: c.arg, From: c.caller(), Priority: c.options["priority"]})
	if err != nil {
		return err
	}
	p.enter(made)
	name := c.options["id"]
	if name == "" {
		name = p.r.callName(p.name)
	}
	p.r.calls = append(p.r.calls, placed{name, made.ID})
	return nil
}

// callName is the caller's name, with a number from the second call on.
func (r *runner) callName(who string) string {
	name := who
	for n := 2; slices.ContainsFunc(r.calls, func(c placed) bool { return c.name == name }); n++ {
		name = who + "-" + strconv.Itoa(n)
	}
	return name
}

func (p *person) enter(c *Call) {
	if c != nil && !slices.Contains(p.calls, c) {
		p.calls = append(p.calls, c)
	}
	p.current = c
}

// die pulls the phone's plug.
func (p *person) die() {
	p.phone.Close()
	p.r.net.Drop(p.addr)
	p.phone = nil
}

// sees takes the next thing that the phone saw; it must be what the clause says.
func (p *person) sees(c clause) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		if c.arg == "nothing" {
			return nil
		}
		return errors.New("not seen yet")
	}
	e := p.pending[0]
	at := e.At.Sub(p.r.t0)
	if e.String() != c.arg {
		return fmt.Errorf("saw %s at %s instead", e, short(at))
	}
	if at < p.r.before-Slack {
		return fmt.Errorf("seen too early, at %s", short(at))
	}
	if err := p.r.tag(c.options["tag"], e.Tag); err != nil {
		return err
	}
	if want := c.options["cause"]; want != "" && want != strconv.Itoa(e.Cause) {
		return fmt.Errorf("want cause=%s, got %d", want, e.Cause)
	}
	p.pending = p.pending[1:]
	if e.Call != nil && (p.current == nil || e.Method == string(verbInvite)) {
		p.enter(e.Call)
	}
	return nil
}

// tag binds a tag to its name, or compares it.
func (r *runner) tag(name, got string) error {
	if name == "" {
		return nil
	}
	want, ok := r.tags[name]
	if !ok {
		if got == "" {
			return fmt.Errorf("tag=%s: there is no tag in it", name)
		}
		r.tags[name] = got
		return nil
	}
	if got != want {
		return fmt.Errorf("tag=%s: want %s as before, got %s", name, want, got)
	}
	return nil
}

// heard looks for a voice, the prompt or nothing since a time.
func (p *person) heard(what string, since time.Duration) error {
	if p.current == nil {
		return errors.New("there is no call yet")
	}
	all := p.current.Heard()
	if what == "nothing" {
		return p.silent(all)
	}
	want := Prompt
	if who := p.r.people[what]; who != nil {
		want = who.voice
	}
	found := false
	for i, h := range all {
		if h.Voice == want && h.Last.Sub(p.r.t0) >= since {
			p.write(p.current, i)
			found = true
		}
	}
	if found {
		return nil
	}
	if len(all) == 0 {
		return errors.New("nothing was heard")
	}
	last := all[len(all)-1]
	return fmt.Errorf("heard %s last, until %s", p.r.voiceName(last.Voice), short(last.Last.Sub(p.r.t0)))
}

// silence is how long nothing may have come for it to be nothing.
const silence = 200 * time.Millisecond

func (p *person) silent(all []Heard) error {
	for _, h := range all {
		if time.Since(h.Last) < silence {
			return fmt.Errorf("heard %s", p.r.voiceName(h.Voice))
		}
	}
	return nil
}

func (p *person) write(c *Call, n int) {
	if p.written == nil {
		p.written = map[voiceAt]bool{}
	}
	p.written[voiceAt{c, n}] = true
}

func (r *runner) voiceName(v Voice) string {
	switch {
	case v == Prompt:
		return "prompt"
	case v > 0 && int(v) <= len(r.order):
		return r.order[v-1].name
	}
	return "an unknown voice"
}

// unwritten finds what happened before a time and was not written: it can't be any more.
func (p *person) unwritten(before time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.pending {
		if at := e.At.Sub(p.r.t0); at < before {
			return fmt.Errorf("%s saw %s at %s, which is not written", p.name, e, short(at))
		}
		if e.Call != nil && !slices.Contains(p.calls, e.Call) {
			p.calls = append(p.calls, e.Call)
		}
	}
	for _, c := range p.calls {
		for i, h := range c.Heard() {
			at := h.First.Sub(p.r.t0)
			if h.Voice > 0 && at < before && !p.written[voiceAt{c, i}] {
				return fmt.Errorf("%s hears %s at %s, which is not written", p.name, p.r.voiceName(h.Voice), short(at))
			}
		}
	}
	return nil
}

// outcome is what became of a call of the story.
func (r *runner) outcome(all [][]call.Entry, c placed) (golden, call.Record) {
	for _, es := range all {
		if sipID(es) == c.sipID {
			return golden{name: c.name, entries: compactAll(es)}, call.Fold(slices.Values(es))
		}
	}
	return golden{name: c.name}, call.Record{}
}
