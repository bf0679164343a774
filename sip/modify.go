package sip

import (
	"math/rand/v2"
	"strconv"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/sdp"
)

// proposal is what a request of the peer's does to a dialog: its session timer, and the answer to its offer.
type proposal struct {
	timer  Interval
	answer []byte    // nil: it offers nothing
	media  sdp.Media // what the offer came to
}

// propose reads a request that may change the session; nil when it was refused: then all stays as it was.
func (a *actor) propose(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) *proposal {
	refusal := a.modifiable(g, req)
	var p proposal
	if refusal == nil {
		p.timer, refusal = asked(req, g.who != "")
	}
	if refusal == nil && len(req.Body()) > 0 {
		var err error
		if p.answer, p.media, err = g.d.Session.Answer(req.Body(), sdp.SendRecv); err != nil {
			refusal = a.unacceptable(g, err)
		}
	}
	if refusal != nil {
		a.keep(g)
		a.l.respond(tx, refusal.response(req))
		return nil
	}
	g.d.refresh(req)
	g.d.Timer = p.timer
	return &p
}

// onReinvite takes the peer's INVITE inside a dialog (14.2): a changed session, a question for ours, or a refresh.
func (a *actor) onReinvite(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	before := g.d
	p := a.propose(g, req, tx)
	if p == nil {
		return
	}
	body, offered := p.answer, p.answer == nil
	if offered {
		body = g.d.Session.Offer(sdp.SendRecv)
	}
	if !a.accept(g, req, tx, body, offered) {
		g.d = before // its CANCEL was first: nothing has changed (14.1)
		return
	}
	// The peer goes on, so it has our last 200, and its ACK is late or lost.
	if g.state != confirmed {
		a.keeping(g, keepSoon)
	}
	g.state, g.revive = confirmed, nil
	if !offered {
		a.hear(g, p.media)
	}
	a.arm(g)
	a.keep(g)
}

// onUpdate takes the peer's UPDATE (RFC 3311, 5.2), before or after the 200.
func (a *actor) onUpdate(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	p := a.propose(g, req, tx)
	if p == nil {
		return
	}
	a.l.respond(tx, a.success(g, req, p.answer))
	if p.answer != nil {
		a.hear(g, p.media)
	}
	if g.state != inviting {
		a.arm(g)
	}
	a.keep(g)
}

// modifiable tells what a request with an offer, or any INVITE, must be refused with while another offer is open: 491 for
// one of ours (14.2; RFC 3311, 5.2), 500 for one of the peer's; nil if none is. An INVITE is open until its final response,
// whatever was agreed on before that (14.2).
func (a *actor) modifiable(g *leg, req *sipgo.Request) *refusal {
	invite := req.Method == sipgo.INVITE
	switch {
	case !invite && len(req.Body()) == 0:
		return nil
	case g.own != nil && g.own.method == sipgo.INVITE, g.unacked != nil && g.unacked.offered, g.rel != nil && g.rel.offered:
		return refuse(sipgo.StatusRequestPending)
	case g.state == inviting && (invite || !g.d.Agreed):
		return refuse(sipgo.StatusInternalServerError, sipgo.NewHeader("Retry-After", strconv.Itoa(rand.IntN(11))))
	}
	return nil
}

// refresh takes the remote target from a request or a 2xx inside the dialog (12.2).
func (d *Dialog) refresh(m sipgo.Message) {
	if c := contactOf(m); c != nil {
		d.Target = c.Address.String()
	}
	d.Update = allows(m, sipgo.UPDATE) || d.Update && len(fields(m, "Allow")) == 0
}
