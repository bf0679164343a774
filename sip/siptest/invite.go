package siptest

import (
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
)

// Invite is what a call begins with.
type Invite struct {
	Number   string      // who is called: 112
	From     call.Caller // Asserted: in P-Asserted-Identity and From; Claimed: in From only; None: withheld (RFC 3323)
	Own      bool        // the phone calls under its own name, not for a caller
	Voice    Voice       // Nobody: the phone's
	Priority string      // Priority header (RFC 3261, 20.26), where not empty
	Headers  []string    // more of them, as "Name: value"
	Password string      // answers a challenge; empty: the phone's
	NoOffer  bool        // the answer's offer is answered in the ACK (RFC 3261, 13.2.1) or the PRACK (RFC 3262, 5)
	Reliable string      // 100rel (RFC 3262) is "supported" or "required"; empty: neither
	NoPrack  bool        // reliable provisional responses are not acknowledged
	Timer    Timer       // of the session
	Old      bool        // the phone is of RFC 2543: no cookie in its branches, no tag in From
	Form     Form
}

// Invite calls a number at the gateway. It returns once the INVITE is sent.
func (p *Phone) Invite(i Invite) (*Call, error) {
	if i.Voice == Nobody {
		i.Voice = p.o.Voice
	}
	if i.Password == "" {
		i.Password = p.o.Password
	}
	s, err := newSound(p.o.Net, p.home.addr.Addr(), i.Voice)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", i.Number, err)
	}
	c := p.newCall(token(), p.home, s)
	c.Peer, c.Out, c.asked = i.Number, true, i
	c.session.asked = i.Timer
	err = p.ask(func() error {
		c.remote, c.local = p.gatewayURI(i.Number), p.from(i)
		p.calls[c.ID] = c
		return c.invite()
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("call %s: %w", i.Number, err)
	}
	return c, nil
}

const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, PRACK, UPDATE"

// from is the From of a caller, or the phone's own.
func (p *Phone) from(i Invite) sip.FromHeader {
	h := sip.FromHeader{Address: p.home.uri(i.From.Number)}
	h.Address.Port = 0
	switch {
	case i.Own:
		h.Address = p.gatewayURI(p.o.User)
	case i.From.Number == "" || i.From.Trust == call.None:
		h.DisplayName = "Anonymous"
		h.Address = sip.Uri{Scheme: "sip", User: "anonymous", Host: "anonymous.invalid"}
	}
	if !i.Old {
		h.Params.Add("tag", token())
	}
	return h
}

// invite sends the INVITE, or sends it again with credentials.
func (c *Call) invite() error {
	i := c.asked
	c.dialog, c.proceeds = dialog{target: c.remote}, false
	c.seq++
	req := c.request(sip.INVITE)
	if !i.Own && i.From.Trust == call.Asserted && i.From.Number != "" {
		uri := c.door.uri(i.From.Number)
		uri.Port = 0
		req.AppendHeader(sip.NewHeader("P-Asserted-Identity", "<"+uri.String()+">"))
	}
	if i.Priority != "" {
		req.AppendHeader(sip.NewHeader("Priority", i.Priority))
	}
	for _, h := range i.Headers {
		name, value, _ := strings.Cut(h, ":")
		req.RemoveHeader(name)
		req.AppendHeader(sip.NewHeader(name, strings.TrimSpace(value)))
	}
	req.AppendHeader(c.contact())
	req.AppendHeader(sip.NewHeader("Allow", allow))
	extend(req, "100rel", i.Reliable)
	i.Timer.write(req)
	if err := c.keys.authorize(req, c.phone.o.User, i.Password); err != nil {
		return err
	}
	if !i.NoOffer {
		describe(req, c.own.offer())
	}
	var tx *clientTx
	tx = c.phone.request(c.door, req, i.Form, c.phone.o.Gateway, func(res *sip.Response) { c.responded(tx, res) })
	c.made = tx
	return nil
}

// extend names an extension in a request, where it is "supported" or "required" (RFC 3261, 20.32 and 20.37).
func extend(req *sip.Request, extension, how string) {
	switch how {
	case "supported":
		req.AppendHeader(sip.NewHeader("Supported", extension))
	case "required":
		req.AppendHeader(sip.NewHeader("Require", extension))
	}
}

// responded is a response to our INVITE, or nil when there is none.
func (c *Call) responded(tx *clientTx, res *sip.Response) {
	switch {
	case res == nil:
		c.lost(string(sip.INVITE))
		c.code = sip.StatusRequestTimeout
		c.end()
		return
	case res.StatusCode >= 300:
		c.ackRefusal(tx, res)
	}
	if tx != c.made {
		return // an INVITE before the one with credentials
	}
	e := eventOf(c, res)
	again := c.lastSeen.Code == e.Code && c.lastSeen.Tag == e.Tag
	switch {
	case res.StatusCode < 200:
		if c.cancel != nil && !c.proceeds {
			c.sendCancel()
		}
		c.proceeds = true
		if res.StatusCode == sip.StatusTrying || !c.proceed(res, e) {
			return
		}
		again = again && !e.Reliable
	case res.StatusCode < 300:
		c.confirm(res)
	case challenges(res) && c.mayAuthenticate() && c.keys.challenged(res) && c.invite() == nil:
		return
	}
	if res.StatusCode >= 300 && c.state == trying {
		c.code = res.StatusCode
		defer c.end()
	}
	if !again {
		c.lastSeen = e
		c.phone.seen(e)
	}
}

// mayAuthenticate tells whether a challenge is worth an answer: once, and not of a call that is given up.
func (c *Call) mayAuthenticate() bool {
	return c.state == trying && c.cancel == nil && c.asked.Password != "" && c.keys.challenge == nil
}

// proceed takes a provisional response with all that is in it. It is false where that was taken before, or is out of
// order.
func (c *Call) proceed(res *sip.Response, e Event) bool {
	if c.state != trying {
		return !e.Reliable
	}
	if e.Tag != "" {
		c.dialog = c.dialogOf(res)
	}
	if e.Reliable {
		return c.acknowledge(res)
	}
	if !c.asked.NoOffer {
		c.accept(res.Body())
	}
	return true
}

// dialogOf is the dialog of a response to our INVITE (RFC 3261, 12.1.2).
func (c *Call) dialogOf(res *sip.Response) dialog {
	d := dialog{tag: res.To().Params.GetOr("tag", ""), target: c.made.req.Recipient}
	if contact := res.Contact(); contact != nil {
		d.target = contact.Address
	}
	rr := res.GetHeaders("Record-Route")
	for i := range rr { // in reverse order
		d.addRoute(rr[len(rr)-1-i])
	}
	return d
}

// confirm makes the dialog of a 2xx and acknowledges it (RFC 3261, 13.2.2.4). A 2xx with another tag than the first is
// acknowledged within its own.
func (c *Call) confirm(res *sip.Response) {
	first, was := c.state == trying, c.dialog
	c.dialog = c.dialogOf(res)
	if first {
		c.state, c.code = talking, res.StatusCode
		c.meet(res.Body())
		c.session.granted(c, res)
	}
	ack := c.request(sip.ACK)
	ack.CSeq().SeqNo = c.made.req.CSeq().SeqNo
	describe(ack, c.acked)
	c.door.write([]byte(ack.String()), c.next())
	if !first {
		c.dialog = was
		return
	}
	close(c.up)
}

// meet takes what the first 2xx describes: the answer to our offer, or the offer that our ACK answers.
func (c *Call) meet(body []byte) {
	switch {
	case c.settled || len(body) == 0:
	case c.asked.NoOffer:
		c.acked, _ = c.answerTo(body) // what can't be read is acknowledged without an answer
	default:
		c.accept(body)
	}
}

// ackRefusal acknowledges a final response that is no 2xx (RFC 3261, 17.1.1.3).
func (c *Call) ackRefusal(tx *clientTx, res *sip.Response) {
	ack := c.alike(tx, sip.ACK, res.To().Params.GetOr("tag", ""))
	tx.at.write([]byte(ack.String()), tx.to)
}

// sendCancel sends the CANCEL of our INVITE (RFC 3261, 9.1). Without a final response to the INVITE within 32 s the call
// is over all the same.
func (c *Call) sendCancel() {
	req := c.alike(c.made, sip.CANCEL, "")
	addReasons(req, c.cancel)
	c.phone.request(c.made.at, req, Plain, c.made.to, func(res *sip.Response) {
		if res == nil {
			c.lost(string(sip.CANCEL))
		}
	})
	c.later().add(lifetime, func() {
		if c.state == trying {
			c.responded(c.made, nil)
		}
	})
}

// alike is a request of the transaction of an INVITE of ours: its Via, Request-URI and CSeq number.
func (c *Call) alike(tx *clientTx, m sip.RequestMethod, tag string) *sip.Request {
	invite := tx.req
	req := c.phone.newRequest(tx.at, m, invite.Recipient, *invite.From(), invite.To().Address, c.ID, invite.CSeq().SeqNo)
	req.ReplaceHeader(invite.Via().Clone())
	if tag == "" {
		tag = invite.To().Params.GetOr("tag", "")
	}
	if tag != "" {
		req.To().Params.Add("tag", tag)
	}
	for _, h := range invite.GetHeaders("Route") {
		req.AppendHeader(h)
	}
	return req
}
