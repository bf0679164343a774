package sip

import (
	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
)

// drop ends a leg with what fits its state. For a leg that was never rung it is the refusal of the REFER that waits for one.
func (a *actor) drop(n call.Leg, code int) {
	g := a.legs[n]
	if g != nil && g.refer != nil {
		a.referred(g, code)
	}
	carrier := a.carries(0)
	switch {
	case g == nil && n > a.rung && carrier != nil && !a.wasDialed(n):
		a.referred(carrier, code)
	case g == nil:
		a.tell(call.Left{Leg: n, By: "node", Why: "the leg has ended"})
	case g.state == confirmed:
		a.bye(g, code)
		a.leave(g, "desk", "", 0)
	case g.state == answered: // no BYE before the ACK, or the end of its transaction (15)
		g.hangUp = max(code, 1)
	case g.d.Inbound:
		if a.final(g, code) {
			a.leave(g, "desk", "", code)
		}
	default:
		a.giveUp(g, code)
	}
}

// giveUp cancels our INVITE, at once or with its first provisional response (9.1). The leg leaves with the final response.
func (a *actor) giveUp(g *leg, code int) {
	if g.cancel != 0 {
		return
	}
	g.cancel = max(code, 1)
	if g.provisional {
		a.sendCancel(g, g.cancel)
	}
	a.after(g, stateTimer, lifetime, func() {
		close(g.over)
		a.leave(g, "desk", "no answer to the CANCEL", sipgo.StatusRequestTimeout)
	})
}

// sendCancel sends the CANCEL of the leg's INVITE once: same branch, same Request-URI (9.1).
func (a *actor) sendCancel(g *leg, code int) {
	if g.cancelSent {
		return
	}
	g.cancelSent = true
	a.l.cancelRequest(g.invite, g.d, code)
}

// cancelRequest builds and sends the CANCEL of an INVITE of ours.
func (l *Line) cancelRequest(invite *sipgo.Request, d Dialog, code int) {
	req := sipgo.NewRequest(sipgo.CANCEL, invite.Recipient)
	req.AppendHeader(sipgo.HeaderClone(invite.Via()))
	sipgo.CopyHeaders("Route", invite, req)
	req.AppendHeader(new(sipgo.MaxForwardsHeader(70)))
	for _, name := range []string{"From", "To", "Call-ID"} {
		sipgo.CopyHeaders(name, invite, req)
	}
	req.AppendHeader(&sipgo.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sipgo.CANCEL})
	req.AppendHeader(sipgo.NewHeader("Reason", reason(code)))
	req.SetTransport(d.Net)
	req.SetDestination(d.Peer.String())
	req.SetBody(nil)
	l.parting.Add(1)
	l.send(req, d.Local, func(res *sipgo.Response) {
		if res == nil || !res.IsProvisional() {
			l.parting.Done()
		}
	})
}

// bye sends a BYE; the leg leaves when that has gone, whatever is answered (15.1.1). A leg whose session is over by then
// waits for no ACK.
func (a *actor) bye(g *leg, code int) { a.request(g, sipgo.BYE, withReason(code), nil) }

// onBye takes the peer's BYE (15.1.2).
func (a *actor) onBye(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	a.l.respond(tx, respond(req, sipgo.StatusOK, nil))
	if g.state == inviting { // an early dialog
		a.final(g, sipgo.StatusRequestTerminated)
	}
	a.leave(g, peer(g), "hung up", 0, saidReason(req))
}
