package siptest

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Refer asks the gateway to connect the call's other end with a number (RFC 3515), in place of another call of this
// phone where there is one (Replaces: RFC 3891). What is answered is an Event, and so is each NOTIFY that tells how it
// goes.
func (c *Call) Refer(number string, replaces *Call) error {
	return c.phone.ask(func() error {
		if c.state != talking || replaces != nil && replaces.state != talking {
			return fmt.Errorf("REFER: %w", ErrState)
		}
		to := c.phone.gatewayURI(number)
		uri := to.String()
		if replaces != nil {
			uri += "?Replaces=" + url.QueryEscape(replaces.name())
		}
		c.seq++
		req := c.request(sip.REFER)
		own := c.local.Address
		req.AppendHeader(c.contact())
		req.AppendHeader(sip.NewHeader("Refer-To", "<"+uri+">"))
		req.AppendHeader(sip.NewHeader("Referred-By", "<"+own.String()+">")) // RFC 3892
		c.refers = true
		c.send(req, func(res *sip.Response) {
			switch {
			case res == nil:
				c.lost(string(sip.REFER))
			case res.StatusCode >= 200:
				c.refers = c.refers && res.StatusCode < 300
				c.phone.seen(eventOf(c, res))
			}
		})
		return nil
	})
}

// name is the call in a Replaces header, as the gateway sees it: its own tag is the to-tag (RFC 3891, 3).
func (c *Call) name() string {
	return c.ID + ";to-tag=" + c.tag + ";from-tag=" + c.local.Params.GetOr("tag", "")
}

// serveNotify answers a NOTIFY. One that tells how a REFER of ours goes is seen (RFC 3515, 2.4.4); the one that says
// terminated is the last.
func (p *Phone) serveNotify(tx *serverTx) {
	c := tx.call
	p.respond(tx, sip.StatusOK, nil)
	event, _, _ := strings.Cut(headerValue(tx.req, "Event"), ";")
	if c == nil || !c.refers || !strings.EqualFold(strings.TrimSpace(event), "refer") {
		return
	}
	e := eventOf(c, tx.req)
	if f := strings.Fields(string(tx.req.Body())); len(f) > 1 && f[0] == "SIP/2.0" {
		e.Fragment, _ = strconv.Atoi(f[1])
	}
	state, _, _ := strings.Cut(headerValue(tx.req, "Subscription-State"), ";")
	c.refers = !strings.EqualFold(strings.TrimSpace(state), "terminated")
	p.seen(e)
}
