package siptest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/media"
)

// What a phone's verbs may fail with, beside the errors of its sockets.
var (
	// ErrClosed is given by every verb of a phone that is closed.
	ErrClosed = errors.New("the phone is closed")
	// ErrNoAnswer is a request that nobody answered within 32 s (RFC 3261, 17.1: timers B and F).
	ErrNoAnswer = errors.New("no answer")
	// ErrState is a verb that does not fit the call: there is no INVITE to answer or to cancel, nothing to hang up.
	ErrState = errors.New("not possible in this state of the call")
)

// Refused is a final response that refuses a request.
type Refused struct {
	Method string
	Code   int
}

// Error names the method and the status.
func (r *Refused) Error() string { return fmt.Sprintf("%s refused: %d", r.Method, r.Code) }

// Options are what a phone is made of.
type Options struct {
	Net      media.Net      // zero: the system's
	Local    netip.AddrPort // where it listens; port 0: any
	Gateway  netip.AddrPort // where it registers and calls
	User     string         // the name in its addresses, and for the digest
	Password string         // empty: it can't register
	Expires  time.Duration  // of a registration, asked for; zero: 300 s
	Voice    Voice          // what it sounds like; Nobody: it never speaks
	// Seen is told what the phone sees and what needs thought, in order. It is called from the phone's goroutine: it must
	// not block and must not call the phone's verbs.
	Seen func(Event)
	// Reply makes the phone answer calls by itself; it is asked once for each new call, from the phone's goroutine. Nil:
	// the script answers.
	Reply func(*Call) Reply
}

// Reply is what a phone that answers by itself does with a call.
type Reply struct {
	Ring   time.Duration // from INVITE to 180; negative: it gives no sign of ringing
	Answer time.Duration // from there to the final response
	Code   int           // the final response; zero: 200
}

// Timers of RFC 3261, table 4.
const (
	t1       = 500 * time.Millisecond
	t2       = 4 * time.Second
	lifetime = 64 * t1 // of a transaction that nobody answers, and of the memory of one that is over
)

// Phone is a SIP user agent (RFC 3261) over UDP: a call taker's softphone, or a trunk with all its callers. It answers
// by itself what needs no thought: 100 to an INVITE, ACK to a final response, PRACK to a reliable provisional one, the
// credentials for a challenge, 200 to BYE, PRACK, OPTIONS, NOTIFY and CANCEL and to what changes or refreshes a call
// (re-INVITE, UPDATE), and every retransmission; it repeats its own requests until they are answered. All else is an
// Event, and waits for a verb. Its verbs may be called from any goroutine.
type Phone struct {
	o    Options
	home *door

	in   chan arrival
	do   chan func()
	done chan struct{}
	once sync.Once
	wg   sync.WaitGroup

	// Owned by the loop.
	later agenda
	sent  map[string]*clientTx // by branch and method
	got   map[string]*serverTx // the same
	calls map[string]*Call     // by Call-ID
	reg   registration
	more  []*door // beside home
}

// Open opens the phone's socket and starts it. It is closed with Close.
func Open(o Options) (*Phone, error) {
	if o.Net.ListenPacket == nil {
		o.Net = media.System()
	}
	if o.Expires == 0 {
		o.Expires = 300 * time.Second
	}
	if o.Seen == nil {
		o.Seen = func(Event) {}
	}
	p := &Phone{
		o: o, in: make(chan arrival, 64), do: make(chan func()), done: make(chan struct{}),
		sent: map[string]*clientTx{}, got: map[string]*serverTx{}, calls: map[string]*Call{},
		reg: newRegistration(),
	}
	home, err := p.newDoor(o.Local)
	if err != nil {
		return nil, fmt.Errorf("phone %s: %w", o.User, err)
	}
	p.home = home
	p.reg.contacts = []*door{home}
	p.wg.Go(p.loop)
	return p, nil
}

// Addr is where the phone listens.
func (p *Phone) Addr() netip.AddrPort { return p.home.addr }

// Close is what pulling the plug does: the sockets vanish and nobody is told. It waits for the phone's goroutines.
func (p *Phone) Close() {
	p.once.Do(func() {
		close(p.done)
		_ = p.home.conn.Close()
	})
	p.wg.Wait()
}

// Idle returns once the phone has no call any more.
func (p *Phone) Idle(ctx context.Context) error {
	for {
		var open *Call
		err := p.ask(func() error {
			for _, c := range p.calls {
				if c.alive() {
					open = c
				}
			}
			return nil
		})
		if err != nil || open == nil {
			return err
		}
		select {
		case <-open.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *Phone) loop() {
	defer p.shut()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.later.wait())
		select {
		case <-p.done:
			return
		case m := <-p.in:
			p.receive(m)
		case f := <-p.do:
			f()
		case <-timer.C:
			p.later.run()
		}
	}
}

// shut ends what was open when the phone was closed.
func (p *Phone) shut() {
	for _, c := range p.calls {
		c.end()
	}
	for _, d := range p.more {
		_ = d.conn.Close()
	}
}

func (p *Phone) receive(m arrival) {
	switch msg := m.msg.(type) {
	case *sip.Request:
		msg.SetSource(m.from.String())
		p.receiveRequest(msg, m)
	case *sip.Response:
		p.receiveResponse(msg)
	}
}

// ask runs f in the loop and returns its error.
func (p *Phone) ask(f func() error) error {
	result := make(chan error, 1)
	select {
	case p.do <- func() { result <- f() }:
	case <-p.done:
		return ErrClosed
	}
	select {
	case err := <-result:
		return err
	case <-p.done:
		return ErrClosed
	}
}

// seen reports an event of now.
func (p *Phone) seen(e Event) {
	e.At = time.Now()
	p.o.Seen(e)
}

// Options asks the gateway for a sign of life (RFC 3261, 11) and returns the status.
func (p *Phone) Options(ctx context.Context) (int, error) {
	type result struct {
		code int
		err  error
	}
	answer := make(chan result, 1)
	err := p.ask(func() error {
		req := p.newRequest(p.home, sip.OPTIONS, p.gatewayURI(""), p.ownAddress(token()), p.gatewayURI(""), token(), 1)
		p.request(p.home, req, Plain, p.o.Gateway, func(res *sip.Response) {
			switch {
			case res == nil:
				answer <- result{0, ErrNoAnswer}
			case res.StatusCode >= 200:
				answer <- result{res.StatusCode, nil}
			}
		})
		return nil
	})
	if err != nil {
		return 0, err
	}
	select {
	case r := <-answer:
		return r.code, r.err
	case <-p.done:
		return 0, ErrClosed
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (p *Phone) gatewayURI(user string) sip.Uri {
	return sip.Uri{Scheme: "sip", User: user, Host: p.o.Gateway.Addr().String(), Port: int(p.o.Gateway.Port())}
}

// ownAddress is the From of the phone's own requests outside calls.
func (p *Phone) ownAddress(tag string) sip.FromHeader {
	h := sip.FromHeader{Address: p.gatewayURI(p.o.User)}
	h.Params.Add("tag", tag)
	return h
}

// newRequest makes a request with all the headers that each one has (RFC 3261, 8.1.1).
func (p *Phone) newRequest(
	at *door, m sip.RequestMethod, target sip.Uri, from sip.FromHeader, to sip.Uri, callID string, seq uint32,
) *sip.Request {
	req := sip.NewRequest(m, target)
	via := &sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP",
		Host: at.addr.Addr().String(), Port: int(at.addr.Port()), Params: sip.NewParams(),
	}
	via.Params.Add("branch", sip.RFC3261BranchMagicCookie+token())
	via.Params.Add("rport", "")
	hops := sip.MaxForwardsHeader(70)
	id := sip.CallIDHeader(callID)
	req.AppendHeader(via)
	req.AppendHeader(&hops)
	req.AppendHeader(&from)
	req.AppendHeader(&sip.ToHeader{Address: to, Params: sip.NewParams()})
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: m})
	return req
}

// token is a word that nobody else makes: a tag, a branch, a Call-ID.
func token() string { return strings.ToLower(rand.Text()[:16]) }

// branch is the transaction of a message (RFC 3261, 17.1.3 and 17.2.3); an ACK and a CANCEL have that of their INVITE.
func branch(m sip.Message, method sip.RequestMethod) string {
	b, _ := m.Via().Params.Get("branch")
	return b + " " + string(method)
}
