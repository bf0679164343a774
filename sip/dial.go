package sip

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
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
	a.rung = max(a.rung, n)
	if carrier := a.carries(0); carrier != nil {
		carrier.refer.leg = n
	}
	b, ok := a.l.reg.contact(to.Taker)
	if !ok {
		a.unreached(n, call.Left{Leg: n, By: "network", Why: "not registered", Code: sipgo.StatusTemporarilyUnavailable})
		return
	}
	at := a.l.advertised(b.Local)
	name := tag(a.id, n)
	g := &leg{who: to.Taker, over: make(chan struct{}), forks: map[string]*early{}, d: Dialog{
		Leg: n, CallID: name, LocalTag: name, Net: b.Net, Local: b.Local, Peer: b.Peer, Flow: true, Target: b.Contact,
		LocalURI:  a.presented(display, hostText(at.Addr())),
		RemoteURI: fmt.Sprintf("<sip:%s@%s>", to.Taker, a.l.o.Config.SIP.Realm),
		Timer:     Interval{Expires: ourInterval, Ours: true},
	}}
	stream, err := a.l.open(a.id, g)
	if err != nil {
		a.unreached(n, call.Left{Leg: n, By: "node", Why: "no RTP port", Code: sipgo.StatusServiceUnavailable})
		return
	}
	g.stream = stream
	g.body = g.d.Session.Offer(sdp.SendRecv)
	g.offered = g.d.Session
	a.legs[n] = g
	a.invite(g)
}

// unreached tells that a phone could not even be rung.
func (a *actor) unreached(n call.Leg, left call.Left) {
	if carrier := a.carries(n); carrier != nil {
		a.referred(carrier, left.Code)
	}
	a.tell(left)
}

// invite sends our INVITE, the first or one that a 422 asked for.
func (a *actor) invite(g *leg) {
	g.d.LocalSeq++
	req, err := a.l.request(&g.d, sipgo.INVITE, g.d.LocalSeq)
	if err != nil {
		a.l.log.Warn("phone can't be rung", zap.String("taker", string(g.who)), zap.Error(err))
		a.leave(g, "network", "its Contact can't be used", sipgo.StatusTemporarilyUnavailable)
		return
	}
	req.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
	req.AppendHeader(sipgo.NewHeader("Allow", allow))
	g.d.Timer.ask(req)
	req.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(g.body)
	g.invite, g.d.Invite = req, []byte(req.String())
	a.keep(g)
	a.l.sendUntil(g.over, req, g.d.Local, func(res *sipgo.Response) {
		if !a.post(func() { a.response(g, req, res) }) {
			a.l.unwanted(g, res)
		}
	})
}

// presented is the From that the taker's phone shows: the caller's number with what the desk says of it.
func (a *actor) presented(display, host string) string {
	user := cmp.Or(a.caller, "anonymous")
	addr := fmt.Sprintf("<sip:%s@%s>", user, host)
	if display == "" {
		return addr
	}
	return quote(display) + " " + addr
}

// response takes what a phone answers to our INVITE, one function for all states: nil when the transaction ended without a
// final response.
func (a *actor) response(g *leg, req *sipgo.Request, res *sipgo.Response) {
	if a.legs[g.d.Leg] != g {
		a.l.unwanted(g, res)
		return
	}
	switch {
	case g.state == confirmed || g.invite != req: // a final came twice
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
	case res.StatusCode == 422 && g.d.Timer.widen(res):
		a.invite(g)
	default:
		a.leave(g, "taker", res.Reason, res.StatusCode, saidReason(res))
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

// timerC is how long a phone may say nothing new while it rings (16.6, step 11: more than three minutes, and more than the
// desk lets any phone ring).
const timerC = 6 * time.Minute

// ringing takes a 1xx: from now on a CANCEL may go out.
func (a *actor) ringing(g *leg, res *sipgo.Response) {
	g.provisional = true
	if g.cancel != 0 {
		a.sendCancel(g, g.cancel)
		return
	}
	if requires(res, "100rel") {
		a.prack(g, res)
	}
	if res.StatusCode == sipgo.StatusTrying {
		return
	}
	a.after(g, stateTimer, timerC, func() { a.giveUp(g, sipgo.StatusRequestTimeout) })
	if g.rang {
		return
	}
	g.rang = true
	if carrier := a.carries(g.d.Leg); carrier != nil {
		a.notify(carrier, sipgo.StatusRinging)
	}
	a.tell(call.Rang{Leg: g.d.Leg})
}

// early is a dialog before its 2xx, one for each phone that a proxy has forked our INVITE to (12.1.2).
type early struct {
	d        Dialog
	rseq     uint32 // of the last reliable provisional response
	answered bool   // it held the answer to our offer
	media    sdp.Media
}

// prack acknowledges a reliable provisional response (RFC 3262, 4). One that comes again, or before its turn, is left.
func (a *actor) prack(g *leg, res *sipgo.Response) {
	values := fields(res, "RSeq")
	if len(values) != 1 || res.To() == nil {
		return
	}
	rseq, err := strconv.ParseUint(strings.TrimSpace(values[0]), 10, 31)
	if err != nil {
		return
	}
	name := res.To().Params.GetOr("tag", "")
	e := g.forks[name]
	if e == nil {
		e = &early{d: g.d}
		e.d.accept(res)
		e.d.Session = g.offered
		g.forks[name] = e
	} else if uint32(rseq) != e.rseq+1 {
		return
	}
	e.rseq = uint32(rseq)
	if len(res.Body()) > 0 && !e.answered {
		if m, err := e.d.Session.Accept(res.Body()); err == nil {
			e.media, e.answered = m, true
		}
	}
	g.d.LocalSeq++
	req, err := a.l.request(&e.d, sipgo.PRACK, g.d.LocalSeq)
	if err != nil {
		a.l.log.Warn("PRACK not sent", zap.String("call", string(a.id)), zap.Error(err))
		return
	}
	req.AppendHeader(sipgo.NewHeader("RAck", fmt.Sprintf("%d %d INVITE", rseq, g.invite.CSeq().SeqNo)))
	a.l.send(req, g.d.Local, func(*sipgo.Response) {})
}

// ackPatience is how long an ACK waits for a slow disk: less than T1, when the 2xx comes again.
const ackPatience = 200 * time.Millisecond

// pickedUp takes a 2xx: ACK, and BYE where nobody wants it any more or its sound can't be used. The ACK waits until the dialog
// is durable: a phone that has none sends its 2xx again, and the next run then hangs up what it does not know.
func (a *actor) pickedUp(g *leg, res *sipgo.Response) {
	g.stop(stateTimer)
	g.d.accept(res)
	g.d.Unacked = g.invite.CSeq().SeqNo
	if g.cancel != 0 {
		a.bye(g, g.cancel)
		a.leave(g, "desk", "", g.cancel)
		return
	}
	m, err := g.answered(res)
	if err != nil {
		a.l.log.Warn("a phone's answer can't be used", zap.String("call", string(a.id)), zap.Error(err))
		a.bye(g, sipgo.StatusNotAcceptableHere)
		a.leave(g, "taker", "its sound can't be used", sipgo.StatusNotAcceptableHere)
		return
	}
	g.d.Timer = g.d.Timer.granted(res)
	g.state, g.d.Invite, g.d.Answered, g.d.Fresh, g.d.Media = confirmed, nil, true, time.Now(), m
	g.invite, g.forks, g.body = nil, nil, nil
	a.keepUntil(g, func(error) { // never durable: the call goes on all the same
		a.post(func() {
			if a.legs[g.d.Leg] == g {
				a.acknowledge(g)
			}
		})
	})
	a.after(g, stateTimer, ackPatience, func() { a.acknowledge(g) })
	if caller := a.legs[0]; caller != nil && caller.state == inviting && !caller.d.Answering {
		caller.d.Answering = true
		a.keep(caller)
	}
	a.l.busy(g.who, a)
	a.tell(call.Answered{Leg: g.d.Leg})
	if carrier := a.carries(g.d.Leg); carrier != nil {
		a.referred(carrier, sipgo.StatusOK)
	}
	a.hear(g, m)
	a.arm(g)
	a.quietly(g)
	a.keeping(g, keepSoon)
}

// answered is what a 2xx agrees on: its own answer, or that of the reliable provisional response before it (RFC 3262, 5).
func (g *leg) answered(res *sipgo.Response) (sdp.Media, error) {
	if e := g.forks[g.d.RemoteTag]; e != nil && e.answered {
		g.d.Session = e.d.Session
		return e.media, nil
	}
	g.d.Session = g.offered
	return g.d.Session.Accept(res.Body())
}

// acknowledge sends the ACK that waits, if one does. Whatever else is said in the dialog comes after it.
func (a *actor) acknowledge(g *leg) {
	if g.d.Unacked == 0 {
		return
	}
	a.ack(g, g.d.Unacked)
	g.d.Unacked = 0
	g.stop(stateTimer)
}

// ack acknowledges a 2xx to our INVITE with that CSeq (13.2.2.4).
func (a *actor) ack(g *leg, seq uint32) {
	req, err := a.l.request(&g.d, sipgo.ACK, seq)
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
	owner, n, ours := parseTag(fromTag(res))
	if !ours {
		return
	}
	if !res.IsSuccess() {
		l.ackGhost(res)
		return
	}
	again := func(a *actor) {
		g := a.legs[a.number(owner, n)]
		if g != nil && g.state == confirmed && g.d.RemoteTag == res.To().Params.GetOr("tag", "") {
			if cseq.SeqNo != g.d.Unacked { // else the ACK is on its way
				a.ack(g, cseq.SeqNo)
			}
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
