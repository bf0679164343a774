package siptest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siaga112/siaga112/call"
)

// person is a caller or a call taker of a story, with a phone.
type person struct {
	r     *runner
	who   string
	taker *Taker // nil: a caller
	addr  netip.Addr
	voice Voice
	phone *Phone

	// Owned by the runner.
	calls   []*Call // all that were made or taken
	current *Call   // the last one
	named   map[string]*Call
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
		Net: p.r.net.Net(), Local: netip.AddrPortFrom(p.addr, phonePort), Gateway: storyGateway,
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
	p.r.seen(e.At, p.who, e.String())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, e)
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
	if err := c.differs(e); err != nil {
		return err
	}
	if name := c.options["call"]; name != "" && (e.Call == nil || p.named[name] != e.Call) {
		return fmt.Errorf("call=%s: it belongs to another call", name)
	}
	p.pending = p.pending[1:]
	if e.Call != nil && (p.current == nil || e.Method == verbInvite && e.Code == 0 && !e.Inside) {
		p.enter(e.Call)
	}
	if name := c.options["id"]; name != "" {
		if e.Call == nil {
			return fmt.Errorf("id=%s: it belongs to no call", name)
		}
		p.name(name, e.Call)
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

// heard looks for a voice, several at once, the prompt or nothing since a time.
func (p *person) heard(c clause, since time.Duration) error {
	in, err := p.call(c)
	if err != nil {
		return err
	}
	all := in.Heard()
	if c.arg == "nothing" {
		return p.silent(all)
	}
	want := p.r.voiceOf(c.arg)
	found := false
	for i, h := range all {
		if h.Voice == want && h.Last.Sub(p.r.t0) >= since {
			p.write(in, i)
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

// voiceOf is what a story hears as NAME+NAME, or prompt.
func (r *runner) voiceOf(what string) Voice {
	if what == "prompt" {
		return Prompt
	}
	var all []Voice
	for name := range strings.SplitSeq(what, "+") {
		all = append(all, r.people[name].voice)
	}
	return Mix(all...)
}

func (r *runner) voiceName(v Voice) string {
	if v == Prompt {
		return "prompt"
	}
	var names []string
	var all []Voice
	for _, p := range r.order {
		if p.voice == v || p.voice.In(v) {
			names, all = append(names, p.who), append(all, p.voice)
		}
	}
	if len(all) == 0 || Mix(all...) != v {
		return "an unknown voice"
	}
	return strings.Join(names, "+")
}

// unwritten finds what happened before a time and was not written: it can't be any more.
func (p *person) unwritten(before time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.pending {
		if at := e.At.Sub(p.r.t0); at < before {
			return fmt.Errorf("%s saw %s at %s, which is not written", p.who, e, short(at))
		}
		if e.Call != nil && !slices.Contains(p.calls, e.Call) {
			p.calls = append(p.calls, e.Call)
		}
	}
	for _, c := range p.calls {
		for i, h := range c.Heard() {
			at := h.First.Sub(p.r.t0)
			if h.Voice > 0 && at < before && !p.written[voiceAt{c, i}] {
				return fmt.Errorf("%s hears %s at %s, which is not written", p.who, p.r.voiceName(h.Voice), short(at))
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
