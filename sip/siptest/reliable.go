package siptest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// reliability is what one side has said reliably in provisional responses (RFC 3262).
type reliability struct {
	number int       // RSeq of the last one; 0: none
	seq    uint32    // CSeq of the INVITE that it answers
	offer  bool      // it made an offer, which the PRACK answers
	again  *task     // repeats ours until its PRACK
	until  time.Time // or until then
}

// reliable tells whether a response wants a PRACK (RFC 3262, 4).
func reliable(res *sip.Response) bool {
	n, _ := number(res, "RSeq")
	return n > 0 && res.StatusCode > 100 && res.StatusCode < 200 && lists(res, "Require", "100rel")
}

// acknowledge takes a reliable provisional response and sends its PRACK (RFC 3262, 4). It is false where that is
// repeated, or not the next one.
func (c *Call) acknowledge(res *sip.Response) bool {
	n, _ := number(res, "RSeq")
	if c.heard.number != 0 && n != c.heard.number+1 {
		return false
	}
	c.heard.number = n
	var answer []byte
	if body := res.Body(); len(body) > 0 && !c.settled {
		c.settled = true
		if c.asked.NoOffer {
			answer, _ = c.answerTo(body) // what can't be read is acknowledged without an answer
		} else {
			c.accept(body)
		}
	}
	if c.asked.NoPrack {
		return true
	}
	c.seq++
	req := c.request(sip.PRACK)
	req.AppendHeader(sip.NewHeader("RAck", fmt.Sprintf("%d %d INVITE", n, res.CSeq().SeqNo)))
	describe(req, answer)
	c.send(req, func(res *sip.Response) {
		switch {
		case res == nil:
			c.phone.seen(Event{Call: c, Method: string(sip.INVITE), Lost: true})
		case res.StatusCode >= 300:
			c.phone.seen(eventOf(c, res))
		}
	})
	return true
}

// takesReliable tells whether a request lets us answer reliably (RFC 3262, 3).
func takesReliable(req *sip.Request) bool {
	return lists(req, "Supported", "100rel") || lists(req, "Require", "100rel")
}

// tellReliably makes a provisional response reliable, and repeats it until its PRACK (RFC 3262, 3).
func (c *Call) tellReliably(tx *serverTx, res *sip.Response, offer bool) {
	c.told.number++
	c.told.seq, c.told.offer, c.told.until = tx.req.CSeq().SeqNo, offer, time.Now().Add(lifetime)
	res.AppendHeader(sip.NewHeader("Require", "100rel"))
	res.AppendHeader(sip.NewHeader("RSeq", strconv.Itoa(c.told.number)))
	c.tellAgain(tx, []byte(res.String()), t1)
}

func (c *Call) tellAgain(tx *serverTx, data []byte, wait time.Duration) {
	c.told.again = c.later().add(min(wait, time.Until(c.told.until)), func() {
		c.told.again = nil
		if !time.Now().Before(c.told.until) {
			c.lost(string(sip.PRACK))
			return
		}
		tx.at.write(data, tx.from)
		c.tellAgain(tx, data, 2*wait)
	})
}

// acknowledgedReliably is a PRACK (RFC 3262, 3).
func (c *Call) acknowledgedReliably(tx *serverTx) {
	f := strings.Fields(headerValue(tx.req, "RAck"))
	if c.told.again == nil || len(f) != 3 || f[0] != strconv.Itoa(c.told.number) ||
		f[1] != strconv.FormatUint(uint64(c.told.seq), 10) || f[2] != string(sip.INVITE) {
		c.phone.seen(eventOf(c, tx.req))
		c.phone.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		return
	}
	c.later().drop(c.told.again)
	c.told.again = nil
	var answer []byte
	switch body := tx.req.Body(); {
	case len(body) == 0:
	case c.told.offer:
		c.wants = false
		c.accept(body)
	default:
		answer, _ = c.answerTo(body) // what can't be read gets no answer
	}
	c.phone.respond(tx, sip.StatusOK, func(res *sip.Response) { describe(res, answer) })
}

func headerValue(m sip.Message, name string) string {
	for _, h := range m.GetHeaders(name) {
		return h.Value()
	}
	return ""
}
