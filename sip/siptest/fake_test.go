package siptest_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/siptest"
)

// fake is a trivial gateway: it challenges every REGISTER, answers every INVITE from the trunk with noise for an
// announcement, rings the takers in the order in which they registered, one at a time, and joins the two; what it does
// within dialogs is in fake_dialog_test.go. It repeats nothing and remembers nothing over a start.
type fake struct {
	n    media.Net
	addr netip.AddrPort
	conn net.PacketConn
	pass map[string]string // by user

	wg   sync.WaitGroup
	done chan struct{}

	mu      sync.Mutex
	takers  []*phoneAt
	calls   []*fakeCall
	own     []*fakeCall // that takers made
	seq     int
	stopped bool
	seen    []string // requests and responses, as they came
}

type phoneAt struct {
	user string
	at   netip.AddrPort
	busy bool
}

type fakeCall struct {
	id      call.ID
	entries []call.Entry
	caller  *fakeLeg
	taker   *fakeLeg
	legs    call.Leg
	tried   map[string]bool
	joined  bool
	over    bool
}

// fakeLeg is one dialog with its sound.
type fakeLeg struct {
	no      call.Leg
	phone   *phoneAt
	to      netip.AddrPort
	invite  *sip.Request // of either direction
	seq     uint32       // of our requests
	callID  string
	tag     string // ours
	other   string // the peer's
	sound   net.PacketConn
	remote  atomic.Pointer[netip.AddrPort] // nil until it is known
	stop    chan struct{}
	wg      sync.WaitGroup
	up, end bool

	agreed    bool   // in a reliable provisional response
	direction string // what the peer's last change said
	reason    string // of the peer's BYE
}

func newFake(n media.Net, addr netip.AddrPort, takers []siptest.Taker) (*fake, error) {
	conn, err := n.ListenPacket("udp", addr.String())
	if err != nil {
		return nil, err
	}
	f := &fake{n: n, addr: addr, conn: conn, pass: map[string]string{}, done: make(chan struct{})}
	for _, t := range takers {
		f.pass[string(t.ID)] = t.Password
	}
	f.wg.Go(f.read)
	return f, nil
}

func (f *fake) read() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := f.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		msg, err := sip.ParseMessage(unfold(buf[:n]))
		if err != nil {
			continue
		}
		src := netip.MustParseAddrPort(from.String())
		f.mu.Lock()
		switch m := msg.(type) {
		case *sip.Request:
			m.SetSource(from.String())
			f.seen = append(f.seen, string(m.Method))
			f.request(m, src)
		case *sip.Response:
			f.seen = append(f.seen, fmt.Sprint(m.StatusCode, " ", m.CSeq().MethodName))
			f.response(m)
		}
		f.mu.Unlock()
	}
}

// saw counts messages of a kind that came in: "INVITE", "200 BYE".
func (f *fake) saw(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.seen {
		if s == kind {
			n++
		}
	}
	return n
}

func (f *fake) send(m interface{ String() string }, to netip.AddrPort) {
	_, _ = f.conn.WriteTo([]byte(m.String()), net.UDPAddrFromAddrPort(to))
}

func (f *fake) respond(req *sip.Request, code int, tag string, to netip.AddrPort, with ...sip.Header) *sip.Response {
	res := sip.NewResponseFromRequest(req, code, "Because", nil)
	if code > 100 && tag != "" {
		res.To().Params.Add("tag", tag)
	}
	for _, h := range with {
		res.AppendHeader(h)
	}
	f.send(res, to)
	return res
}

func (f *fake) request(req *sip.Request, from netip.AddrPort) {
	switch req.Method {
	case sip.REGISTER:
		f.register(req, from)
	case sip.OPTIONS:
		f.respond(req, 200, "o", from)
	case sip.INVITE:
		f.invited(req, from)
	case sip.BYE:
		f.respond(req, 200, "", from)
		if c, l := f.find(req.CallID().Value()); c != nil {
			if h := req.GetHeader("Reason"); h != nil {
				l.reason = h.Value()
			}
			f.left(c, l)
		}
	case sip.CANCEL:
		f.respond(req, 200, "", from)
		c, l := f.find(req.CallID().Value())
		if c == nil || l != c.caller || l.up {
			return
		}
		f.respond(l.invite, 487, l.tag, l.to)
		f.left(c, l)
	case sip.UPDATE:
		f.changed(req, from)
	case sip.PRACK:
		f.pracked(req, from)
	case sip.REFER:
		f.referred(req, from)
	case sip.ACK:
		if _, l := f.find(req.CallID().Value()); l != nil {
			f.accepted(l, req.Body())
		}
	case sip.SUBSCRIBE, sip.NOTIFY, sip.INFO, sip.MESSAGE, sip.PUBLISH:
	}
}

func (f *fake) note(c *fakeCall, ev call.Event) {
	c.entries = append(c.entries, call.Entry{Of: c.id, N: uint32(len(c.entries) + 1), At: time.Now(), Event: ev})
}

func (f *fake) invited(req *sip.Request, from netip.AddrPort) {
	if c, _ := f.find(req.CallID().Value()); c != nil {
		if req.To().Params.Has("tag") {
			f.changed(req, from)
		}
		return
	}
	f.respond(req, 100, "", from)
	if f.pass[req.From().Address.User] != "" {
		f.dialed(req, from)
		return
	}
	if f.tooShort(req, from) {
		return
	}
	c := &fakeCall{id: call.NewID(call.Call, time.Now()), tried: map[string]bool{}, legs: 1}
	who := call.Caller{Number: req.From().Address.User, Trust: call.Claimed}
	if req.GetHeader("P-Asserted-Identity") != nil {
		who.Trust = call.Asserted
	}
	if req.From().Address.Host == "anonymous.invalid" {
		who = call.Caller{Trust: call.None}
	}
	called := req.Recipient.User
	arrived := call.Arrived{Trunk: "telkom", Called: called, SIPCallID: req.CallID().Value(), Caller: who}
	c.caller = &fakeLeg{
		to: from, invite: req, callID: req.CallID().Value(), tag: "ours" + strconv.Itoa(len(f.calls)),
		other: req.From().Params.GetOr("tag", ""), stop: make(chan struct{}),
	}
	f.calls = append(f.calls, c)
	if called != "112" {
		arrived.Reject = 404
		f.note(c, arrived)
		f.respond(req, 404, c.caller.tag, from)
		f.left(c, c.caller)
		return
	}
	f.note(c, arrived)
	f.note(c, call.Queued{Queue: "112", Since: time.Now()})
	if err := f.open(c.caller); err != nil {
		return
	}
	if f.rings(c.caller) {
		return
	}
	f.accept(c, c.caller)
}

// accept answers the INVITE of a leg.
func (f *fake) accept(c *fakeCall, l *fakeLeg) {
	res := sip.NewResponseFromRequest(l.invite, 200, "OK", nil)
	res.To().Params.Add("tag", l.tag)
	if !l.agreed {
		f.withSDP(res, f.answer(l, l.invite.Body()))
	}
	f.grant(l, l.invite, res)
	f.send(res, l.to)
	l.up = true
	f.note(c, call.Answered{Leg: l.no})
	l.wg.Go(func() { play(l) })
	f.next()
}

// answer answers an offer, or makes one where there is none.
func (f *fake) answer(l *fakeLeg, offer []byte) []byte {
	if len(offer) == 0 {
		return siptest.OfferSDP(f.local(l))
	}
	answer, m, err := siptest.AnswerSDP(offer, f.local(l))
	if err != nil {
		return nil
	}
	l.remote.Store(&m.Remote)
	return answer
}

func (f *fake) withSDP(m sip.Message, body []byte) {
	kind := sip.ContentTypeHeader("application/sdp")
	m.AppendHeader(&sip.ContactHeader{Address: sip.Uri{Host: f.addr.Addr().String(), Port: int(f.addr.Port())}})
	m.AppendHeader(&kind)
	m.SetBody(body)
}

func (f *fake) open(l *fakeLeg) (err error) {
	l.sound, err = f.n.ListenPacket("udp", netip.AddrPortFrom(f.addr.Addr(), 0).String())
	return err
}

func (f *fake) local(l *fakeLeg) netip.AddrPort {
	return netip.MustParseAddrPort(l.sound.LocalAddr().String())
}

// play is the announcement: a packet of random A-law every 20 ms until stop; or, where a taker dialed *3, the first two
// people at once.
func play(l *fakeLeg) {
	r := rand.New(rand.NewPCG(1, 2))
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 8}, Payload: make([]byte, 160)}
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		for i := range p.Payload {
			p.Payload[i] = byte(r.Uint32())
		}
		if l.invite.Recipient.User == "*3" {
			p.Payload = mixed(siptest.Apart(0), siptest.Apart(1))
		}
		p.SequenceNumber++
		if b, err := p.Marshal(); err == nil {
			_, _ = l.sound.WriteTo(b, net.UDPAddrFromAddrPort(l.hears()))
		}
	}
}

// next offers the oldest waiting call to the first free taker.
func (f *fake) next() {
	for _, c := range f.calls {
		if c.over || c.taker != nil || !c.caller.up {
			continue
		}
		for _, t := range f.takers {
			if !t.busy && !c.tried[t.user] {
				f.offer(c, t)
				break
			}
		}
	}
}

func (f *fake) offer(c *fakeCall, t *phoneAt) {
	f.seq++
	l := &fakeLeg{
		no: c.legs, phone: t, to: t.at, callID: fmt.Sprintf("out-%d", f.seq), tag: fmt.Sprintf("leg-%d", f.seq), stop: make(chan struct{}),
	}
	c.legs++
	if f.open(l) != nil {
		return
	}
	t.busy, c.tried[t.user], c.taker = true, true, l
	l.invite = f.outgoing(l, sip.INVITE)
	l.invite.AppendHeader(sip.NewHeader("Supported", "100rel, timer"))
	f.withSDP(l.invite, siptest.OfferSDP(f.local(l)))
	f.note(c, call.Offered{Leg: l.no, To: call.Party{Taker: call.TakerID(t.user)}, For: "answer", As: call.Talking})
	f.send(l.invite, l.to)
}

// outgoing makes a request of ours, the next one in its dialog; ACK and CANCEL are about the first.
func (f *fake) outgoing(l *fakeLeg, m sip.RequestMethod) *sip.Request {
	seq := uint32(1)
	if m != sip.ACK && m != sip.CANCEL {
		l.seq++
		seq = l.seq
	}
	target := sip.Uri{Host: l.to.Addr().String(), Port: int(l.to.Port())}
	req := sip.NewRequest(m, target)
	via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: f.addr.Addr().String(), Port: int(f.addr.Port())}
	via.Params.Add("branch", fmt.Sprintf("z9hG4bK%s-%d", l.callID, seq))
	from := &sip.FromHeader{Address: sip.Uri{User: "112", Host: f.addr.Addr().String()}}
	from.Params.Add("tag", l.tag)
	to := &sip.ToHeader{Address: target}
	if l.other != "" {
		to.Params.Add("tag", l.other)
	}
	id := sip.CallIDHeader(l.callID)
	for _, h := range []sip.Header{via, from, to, &id, &sip.CSeqHeader{SeqNo: seq, MethodName: m}} {
		req.AppendHeader(h)
	}
	if m == sip.CANCEL || m == sip.BYE {
		req.AppendHeader(sip.NewHeader("Reason", `SIP;cause=200;text="Call completed elsewhere"`))
	}
	return req
}

func (f *fake) response(res *sip.Response) {
	c, l := f.find(res.CallID().Value())
	if c != nil && l.up && res.StatusCode >= 200 && (res.CSeq().SeqNo > 1 || l == c.caller) {
		f.agreed(l, res)
		return
	}
	if c == nil || l == c.caller || res.CSeq().MethodName != sip.INVITE || l.end && res.StatusCode < 200 {
		return
	}
	switch {
	case res.StatusCode < 200:
		if res.StatusCode > 100 {
			f.rang(c, l, res)
		}
	case res.StatusCode >= 300:
		ack := f.outgoing(l, sip.ACK)
		f.send(ack, l.to)
		f.lost(c, l, res.StatusCode)
	case res.StatusCode >= 200:
		l.other = res.To().Params.GetOr("tag", "")
		ack := f.outgoing(l, sip.ACK)
		ack.Via().Params.Add("branch", "z9hG4bK-ack-"+l.callID)
		f.send(ack, l.to)
		if l.up {
			return
		}
		l.up = true
		if l.end {
			f.bye(l, "")
			return
		}
		f.accepted(l, res.Body())
		f.follow(l, res)
		f.note(c, call.Answered{Leg: l.no})
		f.join(c)
	}
}

// lost is a taker's leg that has come to nothing.
func (f *fake) lost(c *fakeCall, l *fakeLeg, code int) {
	l.phone.busy = false
	if !l.end {
		l.end = true
		f.note(c, call.Left{Leg: l.no, By: "taker", Code: code})
	}
	f.shut(l)
	if c.taker == l {
		c.taker = nil
	}
	f.next()
}

func (f *fake) join(c *fakeCall) {
	c.joined = true
	close(c.caller.stop)
	c.caller.wg.Wait()
	c.caller.stop = make(chan struct{})
	f.note(c, call.RoleSet{Leg: 0, Role: call.Talking})
	f.note(c, call.RoleSet{Leg: c.taker.no, Role: call.Talking})
	a, b := c.caller, c.taker
	a.wg.Go(func() { relay(a, b) })
	b.wg.Go(func() { relay(b, a) })
}

// hears is where the leg's peer receives; nobody listens at port 9.
func (l *fakeLeg) hears() netip.AddrPort {
	if at := l.remote.Load(); at != nil {
		return *at
	}
	return netip.MustParseAddrPort("10.0.0.1:9")
}

func relay(from, to *fakeLeg) {
	buf := make([]byte, 1500)
	for {
		n, _, err := from.sound.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = to.sound.WriteTo(buf[:n], net.UDPAddrFromAddrPort(to.hears()))
	}
}

// bye hangs up, with the reason of the one who left first.
func (f *fake) bye(l *fakeLeg, reason string) {
	req := f.outgoing(l, sip.BYE)
	if reason != "" {
		req.RemoveHeader("Reason")
		req.AppendHeader(sip.NewHeader("Reason", reason))
	}
	f.send(req, l.to)
}

// left ends a call because of l.
func (f *fake) left(c *fakeCall, l *fakeLeg) {
	if c.over {
		return
	}
	c.over = true
	by := "caller"
	if l != c.caller {
		by = "taker"
	}
	for _, leg := range []*fakeLeg{l, c.caller, c.taker} {
		if leg == nil || leg.end {
			continue
		}
		leg.end = true
		switch {
		case leg == l:
		case leg.up:
			f.bye(leg, l.reason)
		default:
			f.send(f.outgoing(leg, sip.CANCEL), leg.to)
		}
		f.note(c, call.Left{Leg: leg.no, By: by, Reason: leg.reason})
		by = "desk"
		if leg.phone != nil && leg.up {
			leg.phone.busy = false
		}
		f.shut(leg)
	}
	outcome := call.WasAbandoned
	switch {
	case c.joined:
		outcome = call.WasAnswered
	case !c.caller.up:
		outcome = call.WasRejected
	}
	f.note(c, call.Ended{Outcome: outcome})
	f.next()
}

func (f *fake) shut(l *fakeLeg) {
	select {
	case <-l.stop:
		return
	default:
	}
	close(l.stop)
	if l.sound != nil {
		_ = l.sound.Close()
	}
}

func (f *fake) find(callID string) (*fakeCall, *fakeLeg) {
	for _, c := range append(slices.Clone(f.calls), f.own...) {
		for _, l := range []*fakeLeg{c.caller, c.taker} {
			if l != nil && l.callID == callID {
				return c, l
			}
		}
	}
	return nil, nil
}
