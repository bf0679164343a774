package sip

import (
	"errors"
	"strconv"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/sdp"
)

// onInvite serves an INVITE: a new call from a trunk, or one inside a dialog.
func (l *Line) onInvite(req *sipgo.Request, tx *sipgo.ServerTx) {
	key, _ := branchKey(req)
	id, _, ours := parseTag(req.To().Params.GetOr("tag", ""))
	l.mu.Lock()
	b := l.branches[key]
	l.mu.Unlock()
	switch {
	case b != nil && b.refused:
		l.quiet(req) // from now on the transaction repeats it
		l.respond(tx, unavailable(req))
		return
	case !ours || b == nil || b.id != id:
		l.modify(req, tx)
		return
	}
	trunk, ok := l.from.trunk(addrPort(req.Source()).Addr())
	if !ok {
		l.respond(tx, respond(req, sipgo.StatusForbidden, "Forbidden", nil))
		return
	}
	// No 100 here: our 180 or 200 follows once the call is durable. Where that takes over 200 ms the transaction sends 100
	// by itself (17.2.1). A 100 now would stop the INVITE from coming again if the gateway died before it is durable.
	merged := l.merge(req, key)
	a := l.newActor(id, func(a *actor) { a.arrive(req, tx, trunk, merged) })
	if a == nil {
		l.respond(tx, unavailable(req))
		return
	}
	l.mu.Lock()
	b.actor = a
	early := b.canceled
	l.mu.Unlock()
	if early {
		a.post(func() { a.canceled(true) })
	} else if !tx.OnCancel(func(*sipgo.Request) { a.post(func() { a.canceled(false) }) }) {
		a.post(func() { a.canceled(false) })
	}
	l.spawn(func() { l.watch(req, tx, key, a) })
}

// watch stays with an INVITE transaction until its end: an ACK that reuses its branch comes up here (RFC 2543 peers).
func (l *Line) watch(req *sipgo.Request, tx *sipgo.ServerTx, key string, a *actor) {
	for {
		select {
		case ack := <-tx.Acks():
			a.post(func() { a.onAck(0, ack) })
		case <-tx.Done():
			l.mu.Lock()
			delete(l.branches, key)
			if l.merged[mergeKey(req)] == key {
				delete(l.merged, mergeKey(req))
			}
			l.mu.Unlock()
			return
		}
	}
}

// merge tells whether the same request has come before on another way (8.2.2.2).
func (l *Line) merge(req *sipgo.Request, key string) bool {
	k := mergeKey(req)
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok := l.merged[k]; ok && first != key {
		return true
	}
	l.merged[k] = key
	return false
}

func mergeKey(req *sipgo.Request) string {
	return string(*req.CallID()) + "|" + req.From().Params.GetOr("tag", "") + "|" + req.CSeq().Value()
}

func unavailable(req *sipgo.Request) *sipgo.Response {
	return refuse(sipgo.StatusServiceUnavailable, "Service Unavailable", sipgo.NewHeader("Retry-After", retryAfter)).response(req)
}

// modify serves an INVITE inside a dialog. The session stays as it is (14.2): changing it is not built yet.
func (l *Line) modify(req *sipgo.Request, tx *sipgo.ServerTx) {
	code, reason := sipgo.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist"
	if l.knows(req) {
		code, reason = sipgo.StatusNotAcceptableHere, "Not Acceptable Here"
	}
	l.respond(tx, respond(req, code, reason, nil))
}

// arrive makes leg 0 and tells the desk.
func (a *actor) arrive(req *sipgo.Request, tx *sipgo.ServerTx, trunk config.Trunk, merged bool) {
	local := a.l.local(req.Transport(), req.Source())
	g := &leg{d: serverDialog(req, tag(a.id, 0), local), req: req, tx: tx}
	a.legs[0] = g
	called := number(req.Recipient)
	var reject int
	switch {
	case merged:
		reject = sipgo.StatusLoopDetected
	case !serves(trunk, called):
		reject = sipgo.StatusNotFound
	default:
		reject = a.prepare(g)
	}
	g.d.Answering = reject == 0 && a.l.o.Config.SIP.Answer == config.AnswerQueue
	a.keep(g)
	a.tell(call.Arrived{
		Trunk: trunk.Name, Called: called, SIPCallID: g.d.CallID, Caller: caller(req, trunk), Reject: reject,
	})
}

// prepare opens the leg's port and answers its offer; the code with which the call must be refused, or 0.
func (a *actor) prepare(g *leg) int {
	stream, err := a.l.open(a, g)
	if err != nil {
		return sipgo.StatusServiceUnavailable
	}
	g.stream = stream
	local := sdp.Local{Addr: a.l.advertised(g.d.Local).Addr(), Port: stream.Port(), Session: uint64(time.Now().UnixMilli()), Version: 1}
	answer, m, err := sdp.Answer(g.d.Offer, local)
	switch {
	case errors.Is(err, sdp.ErrMalformed) && len(g.d.Offer) > 0:
		return sipgo.StatusBadRequest
	case err != nil:
		return sipgo.StatusNotAcceptableHere
	}
	g.d.Answer, g.d.Ports = answer, [2]uint16{stream.Port(), stream.Port() + 1}
	g.format, g.remote = format(m), m.Remote
	return 0
}

// open binds the ports of a leg beside its listener; the alarm tells when there are none. What the leg hears of keys is
// told to the desk.
func (l *Line) open(a *actor, g *leg) (*media.Stream, error) {
	n := g.d.Leg
	ports := l.ports[g.d.Local.Addr()]
	if ports == nil { // a TCP connection to a listener on all addresses ends at one of them
		for _, p := range l.ports {
			ports = p
		}
	}
	s, err := ports.Open(func(what string) { l.o.Intake.Tell(a.id, call.Heard{Leg: n, What: what}) })
	if err != nil {
		l.noPorts.Store(true)
		l.o.Alarm("rtp-ports", time.Now(), "no RTP port is free: calls are refused with 503, phones are not rung; widen rtp.ports")
		return nil, err
	}
	if l.noPorts.CompareAndSwap(true, false) {
		l.o.Alarm("rtp-ports", time.Time{}, "there are free RTP ports again")
	}
	return s, nil
}

func format(m sdp.Media) media.Format {
	f := media.Format{Codec: media.PCMA, Event: m.Event}
	if m.Codec == sdp.PCMU {
		f.Codec = media.PCMU
	}
	if m.PayloadType != uint8(f.Codec) {
		f.Audio = m.PayloadType
	}
	return f
}

// progress is 180, again every minute so that no proxy on the way gives up (13.3.1.1), until the INVITE expires (13.3.1).
func (a *actor) progress(g *leg) {
	if g.expires.IsZero() {
		g.expires = time.Now().Add(expiry(g.req))
	}
	if !time.Now().Before(g.expires) {
		a.final(g, sipgo.StatusRequestTerminated)
		a.leave(g, "network", "the INVITE expired", sipgo.StatusRequestTerminated)
		return
	}
	res := respond(g.req, sipgo.StatusRinging, "Ringing", nil)
	res.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
	if err := g.tx.Respond(res); err != nil {
		a.l.log.Debug("180 not sent", zap.String("call", string(a.id)), zap.Error(err))
	}
	a.after(g, min(time.Minute, time.Until(g.expires)), func() { a.progress(g) })
}

// expiry is how long a caller may ring: the INVITE's Expires (20.19), and never longer than longestUp.
func expiry(req *sipgo.Request) time.Duration {
	if h := req.GetHeader("Expires"); h != nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(h.Value()), 10, 32); err == nil && n > 0 {
			return min(longestUp, time.Duration(n)*time.Second)
		}
	}
	return longestUp
}

// answer sends our 200 and repeats it until its ACK (13.3.1.4).
func (a *actor) answer(n call.Leg) {
	g := a.legs[n]
	if g == nil || g.state != inviting || len(g.d.Answer) == 0 {
		return
	}
	res := respond(g.req, sipgo.StatusOK, "OK", g.d.Answer)
	res.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
	res.AppendHeader(sipgo.NewHeader("Allow", allow))
	res.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
	if err := g.tx.Respond(res); errors.Is(err, sipgo.ErrTransactionCanceled) {
		// The CANCEL was first. sipgo would now repeat the 200 by Timer G: give it its 487 back. canceled() follows.
		a.l.respond(g.tx, respond(g.req, sipgo.StatusRequestTerminated, "Request Terminated", nil))
		return
	}
	g.state, g.ok, g.d.Answered = answered, res, true
	g.stream.Set(g.format, g.remote)
	a.keep(g)
	a.tell(call.Answered{Leg: n})
	a.repeat(g, t1, time.Now().Add(lifetime))
}

// repeat sends the 200 again after d, then after twice that, until its ACK or 64*T1: then BYE.
func (a *actor) repeat(g *leg, d time.Duration, until time.Time) {
	a.after(g, min(d, time.Until(until)), func() {
		if !time.Now().Before(until) {
			a.bye(g, sipgo.StatusRequestTimeout)
			a.leave(g, "network", "no ACK", sipgo.StatusRequestTimeout)
			return
		}
		a.l.respond(g.tx, g.ok)
		a.repeat(g, min(2*d, t2), until)
	})
}

// onAck confirms the dialog of leg 0.
func (a *actor) onAck(n call.Leg, req *sipgo.Request) {
	g := a.legs[n]
	if g == nil || n != 0 || g.state != answered || !sameDialog(g, req) {
		return
	}
	g.state, g.ok, g.d.Invite = confirmed, nil, nil
	a.keep(g)
	if g.hangUp != 0 {
		a.drop(0, g.hangUp)
		return
	}
	a.quietly(g)
}

// canceled takes the caller's CANCEL. sipgo has answered the INVITE with 487 unless it missed the CANCEL; after our 200
// a CANCEL has no effect (9.2).
func (a *actor) canceled(missed bool) {
	g := a.legs[0]
	if g == nil || g.state != inviting {
		return
	}
	if missed {
		a.final(g, sipgo.StatusRequestTerminated)
	}
	a.leave(g, "caller", "canceled", sipgo.StatusRequestTerminated)
}

// reasons are the phrases of the finals that the desk and the line give to callers.
var reasons = map[int]string{
	400: "Bad Request", 404: "Not Found", 408: "Request Timeout", 480: "Temporarily Unavailable", 482: "Loop Detected",
	486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error", 503: "Service Unavailable",
}

// final refuses the caller's INVITE; it tells whether the refusal, not a CANCEL, ended it.
func (a *actor) final(g *leg, code int) bool {
	reason, ok := reasons[code]
	if !ok {
		code, reason = sipgo.StatusTemporarilyUnavailable, reasons[sipgo.StatusTemporarilyUnavailable]
	}
	res := respond(g.req, code, reason, nil)
	if code == sipgo.StatusServiceUnavailable {
		res.AppendHeader(sipgo.NewHeader("Retry-After", retryAfter))
	}
	err := g.tx.Respond(res)
	if errors.Is(err, sipgo.ErrTransactionCanceled) {
		a.l.respond(g.tx, respond(g.req, sipgo.StatusRequestTerminated, "Request Terminated", nil))
		return false
	}
	if err != nil {
		a.l.log.Debug("final not sent", zap.String("call", string(a.id)), zap.Int("code", code), zap.Error(err))
	}
	return true
}

// sameDialog holds a request of the peer against the names of the leg's dialog (12.2.2).
func sameDialog(g *leg, req *sipgo.Request) bool {
	return string(*req.CallID()) == g.d.CallID && req.From().Params.GetOr("tag", "") == g.d.RemoteTag
}
