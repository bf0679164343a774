package siptest

import (
	"fmt"

	"github.com/emiago/sipgo/sip"
)

// offered is an INVITE of the gateway that makes the call.
func (c *Call) offered(tx *serverTx) {
	c.taken = tx
	if contact := tx.req.Contact(); contact != nil {
		c.target = contact.Address
	}
	c.phone.seen(eventOf(c, tx.req))
	if c.phone.o.Reply != nil {
		c.reply(c.phone.o.Reply(c))
	}
}

// reply answers by itself, unless the call has been canceled or answered in the meantime.
func (c *Call) reply(r Reply) {
	if r.Code == 0 {
		r.Code = sip.StatusOK
	}
	if r.Ring >= 0 {
		c.later().add(r.Ring, func() { _ = c.respond(Response{Code: sip.StatusRinging}) })
	}
	c.later().add(max(0, r.Ring)+r.Answer, func() { _ = c.respond(Response{Code: r.Code}) })
}

// Response is a response to the gateway's open INVITE.
type Response struct {
	Code      int
	Reliable  bool   // of a provisional one: repeated until its PRACK (RFC 3262); ErrState where the INVITE takes none
	Described bool   // a provisional one has the phone's description too (RFC 3261, 13.3.1.1)
	Timer     Timer  // of a 2xx: what the phone grants; of a 422: Min is what it wants (RFC 4028, 9)
	Reason    string // Reason header (RFC 6432), where not empty
}

// respond responds to the open INVITE.
func (c *Call) respond(r Response) error {
	tx := c.taken
	provisional, good := r.Code < 200, r.Code >= 200 && r.Code < 300
	if tx == nil || tx.final != 0 || !c.alive() || r.Reliable && (c.told.again != nil || !takesReliable(tx.req)) {
		return fmt.Errorf("%d: %w", r.Code, ErrState)
	}
	body, err := c.describes(tx, good || provisional && r.Described, r.Reliable)
	if err != nil {
		return fmt.Errorf("%d: %w", r.Code, err)
	}
	if !provisional {
		c.later().drop(c.told.again)
	}
	c.phone.respond(tx, r.Code, func(res *sip.Response) {
		if r.Code < 300 {
			res.AppendHeader(c.contact())
		}
		if good {
			res.AppendHeader(sip.NewHeader("Allow", allow))
			c.session.grant(c, tx.req, res, r.Timer)
		} else if r.Timer.Min > 0 {
			r.Timer.writeMin(res)
		}
		if r.Reason != "" {
			res.AppendHeader(sip.NewHeader("Reason", r.Reason))
		}
		describe(res, body)
		if r.Reliable {
			c.tellReliably(tx, res, len(tx.req.Body()) == 0 && body != nil)
		}
	})
	if c.state == trying && !provisional {
		c.code, c.state = r.Code, talking
		if !good {
			c.end()
		}
	}
	return nil
}

// describes is the description in a response: the same in all of one INVITE, and none any more once a reliable one had
// it (RFC 3262, 5).
func (c *Call) describes(tx *serverTx, wanted, reliably bool) ([]byte, error) {
	if !wanted || c.settled {
		return nil, nil
	}
	if tx.said == nil {
		b, err := c.answerTo(tx.req.Body())
		if err != nil {
			return nil, err
		}
		tx.said = b
	}
	c.settled = reliably
	return tx.said, nil
}

// acknowledged is the ACK of our 2xx.
func (c *Call) acknowledged(ack *sip.Request) {
	tx := c.taken
	if tx == nil || tx.final < 200 || tx.final >= 300 || ack.CSeq().SeqNo != tx.req.CSeq().SeqNo {
		return
	}
	c.stopFinal()
	if c.wants {
		c.wants = false
		c.accept(ack.Body())
	}
	select {
	case <-c.up:
	default:
		close(c.up)
	}
}

// stopFinal ends the repetition of our final response.
func (c *Call) stopFinal() {
	if c.taken != nil {
		c.later().drop(c.taken.again)
	}
}

// canceled is a CANCEL of the gateway's INVITE. A phone that answers by itself gives the 487; a script gives its own.
func (c *Call) canceled(tx *serverTx) {
	if c.phone.o.Reply != nil && tx == c.taken {
		_ = c.respond(Response{Code: sip.StatusRequestTerminated})
	}
}

// hungUp is a BYE of the gateway.
func (c *Call) hungUp() {
	c.stopFinal()
	if tx := c.taken; tx != nil && tx.final == 0 {
		c.phone.respond(tx, sip.StatusRequestTerminated, nil) // RFC 3261, 15.1.2
	}
	c.end()
}
