package sip

import (
	"errors"
	"net/netip"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/sdp"
)

// onInvite serves an INVITE: a new call from a trunk, what a call taker dials, or one inside a dialog.
func (l *Line) onInvite(req *sipgo.Request, tx *sipgo.ServerTx) {
	key, _ := branchKey(req)
	id, _, ours := parseTag(req.To().Params.GetOr("tag", ""))
	l.mu.Lock()
	b := l.branches[key]
	var a *actor
	var n call.Leg
	if b != nil {
		a, n = b.actor, b.leg
		if b.refused {
			b.tx = tx
		}
	}
	l.mu.Unlock()
	switch {
	case b != nil && b.refused:
		l.respond(tx, unavailable(req))
		l.watch(req, tx, key)
		return
	case !ours || b == nil || b.id != id:
		l.within(req, tx)
		l.watch(req, tx, key)
		return
	case a != nil: // of an earlier run: its leg has been taken up
		l.merge(req, key)
		if !a.post(func() { a.again(n, req, tx) }) {
			l.respond(tx, unavailable(req))
		}
		l.begun(b, a, n, req, tx, key)
		return
	}
	trunk, ok := l.from.trunk(addrPort(req.Source()).Addr())
	if !ok {
		l.onDial(req, tx, key, b)
		return
	}
	// No 100 here: our 18x or 200 follows once the call is durable. Where that takes over 200 ms the transaction sends 100
	// by itself (17.2.1). A 100 now would stop the INVITE from coming again if the gateway died before it is durable.
	merged := l.merge(req, key)
	a = l.newActor(id, func(a *actor) { a.arrive(req, tx, trunk, merged) })
	if a == nil {
		l.respond(tx, unavailable(req))
		return
	}
	l.begun(b, a, 0, req, tx, key)
}

// begun ties an INVITE's transaction to the leg that it asks for: a CANCEL, now or before, and an ACK in its branch find
// that leg from now on.
func (l *Line) begun(b *branch, a *actor, n call.Leg, req *sipgo.Request, tx *sipgo.ServerTx, key string) {
	l.mu.Lock()
	b.actor, b.leg = a, n
	early := b.cancel
	l.mu.Unlock()
	if early != nil {
		a.post(func() { a.canceled(n, early, true) })
	} else if !tx.OnCancel(func(cancel *sipgo.Request) { a.post(func() { a.canceled(n, cancel, false) }) }) {
		a.post(func() { a.canceled(n, nil, false) })
	}
	l.watch(req, tx, key)
}

// watch forgets an INVITE transaction with its end.
func (l *Line) watch(req *sipgo.Request, tx *sipgo.ServerTx, key string) {
	forget := func(string, error) {
		l.mu.Lock()
		delete(l.branches, key)
		if k := mergeKey(req); l.merged[k] == key {
			delete(l.merged, k)
		}
		l.mu.Unlock()
	}
	if !tx.OnTerminate(forget) {
		forget(key, nil)
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
	return string(*req.CallID()) + "|" + fromTag(req) + "|" + req.CSeq().Value()
}

func unavailable(req *sipgo.Request) *sipgo.Response {
	return refuse(sipgo.StatusServiceUnavailable, sipgo.NewHeader("Retry-After", retryAfter)).response(req)
}

// arrive makes leg 0 of a call from a trunk and tells the desk.
func (a *actor) arrive(req *sipgo.Request, tx *sipgo.ServerTx, trunk config.Trunk, merged bool) {
	g := a.inbound(0, tag(a.id, 0), req, tx)
	called := number(req.Recipient)
	switch {
	case merged:
		g.refusal = refuse(sipgo.StatusLoopDetected)
	case !serves(trunk, called):
		g.refusal = refuse(sipgo.StatusNotFound)
	default:
		g.refusal = a.prepare(g)
	}
	arrived := call.Arrived{Trunk: trunk.Name, Called: called, SIPCallID: g.d.CallID, Caller: caller(req, trunk)}
	a.caller = arrived.Caller.Number
	if g.refusal != nil {
		arrived.Reject = g.refusal.code
	}
	g.d.Answering = g.refusal == nil && a.l.o.Config.SIP.Answer == config.AnswerQueue
	a.keep(g)
	a.tell(arrived)
}

// inbound makes the leg of an INVITE that came to us.
func (a *actor) inbound(n call.Leg, localTag string, req *sipgo.Request, tx *sipgo.ServerTx) *leg {
	g := &leg{d: serverDialog(req, localTag, a.l.local(req.Transport(), req.Source())), req: req, tx: tx}
	g.d.Leg, g.d.Fresh = n, time.Now()
	a.legs[n] = g
	return g
}

// prepare opens the leg's port, settles its session timer and answers its offer; what the INVITE must be refused with, or
// nil.
func (a *actor) prepare(g *leg) *refusal {
	timer, refusal := asked(g.req, g.who != "")
	if refusal != nil {
		return refusal
	}
	stream, err := a.l.open(a.id, g)
	if err != nil {
		return refuse(sipgo.StatusServiceUnavailable, sipgo.NewHeader("Retry-After", retryAfter))
	}
	g.stream, g.d.Timer = stream, timer
	if len(g.req.Body()) == 0 {
		return nil // the offer will be ours (13.2.1)
	}
	answer, m, err := g.d.Session.Answer(g.req.Body(), sdp.SendRecv)
	if err != nil {
		return a.unacceptable(g, err)
	}
	g.d.Answer, g.d.Media = answer, m
	return nil
}

// unacceptable refuses an offer: 400 for one that can't be read, else 488 with the reason for people (20.43, 21.4.26).
func (a *actor) unacceptable(g *leg, err error) *refusal {
	if errors.Is(err, sdp.ErrMalformed) {
		return refuse(sipgo.StatusBadRequest)
	}
	return refuse(sipgo.StatusNotAcceptableHere, warning(a.l.advertised(g.d.Local).Addr(), err))
}

// open binds the ports of a leg beside its listener and begins its session; the alarm tells when there are none. What the
// leg hears of keys is told to the desk.
func (l *Line) open(id call.ID, g *leg) (*media.Stream, error) {
	s, err := l.portsAt(g.d.Local).Open(l.hears(id, g.d.Leg))
	if err != nil {
		l.noPorts.Store(true)
		l.o.Alarm("rtp-ports", time.Now(), "no RTP port is free: calls are refused with 503, phones are not rung; widen rtp.ports")
		return nil, err
	}
	if l.noPorts.CompareAndSwap(true, false) {
		l.o.Alarm("rtp-ports", time.Time{}, "there are free RTP ports again")
	}
	g.d.Ports = [2]uint16{s.Port(), s.Port() + 1}
	g.d.Session = sdp.New(l.advertised(g.d.Local).Addr(), s.Port(), uint64(time.Now().UnixMilli()))
	return s, nil
}

// portsAt are the ports beside a listener.
func (l *Line) portsAt(local netip.AddrPort) *media.Ports {
	if ports := l.ports[local.Addr()]; ports != nil {
		return ports
	}
	for _, ports := range l.ports { // a TCP connection to a listener on all addresses ends at one of them
		return ports
	}
	return nil
}

// hears tells the desk what a leg hears of keys.
func (l *Line) hears(id call.ID, n call.Leg) func(what string) {
	return func(what string) { l.o.Intake.Tell(id, call.Heard{Leg: n, What: what}) }
}

// answer sends our 200 to the INVITE of a leg. A provisional response with a description in it must have its PRACK first
// (RFC 3262, 3).
func (a *actor) answer(n call.Leg) {
	g := a.legs[n]
	if g == nil || g.state != inviting || !g.d.Inbound || g.refusal != nil {
		return
	}
	if g.rel != nil && len(g.rel.res.Body()) > 0 {
		g.wanted = true
		return
	}
	body, offered := g.d.Answer, false
	switch {
	case g.d.Agreed: // a description again would be a new offer
		body = nil
	case len(body) == 0:
		body, offered = g.d.Session.Offer(sdp.SendRecv), true
	}
	if !a.accept(g, g.req, g.tx, body, offered) {
		return
	}
	g.stop(stateTimer)
	g.stop(prackTimer)
	g.state, g.d.Answered, g.d.Fresh = answered, true, time.Now()
	g.req, g.tx = nil, nil
	if !offered {
		a.hear(g, g.d.Media)
	}
	a.keep(g) // with its INVITE: the 200 may have to go out again
	a.tell(call.Answered{Leg: n})
}

// accepted is an INVITE of the peer's that we answered by 200, until its ACK.
type accepted struct {
	tx      *sipgo.ServerTx
	res     *sipgo.Response
	seq     uint32
	offered bool // the 200 holds our offer: its ACK brings the answer (13.2.1)
	over    chan struct{}
}

// acks passes on an ACK that reuses the branch of its INVITE, as RFC 2543 peers send it: it comes to the transaction.
func (l *Line) acks(u *accepted) {
	for {
		select {
		case ack := <-u.tx.Acks():
			l.inDialog(ack, func(a *actor, g *leg) { a.onAck(g, ack) })
		case <-u.over:
			return
		case <-u.tx.Done():
			return
		}
	}
}

// settle ends the wait for an ACK.
func (g *leg) settle() {
	if g.unacked != nil {
		g.stop(ackTimer)
		close(g.unacked.over)
		g.unacked = nil
	}
}

// accept answers an INVITE by 200 and repeats it until its ACK (13.3.1.4); false when its CANCEL was first.
func (a *actor) accept(g *leg, req *sipgo.Request, tx *sipgo.ServerTx, body []byte, offered bool) bool {
	res := a.success(g, req, body)
	if err := tx.Respond(res); errors.Is(err, sipgo.ErrTransactionCanceled) {
		// sipgo would now repeat the 200 by Timer G: give it its 487 back. canceled() follows.
		a.l.respond(tx, respond(req, sipgo.StatusRequestTerminated, nil))
		return false
	}
	g.settle()
	u := &accepted{tx: tx, res: res, seq: req.CSeq().SeqNo, offered: offered, over: make(chan struct{})}
	g.unacked = u
	a.l.spawn(func() { a.l.acks(u) })
	a.repeat(g, t1, time.Now().Add(lifetime))
	return true
}

// success is a 200 that makes or changes a session.
func (a *actor) success(g *leg, req *sipgo.Request, body []byte) *sipgo.Response {
	res := respond(req, sipgo.StatusOK, body)
	res.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
	res.AppendHeader(sipgo.NewHeader("Allow", allow))
	res.AppendHeader(sipgo.NewHeader("Supported", supported))
	g.d.Timer.grant(res)
	if len(body) > 0 {
		res.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
	}
	return res
}

// repeat sends the 200 again after d, then after twice that, until its ACK or 64*T1: then BYE (13.3.1.4, 14.2).
func (a *actor) repeat(g *leg, d time.Duration, until time.Time) {
	a.after(g, ackTimer, min(d, time.Until(until)), func() {
		if !time.Now().Before(until) {
			if a.unacknowledged(g) {
				return
			}
			a.bye(g, sipgo.StatusRequestTimeout)
			a.leave(g, "network", "no ACK", sipgo.StatusRequestTimeout)
			return
		}
		a.l.respond(g.unacked.tx, g.unacked.res)
		a.repeat(g, min(2*d, t2), until)
	})
}

// onAck confirms the dialog, or the change of its session.
func (a *actor) onAck(g *leg, req *sipgo.Request) {
	u := g.unacked
	if u == nil || req.CSeq().SeqNo != u.seq {
		return
	}
	g.settle()
	if u.offered {
		m, err := g.d.Session.Accept(req.Body())
		if err != nil {
			a.bye(g, sipgo.StatusNotAcceptableHere)
			a.leave(g, peer(g), "its answer can't be used", sipgo.StatusNotAcceptableHere)
			return
		}
		a.hear(g, m)
		a.keep(g)
	}
	a.confirm(g)
	switch {
	case g.hangUp != 0:
		a.drop(g.d.Leg, g.hangUp)
	case g.revive != nil && g.revive.due:
		a.knock(g)
	default:
		g.revive = nil
	}
}

// confirm begins the watch over a dialog, with its first ACK, or goes on with it.
func (a *actor) confirm(g *leg) {
	if g.state != confirmed {
		a.keeping(g, keepSoon)
	}
	g.state = confirmed
	a.arm(g)
	a.quietly(g)
}

// hear gives the stream what was agreed on, and tells the desk when a phone begins or ends to hold its call.
func (a *actor) hear(g *leg, m sdp.Media) {
	g.d.Media = m
	if !g.tune() {
		return
	}
	want := WantResume
	if g.held {
		want = WantHold
	}
	if g.who != "" {
		a.ask(g.d.Leg, want, call.Party{})
	}
}

// tune gives the stream what was agreed on; it tells whether the peer begins or ends to hold us by that.
func (g *leg) tune() bool {
	m, was := g.d.Media, g.held
	g.held = !m.Direction.Sends()
	remote := m.Remote
	if g.held {
		remote = netip.AddrPortFrom(remote.Addr(), 0)
	}
	g.stream.Set(format(m), remote)
	return g.held != was
}

func format(m sdp.Media) media.Format {
	f := media.Format{Codec: media.PCMA, Event: m.Event, EventIn: m.EventIn, Ptime: time.Duration(m.Ptime) * time.Millisecond}
	if m.Codec == sdp.PCMU {
		f.Codec = media.PCMU
	}
	if m.PayloadType != uint8(f.Codec) {
		f.Audio = m.PayloadType
	}
	return f
}

// canceled takes the peer's CANCEL. sipgo has answered the INVITE with 487 unless it missed the CANCEL; after our 200
// a CANCEL has no effect (9.2).
func (a *actor) canceled(n call.Leg, cancel *sipgo.Request, missed bool) {
	g := a.legs[n]
	if g == nil || g.state != inviting {
		return
	}
	if missed {
		a.final(g, sipgo.StatusRequestTerminated)
	}
	said := ""
	if cancel != nil {
		said = saidReason(cancel)
	}
	a.leave(g, peer(g), "canceled", sipgo.StatusRequestTerminated, said)
}

// final refuses an INVITE that came to us; it tells whether the refusal, not a CANCEL, ended it.
func (a *actor) final(g *leg, code int) bool {
	r := g.refusal
	if r == nil || r.code != code {
		if _, known := reasons[code]; !known || code < 300 {
			code = sipgo.StatusTemporarilyUnavailable
		}
		r = refuse(code)
		if code == sipgo.StatusServiceUnavailable {
			r = refuse(code, sipgo.NewHeader("Retry-After", retryAfter))
		}
	}
	err := g.tx.Respond(r.response(g.req))
	if errors.Is(err, sipgo.ErrTransactionCanceled) {
		a.l.respond(g.tx, respond(g.req, sipgo.StatusRequestTerminated, nil))
		return false
	}
	if err != nil {
		a.l.unanswered(g.tx, err)
	}
	return true
}
