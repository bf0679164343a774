package sip

import (
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// inDialog gives a request of the peer to its call, found by our tag, and waits until the call has dealt with it, so that
// its transaction lives that long. It tells whether the call was there.
func (l *Line) inDialog(req *sipgo.Request, do func(*actor, *leg)) bool {
	id, n, ok := parseTag(req.To().Params.GetOr("tag", ""))
	if !ok {
		return false
	}
	a := l.actor(id)
	if a == nil {
		return false
	}
	done := make(chan bool, 1)
	if !a.post(func() {
		found := false
		defer func() { done <- found }()
		if g := a.legs[a.number(id, n)]; g != nil && sameDialog(g, req) {
			found = true
			do(a, g)
		}
	}) {
		return false
	}
	return <-done
}

// number is the leg that a tag of ours with this ID and leg stands for: a leg that was dialed into the call has the ID of
// its own act in its tag.
func (a *actor) number(id call.ID, n call.Leg) call.Leg {
	if id == a.id {
		return n
	}
	return a.dialed[id]
}

// sameDialog holds a request of the peer against the names of the leg's dialog (12.2.2). A phone that rings is in none yet:
// nothing of it can end the INVITE but its response.
func sameDialog(g *leg, req *sipgo.Request) bool {
	begun := g.d.Inbound || g.state != inviting
	return begun && string(*req.CallID()) == g.d.CallID && fromTag(req) == g.d.RemoteTag
}

// within serves a request inside a dialog, or answers 481.
func (l *Line) within(req *sipgo.Request, tx *sipgo.ServerTx) {
	if !l.inDialog(req, func(a *actor, g *leg) { a.within(g, req, tx) }) {
		l.respond(tx, respond(req, sipgo.StatusCallTransactionDoesNotExists, nil))
	}
}

// within takes a request of the peer's. One that is out of order gets 500 (12.2.2); any other tells where the peer is now.
func (a *actor) within(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	if seq := req.CSeq().SeqNo; g.d.RemoteSeq != 0 && seq <= g.d.RemoteSeq {
		a.l.respond(tx, respond(req, sipgo.StatusInternalServerError, nil))
		return
	}
	a.acknowledge(g)
	g.d.RemoteSeq = req.CSeq().SeqNo
	if g.revive != nil && g.state == answered && req.Method != sipgo.BYE && !g.unacked.offered { // it has our 200, and an ACK of before
		g.settle()
		a.confirm(g)
		a.after(g, glareTimer, t1, func() { a.knock(g) })
	}
	g.d.Net, g.d.Peer, g.d.Local = req.Transport(), addrPort(req.Source()), a.l.local(req.Transport(), req.Source())
	switch req.Method {
	case sipgo.INVITE:
		a.onReinvite(g, req, tx)
	case sipgo.UPDATE:
		a.onUpdate(g, req, tx)
	case sipgo.PRACK:
		a.onPrack(g, req, tx)
	case sipgo.REFER:
		a.onRefer(g, req, tx)
	case sipgo.BYE:
		a.onBye(g, req, tx)
	default:
		a.l.respond(tx, optionsResponse(req))
	}
}

// request sends a request inside the leg's dialog, with the headers and the body given; on gets the final response, nil for
// none. It may be nil.
func (a *actor) request(g *leg, method sipgo.RequestMethod, fill func(*sipgo.Request), on func(*sipgo.Response)) {
	a.requestUntil(nil, g, method, fill, on)
}

// requestUntil is request for one that is given up when over is closed.
func (a *actor) requestUntil(over <-chan struct{}, g *leg, method sipgo.RequestMethod, fill func(*sipgo.Request), on func(*sipgo.Response)) {
	a.acknowledge(g)
	g.d.LocalSeq++
	a.reroute(g)
	req, err := a.l.request(&g.d, method, g.d.LocalSeq)
	if err != nil {
		a.l.log.Warn("request not sent", zap.String("call", string(a.id)), zap.Error(err))
		if on != nil {
			on(nil)
		}
		return
	}
	if fill != nil {
		fill(req)
	}
	parts := method == sipgo.BYE
	if parts {
		a.l.parting.Add(1)
	}
	a.l.sendUntil(over, req, g.d.Local, func(res *sipgo.Response) {
		if res != nil && res.IsProvisional() {
			return
		}
		if parts {
			a.l.parting.Done()
		}
		if on != nil {
			a.post(func() {
				if a.legs[g.d.Leg] == g {
					on(res)
				}
			})
		}
	})
}

// gone tells from the final response to a request of ours that the peer's side of the dialog is no more (12.2.1.2).
func gone(res *sipgo.Response) bool {
	return res == nil || res.StatusCode == sipgo.StatusCallTransactionDoesNotExists || res.StatusCode == sipgo.StatusRequestTimeout
}

// quietly watches a dialog from which no sound comes by OPTIONS inside it, which a party that is gone does not answer. A
// phone that has vanished is noticed within phoneQuiet + phonePatience, a caller within quiet + lifetime.
func (a *actor) quietly(g *leg) {
	silence, patience := quiet, lifetime
	if g.who != "" {
		silence, patience = phoneQuiet, phonePatience
	}
	a.hush(g, silence, silence, patience)
}

// hush asks by OPTIONS once the leg has been silent for as long; it is looked at again after d.
func (a *actor) hush(g *leg, d, silence, patience time.Duration) {
	a.after(g, quietTimer, d, func() {
		if _, last := g.stream.Received(); time.Since(last) < silence {
			a.hush(g, silence-time.Since(last), silence, patience)
			return
		}
		over := make(chan struct{})
		giveUp := time.AfterFunc(patience, func() { close(over) })
		a.requestUntil(over, g, sipgo.OPTIONS, nil, func(res *sipgo.Response) {
			giveUp.Stop()
			if gone(res) {
				a.lost(g, "no sound and no answer to OPTIONS")
				return
			}
			a.quietly(g)
		})
	})
}

// lost ends a leg whose peer is there no more. A call taker's phone gets no other call before it has answered again.
func (a *actor) lost(g *leg, why string) {
	if g.who != "" {
		a.l.reg.doubt(g.who, g.d.Peer)
	}
	a.bye(g, sipgo.StatusRequestTimeout)
	if g.revive != nil {
		a.leave(g, "node", "restart", 0)
		return
	}
	a.leave(g, "network", why, sipgo.StatusRequestTimeout)
}
