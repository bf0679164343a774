package siptest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/sdp"
)

// offered is an INVITE of the gateway: the first of the call, or another within it.
func (c *Call) offered(tx *serverTx, first bool) {
	c.taken = tx
	if contact := tx.req.Contact(); contact != nil {
		c.target = contact.Address
	}
	c.phone.seen(Event{Call: c, Method: string(sip.INVITE), Tag: fromTag(tx.req)})
	if c.phone.o.Reply == nil {
		return
	}
	if !first {
		_ = c.answer(sip.StatusOK)
		return
	}
	c.reply(c.phone.o.Reply(c))
}

// reply answers by itself, unless the call has been canceled or answered in the meantime.
func (c *Call) reply(r Reply) {
	if r.Code == 0 {
		r.Code = sip.StatusOK
	}
	if r.Ring >= 0 {
		c.phone.later.add(r.Ring, func() { _ = c.answer(sip.StatusRinging) })
	}
	c.phone.later.add(max(0, r.Ring)+r.Answer, func() { _ = c.answer(r.Code) })
}

// answer responds to the open INVITE.
func (c *Call) answer(code int) error {
	tx := c.taken
	if tx == nil || tx.final != 0 || !c.alive() {
		return fmt.Errorf("%d: %w", code, ErrState)
	}
	var body []byte
	if code >= 200 && code < 300 {
		b, err := c.agree(tx.req.Body())
		if err != nil {
			return fmt.Errorf("%d: %w", code, err)
		}
		body = b
	}
	c.phone.respond(tx, code, func(res *sip.Response) {
		if code < 300 {
			res.AppendHeader(&sip.ContactHeader{Address: c.phone.contact(c.phone.o.User)})
		}
		if body != nil {
			res.AppendHeader(sip.NewHeader("Allow", allow))
			c.describe(res, body)
		}
	})
	if code < 200 {
		return nil
	}
	if c.state == trying {
		c.code = code
		c.state = talking
		if code >= 300 {
			c.end()
		}
	}
	return nil
}

// agree answers the gateway's offer, or makes one where there is none (RFC 3261, 13.2.1).
func (c *Call) agree(offer []byte) ([]byte, error) {
	if len(offer) == 0 {
		c.wants = true
		return sdp.Offer(c.media()), nil
	}
	answer, m, err := sdp.Answer(offer, c.media())
	if err != nil {
		return nil, err
	}
	c.sound.set(m.Remote, m.PayloadType, m.Event)
	return answer, nil
}

// acknowledged is the ACK of our final response, of a 2xx or not.
func (c *Call) acknowledged(ack *sip.Request) {
	tx := c.taken
	if tx == nil || tx.final == 0 || ack.CSeq().SeqNo != tx.req.CSeq().SeqNo {
		return
	}
	c.stopFinal()
	if tx.final >= 300 {
		return
	}
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
		c.phone.later.drop(c.taken.again)
	}
}

// canceled is a CANCEL of the gateway's INVITE. A phone that answers by itself gives the 487; a script gives its own.
func (c *Call) canceled(tx *serverTx) {
	if c.phone.o.Reply != nil && tx == c.taken {
		_ = c.answer(sip.StatusRequestTerminated)
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

// cause is the SIP cause in a message's Reason headers (RFC 3326); 0: none.
func cause(req *sip.Request) int {
	for _, h := range req.GetHeaders("Reason") {
		protocol, params, _ := strings.Cut(h.Value(), ";")
		if !strings.EqualFold(strings.TrimSpace(protocol), "SIP") {
			continue
		}
		for p := range strings.SplitSeq(params, ";") {
			name, value, _ := strings.Cut(p, "=")
			if strings.EqualFold(strings.TrimSpace(name), "cause") {
				n, _ := strconv.Atoi(strings.TrimSpace(value))
				return n
			}
		}
	}
	return 0
}
