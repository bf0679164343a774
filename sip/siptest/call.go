package siptest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
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
	door   *door
	moved  bool // to a door other than that of its first message
	state  callState
	code   int // the final response to the first INVITE
	local  sip.FromHeader
	remote sip.Uri
	dialog
	seq      uint32
	own      description
	asked    Invite // what the phone's INVITE asks for; zero of a call that is taken
	keys     credentials
	made     *clientTx // our INVITE
	acked    []byte    // the answer in the ACK of our INVITE, which had no offer
	settled  bool      // offer and answer of the first INVITE have met in a reliable provisional response already
	taken    *serverTx // the gateway's last INVITE
	wants    bool      // our answer had no offer to answer: the ACK brings the answer to ours
	proceeds bool      // the gateway has given a provisional response
	cancel   []string  // Reason headers of the CANCEL to be sent as soon as it proceeds (RFC 3261, 9.1); nil: none
	heard    reliability
	told     reliability
	change   *change
	session  session
	refers   bool                      // a REFER of ours is not over yet
	prepared map[sip.RequestMethod]int // answers to the next request of that method
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

func (p *Phone) newCall(id string, at *door, s *sound) *Call {
	n := uint64(time.Now().Unix())
	return &Call{
		ID: id, phone: p, sound: s, door: at, prepared: map[sip.RequestMethod]int{},
		own: description{
			addr: at.addr.Addr(), port: s.port(), direction: sendrecv, event: usualEvent, session: n, version: n - 1,
		},
		up: make(chan struct{}), done: make(chan struct{}),
	}
}

// usualEvent is the payload type of telephone-event in a phone's offers, unless it is told otherwise.
const usualEvent = 101

// incoming makes the call of a first INVITE.
func (p *Phone) incoming(tx *serverTx) (*Call, error) {
	s, err := newSound(p.o.Net, p.home.addr.Addr(), p.o.Voice)
	if err != nil {
		return nil, err
	}
	req := tx.req
	c := p.newCall(req.CallID().Value(), tx.at, s)
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

func (d *dialog) addRoute(h sip.Header) {
	if rr, ok := h.(*sip.RecordRouteHeader); ok {
		d.routes = append(d.routes, rr.Address)
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
func (c *Call) Answer(code int) error { return c.Respond(Response{Code: code}) }

// Respond is Answer with more in it.
func (c *Call) Respond(r Response) error { return c.phone.ask(func() error { return c.respond(r) }) }

// Prepare has the next request of that method within the call answered with that code, instead of what the phone would
// say: 491 to an INVITE (RFC 3261, 14.2), 481 to an OPTIONS.
func (c *Call) Prepare(method string, code int) {
	_ = c.phone.ask(func() error { c.prepared[sip.RequestMethod(method)] = code; return nil })
}

// Cancel gives up a call that is not answered yet (RFC 3261, 9.1), with these Reason headers (RFC 3326). ErrState where
// there is nothing to cancel.
func (c *Call) Cancel(reasons ...string) error {
	return c.phone.ask(func() error {
		if c.made == nil || c.made.settled || c.cancel != nil {
			return fmt.Errorf("CANCEL: %w", ErrState)
		}
		c.cancel = append([]string{}, reasons...)
		if c.proceeds {
			c.sendCancel()
		}
		return nil
	})
}

// Bye hangs up a call that was answered, with these Reason headers (RFC 3326). ErrState where there is nothing to hang
// up. Done follows its answer.
func (c *Call) Bye(reasons ...string) error {
	return c.phone.ask(func() error { return c.bye(reasons) })
}

func (c *Call) bye(reasons []string) error {
	if c.state != talking {
		return fmt.Errorf("BYE: %w", ErrState)
	}
	c.state = leaving
	c.stopFinal()
	c.later().drop(c.session.next)
	c.seq++
	req := c.request(sip.BYE)
	addReasons(req, reasons)
	c.send(req, func(res *sip.Response) {
		switch {
		case res == nil:
			c.lost(string(sip.BYE))
			c.end()
		case res.StatusCode >= 200:
			c.end()
		}
	})
	return nil
}

func addReasons(m sip.Message, reasons []string) {
	for _, r := range reasons {
		m.AppendHeader(sip.NewHeader("Reason", r))
	}
}

// request makes a request within the call.
func (c *Call) request(m sip.RequestMethod) *sip.Request {
	req := c.phone.newRequest(c.door, m, c.target, c.local, c.remote, c.ID, c.seq)
	if c.tag != "" {
		req.To().Params.Add("tag", c.tag)
	}
	for _, r := range c.routes {
		req.AppendHeader(&sip.RouteHeader{Address: r})
	}
	if c.asked.Old {
		req.Via().Params.Remove("rport")
		req.Via().Params.Add("branch", token()) // without the cookie (RFC 3261, 8.1.1.7)
	}
	return req
}

// send sends a request within the call.
func (c *Call) send(req *sip.Request, on func(*sip.Response)) *clientTx {
	return c.phone.request(c.door, req, Plain, c.next(), on)
}

func (c *Call) later() *agenda { return &c.phone.later }

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

// contact is where the phone is reached for this call (RFC 3261, 8.1.1.8).
func (c *Call) contact() *sip.ContactHeader {
	return &sip.ContactHeader{Address: c.door.uri(c.phone.o.User)}
}

// describe makes a description the body of a message; nil: it has none.
func describe(m sip.Message, body []byte) {
	if body == nil {
		return
	}
	kind := sip.ContentTypeHeader("application/sdp")
	m.AppendHeader(&kind)
	m.SetBody(body)
}

// accept takes over the gateway's answer to our offer; what can't be read is left.
func (c *Call) accept(body []byte) {
	if m, _, _, err := readMedia(body); err == nil {
		c.agree(m)
	}
}

// agree sends from now on what the gateway wants.
func (c *Call) agree(m Media) {
	d := meet(c.own.direction, m.Direction)
	c.sound.set(m.Remote, m.Payload, m.Event, !c.own.zero && (d == sendrecv || d == sendonly))
}

// answerTo answers an offer of the gateway, or makes one where there is none (RFC 3261, 13.2.1).
func (c *Call) answerTo(offer []byte) ([]byte, error) {
	if len(offer) == 0 {
		c.wants = true
		return c.own.offer(), nil
	}
	answer, m, err := c.own.answer(offer)
	if err != nil {
		return nil, err
	}
	c.agree(m)
	return answer, nil
}

// end is the end of the call; it may be said again. The call stays known for a while, for what is repeated.
func (c *Call) end() {
	if c.state == over {
		return
	}
	c.state = over
	c.later().drop(c.session.next)
	c.later().drop(c.told.again)
	close(c.done)
	c.sound.close()
	c.phone.later.add(2*lifetime, func() { delete(c.phone.calls, c.ID) })
}

func (c *Call) alive() bool { return c.state != over }
