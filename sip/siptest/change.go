package siptest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Change is a re-INVITE (RFC 3261, 14) or an UPDATE (RFC 3311).
type Change struct {
	Update  bool
	NoOffer bool       // a re-INVITE's 200 makes the offer, its ACK answers; an UPDATE leaves the media alone
	Hold    string     // sendonly, inactive or sendrecv (RFC 3264, 8.4), zero: c=0.0.0.0 as in RFC 2543; empty: as before
	Port    bool       // the phone goes on at another RTP port
	Addr    netip.Addr // and address, where it is valid
	Event   uint8      // another payload type of telephone-event in the offer
	Contact bool       // the phone goes on at another SIP port: its Contact (RFC 3261, 12.2)
}

// change is a Change that is not answered yet.
type change struct {
	Change
	quiet bool        // it needs no thought, unless it is refused
	was   description // before it
	acked []byte      // the answer in its ACK
	done  bool
}

// Modify changes the call. ErrState where there is none, or a change that is not answered yet. What comes back is an
// Event.
func (c *Call) Modify(ch Change) error {
	return c.phone.ask(func() error { return c.modify(ch, false) })
}

// Hold puts the gateway on hold (RFC 3264, 8.4), Resume takes it back.
func (c *Call) Hold() error { return c.Modify(Change{Hold: sendonly}) }

// Resume ends a Hold.
func (c *Call) Resume() error { return c.Modify(Change{Hold: sendrecv}) }

func (c *Call) modify(ch Change, quiet bool) error {
	method := sip.INVITE
	if ch.Update {
		method = sip.UPDATE
	}
	early := ch.Update && c.state == trying && c.tag != ""
	if c.state != talking && !early || c.change != nil {
		return fmt.Errorf("%s: %w", method, ErrState)
	}
	x := &change{Change: ch, quiet: quiet, was: c.own}
	if err := c.apply(ch); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	c.seq++
	req := c.request(method)
	req.AppendHeader(c.contact())
	req.AppendHeader(sip.NewHeader("Allow", allow))
	c.session.again().write(req)
	if !ch.NoOffer {
		describe(req, c.own.offer())
	}
	c.change = x
	var tx *clientTx
	tx = c.send(req, func(res *sip.Response) { c.answered(x, tx, res) })
	return nil
}

// apply makes the change ours; revert takes it back.
func (c *Call) apply(ch Change) error {
	if ch.Port || ch.Addr.IsValid() {
		addr := c.own.addr
		if ch.Addr.IsValid() {
			addr = ch.Addr
		}
		port, err := c.sound.move(addr)
		if err != nil {
			return err
		}
		c.own.addr, c.own.port = addr, port
	}
	if ch.Contact {
		d, err := c.phone.another()
		if err != nil {
			return err
		}
		c.door, c.moved = d, true
	}
	switch ch.Hold {
	case "":
	case "zero":
		c.own.direction, c.own.zero = sendrecv, true
	default:
		c.own.direction, c.own.zero = ch.Hold, false
	}
	if ch.Event != 0 {
		c.own.event = ch.Event
	}
	return nil
}

func (c *Call) revert(x *change) {
	version := c.own.version // goes up only
	c.own = x.was
	if c.own.version < version {
		c.own.version, c.own.last = version, ""
	}
	c.sound.settle(false)
}

// answered is a response to a change of ours, or nil when there is none.
func (c *Call) answered(x *change, tx *clientTx, res *sip.Response) {
	if res != nil && res.StatusCode < 200 {
		return
	}
	if res != nil && !x.done {
		if res.StatusCode < 300 {
			c.changeTo(x, res)
		} else {
			c.revert(x)
		}
	}
	if res != nil && tx.req.Method == sip.INVITE {
		c.ackChange(x, tx, res)
	}
	if x.done {
		return
	}
	x.done, c.change = true, nil
	switch {
	case res == nil:
		c.revert(x)
		c.lost(string(tx.req.Method))
	case x.quiet && res.StatusCode == sip.StatusRequestPending:
		c.session.next = c.later().add(c.patience(), c.refresh)
	case !x.quiet || res.StatusCode >= 300:
		c.phone.seen(eventOf(c, res))
	}
}

// patience is how long a change waits after a 491: the owner of the Call-ID 2.1 to 4 s, the other side up to 2 s
// (RFC 3261, 14.1). Stories want it the same in each run.
func (c *Call) patience() time.Duration {
	if c.Out {
		return 3 * time.Second
	}
	return time.Second
}

// changeTo takes over what a 2xx to our change says: the gateway's Contact, its description and the timer.
func (c *Call) changeTo(x *change, res *sip.Response) {
	if contact := res.Contact(); contact != nil {
		c.target = contact.Address // RFC 3261, 12.2.1.2
	}
	c.sound.settle(true)
	body := res.Body()
	switch {
	case len(body) == 0:
	case x.NoOffer:
		x.acked, _ = c.answerTo(body) // what can't be read is acknowledged without an answer
	default:
		c.accept(body)
	}
	if c.state == talking {
		c.session.granted(c, res)
	}
}

func (c *Call) ackChange(x *change, tx *clientTx, res *sip.Response) {
	if res.StatusCode >= 300 {
		c.ackRefusal(tx, res)
		return
	}
	ack := c.request(sip.ACK)
	ack.CSeq().SeqNo = tx.req.CSeq().SeqNo
	describe(ack, x.acked)
	c.door.write([]byte(ack.String()), c.next())
}

// changed is a re-INVITE of the gateway (RFC 3261, 14.2): agreed to, unless a change of ours or the call's first INVITE
// is under way.
func (c *Call) changed(tx *serverTx) {
	e := eventOf(c, tx.req)
	e.Inside = true
	if open := c.taken; open != nil && open.final == 0 {
		c.phone.seen(e)
		c.phone.respond(tx, sip.StatusInternalServerError, retrySoon)
		return
	}
	c.stopFinal()
	c.taken = tx
	c.phone.respond(tx, sip.StatusTrying, nil)
	c.phone.seen(e)
	if c.change != nil || c.state == trying {
		c.phone.respond(tx, sip.StatusRequestPending, nil)
		return
	}
	c.agreeTo(tx, true)
}

// updated is an UPDATE of the gateway (RFC 3311, 5.2).
func (c *Call) updated(tx *serverTx) {
	c.phone.seen(eventOf(c, tx.req))
	offers := len(tx.req.Body()) > 0
	switch {
	case offers && c.change != nil:
		c.phone.respond(tx, sip.StatusRequestPending, nil)
	case offers && c.state == trying && !c.settled:
		c.phone.respond(tx, sip.StatusInternalServerError, retrySoon)
	default:
		c.agreeTo(tx, offers)
	}
}

func retrySoon(res *sip.Response) { res.AppendHeader(sip.NewHeader("Retry-After", "1")) }

// agreeTo says 200 to a change of the gateway, or 488.
func (c *Call) agreeTo(tx *serverTx, described bool) {
	var body []byte
	if described {
		var err error
		if body, err = c.answerTo(tx.req.Body()); err != nil {
			c.phone.respond(tx, sip.StatusNotAcceptableHere, nil)
			return
		}
	}
	if contact := tx.req.Contact(); contact != nil {
		c.target = contact.Address // RFC 3261, 12.2.2
	}
	c.phone.respond(tx, sip.StatusOK, func(res *sip.Response) {
		res.AppendHeader(c.contact())
		c.session.regrant(c, tx.req, res)
		describe(res, body)
	})
}
