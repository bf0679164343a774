package siptest

import "github.com/emiago/sipgo/sip"

// serve is the first arrival of a request other than ACK.
func (p *Phone) serve(tx *serverTx) {
	c := tx.call
	inside := tx.req.To().Params.Has("tag") || c != nil && c.asked.Old
	if inside && (c == nil || !c.serves(tx.req)) {
		p.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		if tx.req.Method == sip.BYE || tx.req.Method == sip.CANCEL {
			p.seen(eventOf(c, tx.req))
		}
		return
	}
	if inside && c.refuses(tx) {
		return
	}
	switch tx.req.Method {
	case sip.INVITE:
		p.serveInvite(tx, inside)
		return
	case sip.CANCEL:
		p.serveCancel(tx)
		return
	case sip.BYE:
		p.serveBye(tx)
		return
	case sip.OPTIONS:
		p.respond(tx, sip.StatusOK, nil)
		return
	case sip.NOTIFY:
		p.serveNotify(tx)
		return
	case sip.PRACK:
		if inside {
			c.acknowledgedReliably(tx)
			return
		}
	case sip.UPDATE:
		if inside {
			c.updated(tx)
			return
		}
	case sip.ACK, sip.REGISTER, sip.SUBSCRIBE, sip.REFER, sip.INFO, sip.MESSAGE, sip.PUBLISH:
	}
	p.respond(tx, sip.StatusNotImplemented, nil)
	p.seen(eventOf(c, tx.req))
}

// serves tells whether the call is there for a request: after its end, only its references are.
func (c *Call) serves(req *sip.Request) bool {
	return c.alive() || req.Method == sip.NOTIFY && c.refers
}

// refuses gives the answer that the script has prepared for a request of that method.
func (c *Call) refuses(tx *serverTx) bool {
	code := c.prepared[tx.req.Method]
	if code == 0 {
		return false
	}
	delete(c.prepared, tx.req.Method)
	if tx.req.Method == sip.INVITE {
		c.taken = tx
	}
	e := eventOf(c, tx.req)
	e.Inside = tx.req.Method == sip.INVITE
	c.phone.seen(e)
	c.phone.respond(tx, code, nil)
	return true
}

func (p *Phone) serveInvite(tx *serverTx, inside bool) {
	if inside {
		tx.call.changed(tx)
		return
	}
	p.respond(tx, sip.StatusTrying, nil)
	if tx.call == nil {
		c, err := p.incoming(tx)
		if err != nil {
			p.respond(tx, sip.StatusInternalServerError, nil)
			return
		}
		tx.call = c
	}
	tx.call.offered(tx)
}

func (p *Phone) serveCancel(tx *serverTx) {
	e := eventOf(nil, tx.req)
	invite := p.got[branch(tx.req, sip.INVITE)]
	if invite == nil {
		p.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		p.seen(e)
		return
	}
	tx.tag = invite.tag
	p.respond(tx, sip.StatusOK, nil)
	e.Call = invite.call
	p.seen(e)
	if invite.call != nil {
		invite.call.canceled(invite)
	}
}

func (p *Phone) serveBye(tx *serverTx) {
	if tx.call == nil || !tx.call.alive() {
		p.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		p.seen(eventOf(tx.call, tx.req))
		return
	}
	p.respond(tx, sip.StatusOK, nil)
	p.seen(eventOf(tx.call, tx.req))
	tx.call.hungUp()
}
