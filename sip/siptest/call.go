package siptest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/sdp"
)

// Call is one call of a phone: a dialog, made or taken, with its sound.
type Call struct {
	ID   string // the SIP Call-ID
	Peer string // the number that is called; of a call that is taken, the caller as the gateway shows it
	Out  bool   // the phone made it

	phone *Phone
	sound *sound
	up    chan struct{}
	done  chan struct{}

	// Owned by the phone's loop.
	state  callState
	code   int // the final response to the first INVITE
	local  sip.FromHeader
	remote sip.Uri
	dialog
	seq      uint32
	session  uint64
	made     *clientTx // our INVITE
	taken    *serverTx // the gateway's last INVITE
	wants    bool      // our answer had no offer to answer: the ACK brings the answer to ours
	proceeds bool      // the gateway has given a provisional response
	cancel   bool      // to be canceled as soon as it proceeds (RFC 3261, 9.1)
	lastSeen Event
}

// dialog is the gateway's side of a dialog (RFC 3261, 12).
type dialog struct {
	tag    string // the gateway's
	target sip.Uri
	routes []sip.Uri
}

type callState uint8

const (
	trying callState = iota // an INVITE without a final response
	talking
	leaving // our BYE is on its way
	over
)

// Invite is what a call begins with.
type Invite struct {
	Number   string      // who is called: 112
	From     call.Caller // Asserted: in P-Asserted-Identity and From; Claimed: in From only; None: withheld (RFC 3323)
	Voice    Voice       // Nobody: the phone's
	Priority string      // Priority header (RFC 3261, 20.26), where not empty
}

// Invite calls a number at the gateway. It returns once the INVITE is sent.
func (p *Phone) Invite(i Invite) (*Call, error) {
	if i.Voice == Nobody {
		i.Voice = p.o.Voice
	}
	s, err := newSound(p.o.Net, p.addr.Addr(), i.Voice)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", i.Number, err)
	}
	c := p.newCall(token(), s)
	c.Peer, c.Out = i.Number, true
	err = p.ask(func() error {
		c.remote = p.gatewayURI(i.Number)
		c.target, c.local, c.seq = c.remote, p.from(i.From), 1
		req := c.request(sip.INVITE)
		if i.From.Trust == call.Asserted && i.From.Number != "" {
			uri := p.contact(i.From.Number)
			uri.Port = 0
			req.AppendHeader(sip.NewHeader("P-Asserted-Identity", "<"+uri.String()+">"))
		}
		if i.Priority != "" {
			req.AppendHeader(sip.NewHeader("Priority", i.Priority))
		}
		req.AppendHeader(&sip.ContactHeader{Address: p.contact("")})
		req.AppendHeader(sip.NewHeader("Allow", allow))
		c.describe(req, sdp.Offer(c.media()))
		p.calls[c.ID] = c
		c.made = p.request(req, p.o.Gateway, c.responded)
		return nil
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("call %s: %w", i.Number, err)
	}
	return c, nil
}

const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY"

// from is the From of a caller.
func (p *Phone) from(c call.Caller) sip.FromHeader {
	h := sip.FromHeader{Address: p.contact(c.Number)}
	h.Address.Port = 0
	if c.Number == "" || c.Trust == call.None {
		h.DisplayName = "Anonymous"
		h.Address = sip.Uri{Scheme: "sip", User: "anonymous", Host: "anonymous.invalid"}
	}
	h.Params.Add("tag", token())
	return h
}

func (p *Phone) newCall(id string, s *sound) *Call {
	return &Call{
		ID: id, phone: p, sound: s, session: uint64(time.Now().Unix()),
		up: make(chan struct{}), done: make(chan struct{}),
	}
}

// incoming makes the call of a first INVITE.
func (p *Phone) incoming(tx *serverTx) (*Call, error) {
	s, err := newSound(p.o.Net, p.addr.Addr(), p.o.Voice)
	if err != nil {
		return nil, err
	}
	req := tx.req
	c := p.newCall(req.CallID().Value(), s)
	c.Peer = req.From().Address.User
	c.local = sip.FromHeader{Address: req.To().Address}
	c.local.Params.Add("tag", tx.tag)
	c.remote, c.tag = req.From().Address, fromTag(req)
	for _, h := range req.GetHeaders("Record-Route") {
		c.addRoute(h)
	}
	p.calls[c.ID] = c
	return c, nil
}

func (c *Call) addRoute(h sip.Header) {
	if rr, ok := h.(*sip.RecordRouteHeader); ok {
		c.routes = append(c.routes, rr.Address)
	}
}

// Up is closed when the call is answered: a 200 and its ACK.
func (c *Call) Up() <-chan struct{} { return c.up }

// Done is closed when the call is over.
func (c *Call) Done() <-chan struct{} { return c.done }

// Code is the final response to the call's first INVITE; 0 before it. It is good once Up or Done is closed.
func (c *Call) Code() int {
	code := 0
	_ = c.phone.ask(func() error { code = c.code; return nil })
	return code
}

// Say speaks with the phone's voice for d from now. It returns at once.
func (c *Call) Say(d time.Duration) { c.sound.say(d) }

// Press presses a key for 100 ms, as telephone-event (RFC 4733): 0 to 9, *, #, A to D. ErrState where the gateway takes
// none. It returns at once.
func (c *Call) Press(key byte) error {
	if strings.IndexByte(keys, key) < 0 {
		return fmt.Errorf("%q is no key", key)
	}
	return c.sound.press(key)
}

// Heard is all that was heard so far, in order.
func (c *Call) Heard() []Heard { return c.sound.all() }

// Packets counts RTP packets, sent and received.
func (c *Call) Packets() (sent, received uint64) { return c.sound.counts() }

// AwaitVoice waits until a human is heard, and tells who.
func (c *Call) AwaitVoice(ctx context.Context) (Voice, error) {
	return c.sound.await(ctx, func(v Voice) bool { return v > 0 })
}

// Answer responds to the gateway's open INVITE: 180, 183, 200, 486 … ErrState where there is none.
func (c *Call) Answer(code int) error { return c.phone.ask(func() error { return c.answer(code) }) }

// Cancel gives up a call that is not answered yet (RFC 3261, 9.1). ErrState where there is nothing to cancel.
func (c *Call) Cancel() error {
	return c.phone.ask(func() error {
		if c.made == nil || c.made.settled || c.cancel {
			return fmt.Errorf("CANCEL: %w", ErrState)
		}
		c.cancel = true
		if c.proceeds {
			c.sendCancel()
		}
		return nil
	})
}

// Bye hangs up a call that was answered. ErrState where there is nothing to hang up. Done follows its answer.
func (c *Call) Bye() error {
	return c.phone.ask(func() error {
		if c.state != talking {
			return fmt.Errorf("BYE: %w", ErrState)
		}
		c.state = leaving
		c.stopFinal()
		c.seq++
		c.phone.request(c.request(sip.BYE), c.next(), func(res *sip.Response) {
			switch {
			case res == nil:
				c.phone.seen(Event{Call: c, Method: string(sip.BYE), Lost: true})
				c.end()
			case res.StatusCode >= 200:
				c.end()
			}
		})
		return nil
	})
}

// request makes a request within the call.
func (c *Call) request(m sip.RequestMethod) *sip.Request {
	req := c.phone.newRequest(m, c.target, c.local, c.remote, c.ID, c.seq)
	if c.tag != "" {
		req.To().Params.Add("tag", c.tag)
	}
	for _, r := range c.routes {
		req.AppendHeader(&sip.RouteHeader{Address: r})
	}
	return req
}

// next is where requests within the call go: the first route, else the target, else the gateway.
func (c *Call) next() netip.AddrPort {
	uri := c.target
	if len(c.routes) > 0 {
		uri = c.routes[0]
	}
	ip, err := netip.ParseAddr(strings.Trim(uri.Host, "[]"))
	if err != nil {
		return c.phone.o.Gateway
	}
	port := uri.Port
	if port == 0 {
		port = sip.DefaultPort("UDP")
	}
	return netip.AddrPortFrom(ip, uint16(port))
}

func (c *Call) media() sdp.Local {
	return sdp.Local{Addr: c.phone.addr.Addr(), Port: c.sound.port(), Session: c.session, Version: c.session}
}

func (c *Call) describe(m sip.Message, body []byte) {
	kind := sip.ContentTypeHeader("application/sdp")
	m.AppendHeader(&kind)
	m.SetBody(body)
}

// responded is a response to our INVITE, or nil when there is none.
func (c *Call) responded(res *sip.Response) {
	if res == nil {
		c.phone.seen(Event{Call: c, Method: string(sip.INVITE), Lost: true})
		c.code = sip.StatusRequestTimeout
		c.end()
		return
	}
	tag := res.To().Params.GetOr("tag", "")
	e := Event{Call: c, Method: string(sip.INVITE), Code: res.StatusCode, Tag: tag}
	again := c.lastSeen.Code == e.Code && c.lastSeen.Tag == e.Tag
	switch {
	case res.StatusCode < 200:
		if c.cancel && !c.proceeds {
			c.sendCancel()
		}
		c.proceeds = true
		if res.StatusCode == sip.StatusTrying {
			return
		}
		c.accept(res.Body())
	case res.StatusCode < 300:
		c.confirm(res, tag)
	default:
		c.phone.write([]byte(c.ackRefusal(res).String()), c.made.to)
		if c.state == trying {
			c.code = res.StatusCode
			defer c.end()
		}
	}
	if !again {
		c.lastSeen = e
		c.phone.seen(e)
	}
}

// confirm makes the dialog of a 2xx and acknowledges it (RFC 3261, 13.2.2.4). A 2xx with another tag than the first is
// acknowledged within its own.
func (c *Call) confirm(res *sip.Response, tag string) {
	first, was := c.state == trying, c.dialog
	c.dialog = dialog{tag: tag, target: c.made.req.Recipient}
	if contact := res.Contact(); contact != nil {
		c.target = contact.Address
	}
	rr := res.GetHeaders("Record-Route")
	for i := range rr { // in reverse order (RFC 3261, 12.1.2)
		c.addRoute(rr[len(rr)-1-i])
	}
	ack := c.request(sip.ACK)
	ack.CSeq().SeqNo = c.made.req.CSeq().SeqNo
	c.phone.write([]byte(ack.String()), c.next())
	if !first {
		c.dialog = was
		return
	}
	c.state, c.code = talking, res.StatusCode
	c.accept(res.Body())
	close(c.up)
}

// accept takes over the gateway's answer to our offer; what can't be read is left.
func (c *Call) accept(body []byte) {
	if len(body) == 0 {
		return
	}
	if m, err := sdp.Accept(body); err == nil {
		c.sound.set(m.Remote, m.PayloadType, m.Event)
	}
}

// ackRefusal is the ACK of a final response that is no 2xx (RFC 3261, 17.1.1.3).
func (c *Call) ackRefusal(res *sip.Response) *sip.Request {
	return c.alike(sip.ACK, res.To().Params.GetOr("tag", ""))
}

// sendCancel sends the CANCEL of our INVITE (RFC 3261, 9.1). Without a final response to the INVITE within 32 s the call
// is over all the same.
func (c *Call) sendCancel() {
	c.phone.request(c.alike(sip.CANCEL, ""), c.made.to, func(res *sip.Response) {
		if res == nil {
			c.phone.seen(Event{Call: c, Method: string(sip.CANCEL), Lost: true})
		}
	})
	c.phone.later.add(lifetime, func() {
		if c.state == trying {
			c.responded(nil)
		}
	})
}

// alike is a request of the transaction of our INVITE: its Via, Request-URI and CSeq number.
func (c *Call) alike(m sip.RequestMethod, tag string) *sip.Request {
	invite := c.made.req
	req := c.phone.newRequest(m, invite.Recipient, *invite.From(), invite.To().Address, c.ID, invite.CSeq().SeqNo)
	req.ReplaceHeader(invite.Via().Clone())
	if tag != "" {
		req.To().Params.Add("tag", tag)
	}
	return req
}

// end is the end of the call; it may be said again. The call stays known for a while, for what is repeated.
func (c *Call) end() {
	if c.state == over {
		return
	}
	c.state = over
	close(c.done)
	c.sound.close()
	c.phone.later.add(2*lifetime, func() { delete(c.phone.calls, c.ID) })
}

func (c *Call) alive() bool { return c.state != over }
