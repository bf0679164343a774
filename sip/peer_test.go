package sip_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// message is what came in, with the time when it did.
type message struct {
	at   time.Duration
	text string
}

func (m message) start() string {
	s, _, _ := strings.Cut(m.text, "\r\n")
	return s
}

// header is the first value of a header, "" without one.
func (m message) header(name string) string {
	if all := m.headers(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (m message) headers(name string) []string {
	head, _, _ := strings.Cut(m.text, "\r\n\r\n")
	var out []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

func (m message) body() string {
	_, b, _ := strings.Cut(m.text, "\r\n\r\n")
	return b
}

// tag is the tag of From or To.
func (m message) tag(name string) string { return param(m.header(name), "tag") }

func param(value, name string) string {
	_, v, ok := strings.Cut(value, ";"+name+"=")
	if !ok {
		return ""
	}
	v, _, _ = strings.Cut(v, ";")
	return v
}

// uri is what stands between the angle brackets of a header.
func (m message) uri(name string) string {
	_, v, _ := strings.Cut(m.header(name), "<")
	v, _, _ = strings.Cut(v, ">")
	return v
}

// rtp is the address that the SDP of the message names.
func (m message) rtp(tb testing.TB) netip.AddrPort {
	tb.Helper()
	var host, port string
	for line := range strings.SplitSeq(m.body(), "\r\n") {
		if v, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			host = v
		}
		if v, ok := strings.CutPrefix(line, "m=audio "); ok {
			port, _, _ = strings.Cut(v, " ")
		}
	}
	a, err := netip.ParseAddrPort(host + ":" + port)
	if err != nil {
		tb.Fatalf("no SDP in\n%s", m.text)
	}
	return a
}

// peer is a socket that speaks SIP as it is told and answers nothing by itself.
type peer struct {
	tb     testing.TB
	host   netip.Addr
	addr   netip.AddrPort
	to     net.Addr
	write  func([]byte) error
	close  func() error
	got    chan message
	back   []message // taken out of turn: they come next
	ignore []string  // begins of the start lines that are dropped unseen
}

// peer opens a UDP socket on port 5060 of a host.
func (r *rig) peer(host string) *peer {
	r.tb.Helper()
	return r.peerAt(host, 5060)
}

func (r *rig) peerAt(host string, port uint16) *peer {
	r.tb.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(host), port)
	conn, err := r.network.Host(at.Addr()).Net().ListenPacket("udp", at.String())
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() { _ = conn.Close() })
	return newUDPPeer(r.tb, r.start, conn, netip.MustParseAddrPort(gateway+":5060"))
}

func newUDPPeer(tb testing.TB, start time.Time, conn net.PacketConn, to netip.AddrPort) *peer {
	tb.Helper()
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	p := &peer{tb: tb, host: at.Addr(), addr: at, to: net.UDPAddrFromAddrPort(to), got: make(chan message, 10_000)}
	p.write = func(b []byte) error { _, err := conn.WriteTo(b, p.to); return err }
	p.close = conn.Close
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				close(p.got)
				return
			}
			p.got <- message{at: time.Since(start), text: string(buf[:n])}
		}
	}()
	return p
}

// tcpPeer connects over TCP.
func (r *rig) tcpPeer(host string) (*peer, net.Conn) {
	r.tb.Helper()
	ip := netip.MustParseAddr(host)
	conn, err := r.network.Host(ip).Net().Dial(context.Background(), "tcp", gateway+":5060")
	if err != nil {
		r.tb.Fatal(err)
	}
	return newTCPPeer(r.tb, r.start, conn), conn
}

// newTCPPeer reads messages from a connection; each ends with the length that it names.
func newTCPPeer(tb testing.TB, start time.Time, conn net.Conn) *peer {
	tb.Helper()
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	p := &peer{tb: tb, host: at.Addr(), addr: at, got: make(chan message, 10_000)}
	p.write = func(b []byte) error { _, err := conn.Write(b); return err }
	p.close = conn.Close
	tb.Cleanup(func() { _ = conn.Close() })
	go func() {
		defer close(p.got)
		var text string
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			text += string(buf[:n])
			for {
				head, rest, ok := strings.Cut(text, "\r\n\r\n")
				var length int
				m := message{at: time.Since(start), text: head + "\r\n\r\n"}
				if ok {
					_, _ = fmt.Sscan(m.header("Content-Length"), &length)
				}
				if !ok || len(rest) < length {
					break
				}
				m.text += rest[:length]
				text = rest[length:]
				p.got <- m
			}
		}
	}()
	return p
}

// send sends a text whose lines end with plain newlines.
func (p *peer) send(text string) {
	p.tb.Helper()
	text = strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\n", "\r\n")
	if err := p.write([]byte(text)); err != nil && !errors.Is(err, net.ErrClosed) {
		p.tb.Fatal(err)
	}
}

// next is the next message within d.
func (p *peer) next(d time.Duration) (message, bool) {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for {
		m, ok := p.take(limit.C)
		if !ok || !slices.ContainsFunc(p.ignore, func(s string) bool { return strings.HasPrefix(m.start(), s) }) {
			return m, ok
		}
	}
}

// take is the next message, seen or not; what is there already comes before the limit.
func (p *peer) take(limit <-chan time.Time) (m message, ok bool) {
	if len(p.back) > 0 {
		m, p.back = p.back[0], p.back[1:]
		return m, true
	}
	select {
	case m, ok = <-p.got:
		return m, ok
	default:
	}
	select {
	case m, ok = <-p.got:
		return m, ok
	case <-limit:
		return message{}, false
	}
}

// wantPast is like wantWithin, but an OPTIONS may come first: it then comes next.
func (p *peer) wantPast(start string, d time.Duration) message {
	p.tb.Helper()
	m := p.wantWithin("", d)
	if strings.HasPrefix(m.start(), "OPTIONS") {
		first := m
		defer func() { p.back = append(p.back, first) }()
		m = p.wantWithin(start, d)
	}
	if !strings.HasPrefix(m.start(), start) {
		p.tb.Fatalf("%s: got at %s, want %s:\n%s", p.addr, m.at, start, m.text)
	}
	return m
}

// want is the next message, which must begin like that and come within a second.
func (p *peer) want(start string) message {
	p.tb.Helper()
	return p.wantWithin(start, time.Second)
}

func (p *peer) wantWithin(start string, d time.Duration) message {
	p.tb.Helper()
	m, ok := p.next(d)
	if !ok {
		p.tb.Fatalf("%s: nothing came within %s, want %s", p.addr, d, start)
	}
	if !strings.HasPrefix(m.start(), start) {
		p.tb.Fatalf("%s: got at %s, want %s:\n%s", p.addr, m.at, start, m.text)
	}
	return m
}

// find is the first message that begins like that; what comes before it is dropped.
func (p *peer) find(start string, d time.Duration) message {
	p.tb.Helper()
	until := time.Now().Add(d)
	for {
		m, ok := p.next(time.Until(until))
		if !ok {
			p.tb.Fatalf("%s: no %s within %s", p.addr, start, d)
		}
		if strings.HasPrefix(m.start(), start) {
			return m
		}
	}
}

// none holds that nothing comes for d.
func (p *peer) none(d time.Duration) {
	p.tb.Helper()
	if m, ok := p.next(d); ok {
		p.tb.Fatalf("%s: got at %s, want nothing:\n%s", p.addr, m.at, m.text)
	}
}

// drain is everything that comes for d.
func (p *peer) drain(d time.Duration) []message {
	var out []message
	until := time.Now().Add(d)
	for {
		m, ok := p.next(time.Until(until))
		if !ok {
			return out
		}
		out = append(out, m)
	}
}

// reply answers a request: status line, the headers that must be copied, more headers, and an SDP body for a tag with one.
func (p *peer) reply(req message, status, tag string, more ...string) {
	p.tb.Helper()
	p.send(response(req, status, tag, "", more...))
}

// replySDP answers an INVITE with a session.
func (p *peer) replySDP(req message, status, tag string, more ...string) {
	p.tb.Helper()
	p.send(response(req, status, tag, session(p.host.String(), 4000), more...))
}

func response(req message, status, tag, body string, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %s\n", status)
	for _, name := range []string{"Via", "Record-Route"} {
		for _, v := range req.headers(name) {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintf(&b, "From: %s\nTo: %s", req.header("From"), req.header("To"))
	if tag != "" && req.tag("To") == "" {
		b.WriteString(";tag=" + tag)
	}
	fmt.Fprintf(&b, "\nCall-ID: %s\nCSeq: %s\n", req.header("Call-ID"), req.header("CSeq"))
	for _, h := range more {
		b.WriteString(h + "\n")
	}
	if body != "" {
		b.WriteString("Content-Type: application/sdp\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\n\n%s", sdpLength(body), body)
	return b.String()
}

func sdpLength(body string) int { return len(strings.ReplaceAll(body, "\n", "\r\n")) }

func session(host string, port int) string {
	return fmt.Sprintf(`v=0
o=- 1 1 IN IP4 %[1]s
s=-
c=IN IP4 %[1]s
t=0 0
m=audio %[2]d RTP/AVP 8 0 101
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
`, host, port)
}

// caller is one call from a trunk, as text.
type caller struct {
	*peer
	r      *rig
	callID string
	branch string
	from   string // tag
	to     string // tag, ours
	cseq   int
	uri    string
	target string // the gateway's Contact
	id     call.ID
}

var calls int

// caller prepares a call to 112. Its 100 is not seen: whether one comes is the transaction's affair.
func (r *rig) caller(p *peer) *caller {
	calls++
	if !slices.Contains(p.ignore, "SIP/2.0 100") {
		p.ignore = append(p.ignore, "SIP/2.0 100")
	}
	return &caller{
		peer: p, r: r, callID: fmt.Sprintf("call%d@trunk", calls), branch: fmt.Sprintf("z9hG4bKb%d", calls), from: fmt.Sprintf("f%d", calls),
		cseq: 1, uri: "sip:112@" + gateway, target: "sip:112@" + gateway,
	}
}

// invite is the INVITE; each pair replaces a text in it, and the length fits.
func (c *caller) invite(pairs ...string) string {
	text := fmt.Sprintf(`INVITE %s SIP/2.0
Via: SIP/2.0/UDP %s;branch=%s;rport
Max-Forwards: 70
From: <sip:+628115550001@trunk>;tag=%s
To: <sip:112@%s>
Call-ID: %s
CSeq: %d INVITE
Contact: <sip:caller@%s>
P-Asserted-Identity: <tel:+628115550001>
Content-Type: application/sdp
Content-Length: LENGTH

%s`, c.uri, c.addr, c.branch, c.from, gateway, c.callID, c.cseq, c.addr, session(c.host.String(), 4000))
	text = strings.NewReplacer(pairs...).Replace(text)
	_, body, _ := strings.Cut(text, "\n\n")
	return strings.Replace(text, "LENGTH", fmt.Sprint(sdpLength(body)), 1)
}

// request is a request in the dialog, with a branch of its own; without a body.
func (c *caller) request(method string, cseq int, pairs ...string) string {
	calls++
	return c.requestWith(fmt.Sprintf("z9hG4bKr%d", calls), method, cseq, pairs...)
}

func (c *caller) requestWith(branch, method string, cseq int, pairs ...string) string {
	to := ""
	if c.to != "" {
		to = ";tag=" + c.to
	}
	text := fmt.Sprintf(`%s %s SIP/2.0
Via: SIP/2.0/UDP %s;branch=%s;rport
Max-Forwards: 70
From: <sip:+628115550001@trunk>;tag=%s
To: <sip:112@%s>%s
Call-ID: %s
CSeq: %d %s
Content-Length: 0

`, method, c.target, c.addr, branch, c.from, gateway, to, c.callID, cseq, method)
	return strings.NewReplacer(pairs...).Replace(text)
}

// ack acknowledges a 2xx.
func (c *caller) ack() { c.tb.Helper(); c.send(c.request("ACK", c.cseq)) }

// ackFinal acknowledges a refusal: in the INVITE's branch.
func (c *caller) ackFinal() { c.tb.Helper(); c.send(c.requestWith(c.branch, "ACK", c.cseq)) }

// cancel is the CANCEL of the INVITE.
func (c *caller) cancel() string {
	before := *c
	before.to, before.target = "", c.uri
	return before.requestWith(c.branch, "CANCEL", c.cseq)
}

// arrive sends the INVITE and waits until it is told.
func (c *caller) arrive(pairs ...string) *caller {
	c.tb.Helper()
	before := len(c.r.ids())
	c.send(c.invite(pairs...))
	pass(5 * time.Millisecond)
	ids := c.r.ids()
	if len(ids) != before+1 {
		c.tb.Fatalf("%d calls arrived, want one", len(ids)-before)
	}
	c.id = ids[before]
	return c
}

// answered takes the 200 and its names.
func (c *caller) answered() message {
	c.tb.Helper()
	m := c.want("SIP/2.0 200")
	c.to, c.target = m.tag("To"), m.uri("Contact")
	return m
}

// talk is a whole call up to its ACK.
func (c *caller) talk() *caller {
	c.tb.Helper()
	c.arrive()
	c.r.line.Answer(c.id, 0)
	c.answered()
	c.ack()
	pass(10 * time.Millisecond)
	return c
}
