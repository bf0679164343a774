package sip

import (
	"fmt"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/sdp"
)

// ring sends an INVITE to a call taker's phone. The dialog is kept before it is sent; if that is lost in a crash, a 2xx
// is still known as ours by its Call-ID.
func (a *actor) ring(n call.Leg, to call.Party, display string) {
	if a.legs[n] != nil {
		return
	}
	b, ok := a.l.reg.contact(to.Taker)
	if !ok {
		a.tell(call.Left{Leg: n, By: "network", Why: "not registered", Code: sipgo.StatusTemporarilyUnavailable})
		return
	}
	at := a.l.advertised(b.Local)
	name := tag(a.id, n)
	g := &leg{over: make(chan struct{}), d: Dialog{
		Leg: n, CallID: name, LocalTag: name, Net: b.Net, Local: b.Local, Peer: b.Peer, Flow: true, Target: b.Contact, LocalSeq: 1,
		LocalURI:  a.presented(display, hostText(at.Addr())),
		RemoteURI: fmt.Sprintf("<sip:%s@%s>", to.Taker, a.l.o.Config.SIP.Realm),
	}}
	stream, err := a.l.open(a, g)
	if err != nil {
		a.tell(call.Left{Leg: n, By: "node", Why: "no RTP port", Code: sipgo.StatusServiceUnavailable})
		return
	}
	g.stream = stream
	g.d.Ports = [2]uint16{stream.Port(), stream.Port() + 1}
	g.d.Offer = sdp.Offer(sdp.Local{Addr: at.Addr(), Port: stream.Port(), Session: uint64(time.Now().UnixMilli()), Version: 1})
	a.legs[n] = g
	req, err := a.l.request(&g.d, sipgo.INVITE, g.d.LocalSeq)
	if err != nil {
		a.l.log.Warn("phone can't be rung", zap.String("taker", string(to.Taker)), zap.Error(err))
		a.leave(g, "network", "its Contact can't be used", sipgo.StatusTemporarilyUnavailable)
		return
	}
	req.AppendHeader(contact(g.d.Net, at))
	req.AppendHeader(sipgo.NewHeader("Allow", allow))
	req.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(g.d.Offer)
	g.invite, g.d.Invite = req, []byte(req.String())
	a.keep(g)
	a.l.sendUntil(g.over, req, g.d.Local, func(res *sipgo.Response) {
		if !a.post(func() { a.response(g, res) }) {
			a.l.unwanted(g, res)
		}
	})
}

// presented is the From that the taker's phone shows: the caller's number with what the desk says of it.
func (a *actor) presented(display, host string) string {
	user := "anonymous"
	if g := a.legs[0]; g != nil && g.req != nil {
		if trunk, ok := a.l.from.trunk(g.d.Peer.Addr()); ok {
			if c := caller(g.req, trunk); c.Number != "" {
				user = c.Number
			}
		}
	}
	addr := fmt.Sprintf("<sip:%s@%s>", user, host)
	if display == "" {
		return addr
	}
	return quote(display) + " " + addr
}

// response takes what a phone answers to our INVITE, one function for all states: nil when the transaction ended without a
// final response.
func (a *actor) response(g *leg, res *sipgo.Response) {
	if a.legs[g.d.Leg] != g {
		a.l.unwanted(g, res)
		return
	}
	switch {
	case g.state == confirmed: // a final came twice
	case res == nil && g.cancel != 0:
		a.leave(g, "desk", "no answer to the CANCEL", sipgo.StatusRequestTimeout)
	case res == nil:
		a.leave(g, "network", "no response", sipgo.StatusRequestTimeout)
	case res.IsProvisional():
		a.ringing(g, res)
	case res.IsSuccess():
		a.pickedUp(g, res)
	case g.cancel != 0:
		a.leave(g, "desk", "", res.StatusCode)
	default:
		a.leave(g, "taker", res.Reason, res.StatusCode)
	}
}

// unwanted takes what a phone answers to an INVITE whose leg has left: a CANCEL with the first 1xx, ACK and BYE for a 2xx.
// It runs where the leg's call does, or after that has ended.
func (l *Line) unwanted(g *leg, res *sipgo.Response) {
	switch {
	case res == nil:
	case res.IsSuccess():
		l.farewell(g.d, res)
	case res.IsProvisional() && !g.cancelSent:
		g.cancelSent = true
		l.cancelRequest(g.invite, g.d, sipgo.StatusServiceUnavailable)
	}
}

// ringing takes a 1xx: from now on a CANCEL may go out.
func (a *actor) ringing(g *leg, res *sipgo.Response) {
	g.provisional = true
	if g.cancel != 0 {
		a.sendCancel(g, g.cancel)
		return
	}
	if !g.rang && res.StatusCode > sipgo.StatusTrying {
		g.rang = true
		a.tell(call.Rang{Leg: g.d.Leg})
	}
}

// pickedUp takes a 2xx: ACK, and BYE where nobody wants it any more or its sound can't be used.
func (a *actor) pickedUp(g *leg, res *sipgo.Response) {
	g.d.accept(res)
	a.ack(g)
	if g.cancel != 0 {
		a.bye(g, g.cancel)
		a.leave(g, "desk", "", g.cancel)
		return
	}
	m, err := sdp.Accept(res.Body())
	if err != nil {
		a.l.log.Warn("a phone's answer can't be used", zap.String("call", string(a.id)), zap.Error(err))
		a.bye(g, sipgo.StatusNotAcceptableHere)
		a.leave(g, "taker", "its sound can't be used", sipgo.StatusNotAcceptableHere)
		return
	}
	g.format, g.remote = format(m), m.Remote
	g.stream.Set(g.format, g.remote)
	g.state, g.d.Invite, g.d.Answered, g.d.Answer = confirmed, nil, true, res.Body()
	a.keep(g)
	if caller := a.legs[0]; caller != nil && caller.state == inviting && !caller.d.Answering {
		caller.d.Answering = true
		a.keep(caller)
	}
	a.tell(call.Answered{Leg: g.d.Leg})
	a.quietly(g)
}

// ack acknowledges a 2xx (13.2.2.4).
func (a *actor) ack(g *leg) {
	req, err := a.l.request(&g.d, sipgo.ACK, g.invite.CSeq().SeqNo)
	if err != nil {
		a.l.log.Warn("ACK not sent", zap.String("call", string(a.id)), zap.Error(err))
		return
	}
	a.l.write(req, g.d.Local)
}

// stray takes a response that no transaction wants: a 2xx that is repeated, forked, or to an INVITE that this run knows
// nothing of; and the refusal of an INVITE of an earlier run. It is called by sipgo without recover.
func (l *Line) stray(res *sipgo.Response) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("a response could not be handled", zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	cseq, id := res.CSeq(), res.CallID()
	if cseq == nil || id == nil || cseq.MethodName != sipgo.INVITE || res.IsProvisional() || res.To() == nil || res.From() == nil {
		return
	}
	owner, n, ours := parseTag(string(*id))
	if !ours {
		return
	}
	if !res.IsSuccess() {
		l.ackGhost(res)
		return
	}
	again := func(a *actor) {
		g := a.legs[n]
		if g != nil && g.state == confirmed && g.d.RemoteTag == res.To().Params.GetOr("tag", "") {
			a.ack(g)
			return
		}
		l.farewell(l.strayDialog(res), res)
	}
	if !l.do(owner, again) {
		l.farewell(l.strayDialog(res), res)
	}
}

// strayDialog is what a 2xx of ours says about its dialog.
func (l *Line) strayDialog(res *sipgo.Response) Dialog {
	network := res.Transport()
	peer := addrPort(res.Source())
	return Dialog{
		CallID: string(*res.CallID()), LocalTag: res.From().Params.GetOr("tag", ""), LocalSeq: res.CSeq().SeqNo,
		LocalURI: nameAddr(res.From().DisplayName, res.From().Address), RemoteURI: nameAddr(res.To().DisplayName, res.To().Address),
		Net: network, Local: l.local(network, res.Source()), Peer: peer, Flow: true, Target: "sip:" + peer.String(),
	}
}

// farewell ends a dialog that nobody wants: ACK and BYE.
func (l *Line) farewell(d Dialog, res *sipgo.Response) {
	d.accept(res)
	ack, err := l.request(&d, sipgo.ACK, res.CSeq().SeqNo)
	if err != nil {
		l.log.Warn("an unwanted 2xx can't be acknowledged", zap.Error(err))
		return
	}
	l.write(ack, d.Local)
	bye, err := l.request(&d, sipgo.BYE, d.LocalSeq+1)
	if err != nil {
		return // the ACK was built from the same dialog: cannot happen
	}
	l.send(bye, d.Local, func(*sipgo.Response) {})
}
