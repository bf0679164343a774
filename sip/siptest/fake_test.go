package siptest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/sdp"
	"github.com/siaga112/siaga112/sip/siptest"
)

// fake is a trivial gateway: it challenges every REGISTER, answers every INVITE from the trunk with noise for an
// announcement, rings the takers in the order in which they registered, one at a time, and joins the two. It repeats
// nothing and remembers nothing over a start.
type fake struct {
	n    media.Net
	addr netip.AddrPort
	conn net.PacketConn
	pass map[string]string // by user

	wg sync.WaitGroup

	mu      sync.Mutex
	takers  []*phoneAt
	calls   []*fakeCall
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
	callID  string
	tag     string // ours
	other   string // the peer's
	sound   net.PacketConn
	remote  netip.AddrPort
	stop    chan struct{}
	wg      sync.WaitGroup
	up, end bool
}

func newFake(n media.Net, addr netip.AddrPort, takers []siptest.Taker) (*fake, error) {
	conn, err := n.ListenPacket("udp", addr.String())
	if err != nil {
		return nil, err
	}
	f := &fake{n: n, addr: addr, conn: conn, pass: map[string]string{}}
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
		msg, err := sip.ParseMessage(buf[:n])
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
	case sip.ACK, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER, sip.INFO, sip.MESSAGE, sip.PRACK, sip.UPDATE, sip.PUBLISH:
	}
}

func (f *fake) register(req *sip.Request, from netip.AddrPort) {
	user := req.From().Address.User
	h := req.GetHeader("Authorization")
	challenge := &digest.Challenge{Realm: "test", Nonce: "n1", QOP: []string{"auth"}, Algorithm: "MD5"}
	if h == nil {
		sha := *challenge
		sha.Algorithm = "SHA-256"
		f.respond(req, 401, "r", from, sip.NewHeader("WWW-Authenticate", sha.String()),
			sip.NewHeader("WWW-Authenticate", challenge.String()))
		return
	}
	got, err := digest.ParseCredentials(h.Value())
	if err != nil {
		f.respond(req, 400, "r", from)
		return
	}
	want, err := digest.Digest(challenge, digest.Options{
		Method: "REGISTER", URI: got.URI, Count: got.Nc, Username: user, Password: f.pass[user], Cnonce: got.Cnonce,
	})
	if err != nil || want.Response != got.Response || f.pass[user] == "" {
		f.respond(req, 403, "r", from)
		return
	}
	f.takers = deleteTaker(f.takers, user)
	contact := req.Contact()
	expires := req.GetHeader("Expires")
	if expires == nil || expires.Value() != "0" {
		at := netip.AddrPortFrom(netip.MustParseAddr(contact.Address.Host), uint16(contact.Address.Port))
		f.takers = append(f.takers, &phoneAt{user: user, at: at})
		contact.Params.Add("expires", "60")
		f.respond(req, 200, "r", from, contact)
		f.next()
		return
	}
	f.respond(req, 200, "r", from)
}

func deleteTaker(all []*phoneAt, user string) []*phoneAt {
	var rest []*phoneAt
	for _, t := range all {
		if t.user != user {
			rest = append(rest, t)
		}
	}
	return rest
}

func (f *fake) note(c *fakeCall, ev call.Event) {
	c.entries = append(c.entries, call.Entry{Of: c.id, N: uint32(len(c.entries) + 1), At: time.Now(), Event: ev})
}

func (f *fake) invited(req *sip.Request, from netip.AddrPort) {
	if c, _ := f.find(req.CallID().Value()); c != nil {
		return
	}
	f.respond(req, 100, "", from)
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
	answer, m, err := sdp.Answer(req.Body(), f.local(c.caller))
	if err != nil {
		f.respond(req, 488, c.caller.tag, from)
		return
	}
	c.caller.remote = m.Remote
	res := sip.NewResponseFromRequest(req, 200, "OK", nil)
	res.To().Params.Add("tag", c.caller.tag)
	f.withSDP(res, answer)
	f.send(res, from)
	c.caller.up = true
	f.note(c, call.Answered{Leg: 0})
	c.caller.wg.Go(func() { noise(c.caller) })
	f.next()
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

func (f *fake) local(l *fakeLeg) sdp.Local {
	a := netip.MustParseAddrPort(l.sound.LocalAddr().String())
	return sdp.Local{Addr: a.Addr(), Port: a.Port(), Session: 1, Version: 1}
}

// noise is the announcement: a packet of random A-law every 20 ms until stop.
func noise(l *fakeLeg) {
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
		p.SequenceNumber++
		if b, err := p.Marshal(); err == nil {
			_, _ = l.sound.WriteTo(b, net.UDPAddrFromAddrPort(l.remote))
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
	l.invite = f.outgoing(l, sip.INVITE, 1)
	f.withSDP(l.invite, sdp.Offer(f.local(l)))
	f.note(c, call.Offered{Leg: l.no, To: call.Party{Taker: call.TakerID(t.user)}, For: "answer", As: call.Talking})
	f.send(l.invite, l.to)
}

func (f *fake) outgoing(l *fakeLeg, m sip.RequestMethod, seq uint32) *sip.Request {
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
	if c == nil || l == c.caller || res.CSeq().MethodName != sip.INVITE || l.end && res.StatusCode < 200 {
		return
	}
	switch {
	case res.StatusCode == 180:
		f.note(c, call.Rang{Leg: l.no})
	case res.StatusCode >= 300:
		ack := f.outgoing(l, sip.ACK, 1)
		f.send(ack, l.to)
		f.lost(c, l, res.StatusCode)
	case res.StatusCode >= 200:
		l.other = res.To().Params.GetOr("tag", "")
		ack := f.outgoing(l, sip.ACK, 1)
		ack.Via().Params.Add("branch", "z9hG4bK-ack-"+l.callID)
		f.send(ack, l.to)
		if l.up {
			return
		}
		l.up = true
		if l.end {
			f.bye(l)
			return
		}
		if m, err := sdp.Accept(res.Body()); err == nil {
			l.remote = m.Remote
		}
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

func relay(from, to *fakeLeg) {
	buf := make([]byte, 1500)
	for {
		n, _, err := from.sound.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = to.sound.WriteTo(buf[:n], net.UDPAddrFromAddrPort(to.remote))
	}
}

func (f *fake) bye(l *fakeLeg) { f.send(f.outgoing(l, sip.BYE, 2), l.to) }

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
			f.bye(leg)
		default:
			f.send(f.outgoing(leg, sip.CANCEL, 1), leg.to)
		}
		f.note(c, call.Left{Leg: leg.no, By: by})
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
	for _, c := range f.calls {
		for _, l := range []*fakeLeg{c.caller, c.taker} {
			if l != nil && l.callID == callID {
				return c, l
			}
		}
	}
	return nil, nil
}

// Kill, Stop, Order, Calls and Check are those of siptest.Gateway.
func (f *fake) Kill() {
	_ = f.conn.Close()
	f.wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		for _, l := range []*fakeLeg{c.caller, c.taker} {
			if l != nil {
				f.shut(l)
				l.wg.Wait()
			}
		}
	}
}

func (f *fake) Stop(context.Context) error {
	f.mu.Lock()
	for _, c := range f.calls {
		if !c.over {
			f.note(c, call.Restored{Node: "fake"})
			f.left(c, &fakeLeg{end: true})
		}
	}
	f.stopped = true
	f.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	f.Kill()
	return nil
}

func (f *fake) Order(_ context.Context, o siptest.Order) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.id == o.Of && o.Verb == "classify" {
			f.note(c, call.Classified{By: o.By, Kind: call.Kind(o.Text)})
			return nil
		}
	}
	return errors.New("no such call")
}

func (f *fake) Calls(context.Context) ([][]call.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all [][]call.Entry
	for _, c := range f.calls {
		all = append(all, c.entries)
	}
	return all, nil
}

func (f *fake) Check(context.Context) (siptest.Counts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := siptest.Counts{Arrived: len(f.calls)}
	for _, c := range f.calls {
		if c.over {
			n.Ended++
			n.Leaves++
			continue
		}
		n.Live++
		n.Legs++
		n.Ports++
	}
	return n, nil
}

var gatewayAddr = netip.MustParseAddrPort("10.0.0.1:5060")

func startFake(t *testing.T, n *siptest.Network, takers ...siptest.Taker) *fake {
	t.Helper()
	f, err := newFake(n.Host(gatewayAddr.Addr()).Net(), gatewayAddr, takers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Kill)
	return f
}
