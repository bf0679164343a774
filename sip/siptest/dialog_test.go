package siptest_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/sip/siptest"
)

// wire is a gateway that says only what a test writes.
type wire struct {
	t     *testing.T
	conn  net.PacketConn
	phone netip.AddrPort
}

func newWire(t *testing.T, n *siptest.Network) *wire {
	t.Helper()
	return &wire{t, listen(t, n, gatewayAddr.String()), netip.MustParseAddrPort("10.0.1.1:5060")}
}

// send sends a request or a response; the lines are completed with Content-Length.
func (w *wire) send(body string, lines ...string) {
	w.t.Helper()
	if body != "" {
		lines = append(lines, "Content-Type: application/sdp")
	}
	text := strings.Join(lines, "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := w.conn.WriteTo([]byte(text), net.UDPAddrFromAddrPort(w.phone)); err != nil {
		w.t.Fatal(err)
	}
}

// request sends a request of the call "c1" with that branch, and lines of its own.
func (w *wire) request(method, branch string, seq int, toTag, body string, more ...string) {
	w.t.Helper()
	to := "To: <sip:anna@10.0.1.1>"
	if toTag != "" {
		to += ";tag=" + toTag
	}
	lines := append([]string{
		method + " sip:anna@10.0.1.1:5060 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK" + branch,
		"From: <sip:112@10.0.0.1>;tag=ours", to, "Call-ID: c1", fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: <sip:10.0.0.1:5060>",
	}, more...)
	w.send(body, lines...)
}

// next is the next message from the phone.
func (w *wire) next() sip.Message {
	w.t.Helper()
	buf := make([]byte, 4096)
	if err := w.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	n, _, err := w.conn.ReadFrom(buf)
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := sip.ParseMessage(buf[:n])
	if err != nil {
		w.t.Fatalf("%v in %q", err, buf[:n])
	}
	return msg
}

// wantCode reads a response.
func (w *wire) wantCode(code int) *sip.Response {
	w.t.Helper()
	msg := w.next()
	res, ok := msg.(*sip.Response)
	if !ok || res.StatusCode != code {
		w.t.Fatalf("want %d, got %s", code, msg)
	}
	return res
}

// wantRequest reads a request.
func (w *wire) wantRequest(method string) *sip.Request {
	w.t.Helper()
	msg := w.next()
	req, ok := msg.(*sip.Request)
	if !ok || string(req.Method) != method {
		w.t.Fatalf("want %s, got %s", method, msg)
	}
	return req
}

// answer responds to a request of the phone.
func (w *wire) answer(req *sip.Request, code int, tag, body string, more ...string) {
	w.t.Helper()
	res := sip.NewResponseFromRequest(req, code, "Because", nil)
	if tag != "" {
		res.To().Params.Add("tag", tag)
	}
	head, _, _ := strings.Cut(res.String(), "\r\nContent-Length")
	w.send(body, append(strings.Split(head, "\r\n"), more...)...)
}

// soundAddr is where the wire gateway hears.
var soundAddr = netip.AddrPortFrom(gatewayAddr.Addr(), 9000)

func offer() string { return string(siptest.OfferSDP(soundAddr)) }

func tagOf(res *sip.Response) string { return res.To().Params.GetOr("tag", "") }

func TestTakenCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		p, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna", Voice: 1})
		route := "Record-Route: <sip:10.0.0.1:5060;lr>"
		w.request("INVITE", "a", 1, "", "", route)
		w.wantCode(100)
		w.request("INVITE", "a", 1, "", "", route) // repeated: answered again, not seen again
		w.wantCode(100)
		synctest.Wait()
		c := d.last().Call
		if c.Peer != "112" || c.Out {
			t.Errorf("call %+v", c)
		}
		_ = c.Answer(180)
		tag := tagOf(w.wantCode(180))
		_ = c.Answer(200)
		ok := w.wantCode(200)
		if tagOf(ok) != tag || tag == "" {
			t.Errorf("tag %q after %q", tagOf(ok), tag)
		}
		answer, _, err := siptest.AnswerSDP(ok.Body(), soundAddr) // the INVITE had no offer: the phone makes one
		if err != nil {
			t.Fatal(err)
		}
		rtp := listen(t, n, "10.0.0.1:9000")
		w.request("ACK", "a-ack", 1, tag, string(answer))
		<-c.Up()
		c.Say(20 * time.Millisecond)
		if got := len(receive(t, rtp)); got != 1 {
			t.Errorf("%d packets at the port of the ACK's answer, want 1", got)
		}
		if diff := cmp.Diff(pressed5, press(t, c, rtp)); diff != "" {
			t.Error(diff)
		}
		w.request("INVITE", "b", 2, tag, offer()) // a re-INVITE
		w.wantCode(100)
		w.wantCode(200)
		w.request("ACK", "b-ack", 2, tag, "")
		for _, m := range []string{"OPTIONS", "NOTIFY"} {
			w.request(m, m, 3, tag, "")
			w.wantCode(200)
		}
		w.request("REFER", "r", 4, tag, "", "Refer-To: <sip:113@10.0.0.1>")
		w.wantCode(501)
		_ = c.Bye()
		bye := w.wantRequest("BYE")
		if r := bye.Route(); r == nil || bye.Recipient.Port != 5060 || bye.CSeq().SeqNo == 0 {
			t.Errorf("BYE %s", bye)
		}
		w.answer(bye, 200, "", "")
		<-c.Done()
		if err := p.Idle(t.Context()); err != nil {
			t.Error(err)
		}
		w.request("OPTIONS", "late", 5, tag, "")
		w.wantCode(481)
		w.request("BYE", "late", 6, tag, "", `Reason: Q.850;text="a, b";cause=16 , X`, `Reason: Y, SIP ;cause=503;text="stopping"`)
		w.wantCode(481)
		if e := d.last(); e.Cause != 503 || e.Q850 != 16 {
			t.Errorf("causes %d and %d, want 503 and 16", e.Cause, e.Q850)
		}
		if diff := cmp.Diff([]string{"INVITE", "reINVITE", "REFER", "BYE"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// event is a packet of telephone-event: the marker, how far it is in time and number, and its payload.
type event struct {
	Marker  bool
	Number  uint16
	Payload [4]byte
}

// pressed5 is the key 5: RFC 4733, 2.5.
var pressed5 = []event{
	{true, 0, [4]byte{5, 10, 0, 160}},
	{false, 1, [4]byte{5, 10, 320 >> 8, 320 & 0xff}},
	{false, 2, [4]byte{5, 10, 480 >> 8, 480 & 0xff}},
	{false, 3, [4]byte{5, 10, 640 >> 8, 640 & 0xff}},
	{false, 4, [4]byte{5, 10, 800 >> 8, 800 & 0xff}},
	{false, 5, [4]byte{5, 0x8a, 800 >> 8, 800 & 0xff}},
	{false, 6, [4]byte{5, 0x8a, 800 >> 8, 800 & 0xff}},
	{false, 7, [4]byte{5, 0x8a, 800 >> 8, 800 & 0xff}},
}

// press presses 5 and reads what comes of it; all packets have the timestamp of the first.
func press(t *testing.T, c *siptest.Call, conn net.PacketConn) []event {
	t.Helper()
	if err := c.Press('5'); err != nil {
		t.Fatal(err)
	}
	if err := c.Press('x'); err == nil {
		t.Error("x was pressed")
	}
	var got []event
	var first rtp.Packet
	for i, b := range receive(t, conn) {
		var p rtp.Packet
		if err := p.Unmarshal([]byte(b)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = p
		}
		if p.PayloadType != 101 || p.Timestamp != first.Timestamp || p.SSRC != first.SSRC {
			t.Errorf("packet %d: %+v", i, p.Header)
		}
		got = append(got, event{p.Marker, p.SequenceNumber - first.SequenceNumber, [4]byte(p.Payload)})
	}
	return got
}

func TestRequestsOfNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.send("", "this is", "no SIP")
		for _, method := range []string{"OPTIONS", "NOTIFY"} {
			w.request(method, method, 1, "", "")
			w.wantCode(200)
		}
		for _, method := range []string{"OPTIONS", "BYE", "CANCEL", "INVITE"} {
			w.request(method, method+"2", 2, "gone", "")
			w.wantCode(481)
		}
		w.request("ACK", "x", 3, "gone", "")
		w.request("BYE", "ringing", 3, "", "")
		w.wantCode(481)
		if diff := cmp.Diff([]string{"BYE", "CANCEL", "BYE"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestByeBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.request("INVITE", "a", 1, "", offer())
		w.wantCode(100)
		synctest.Wait()
		_ = d.last().Call.Answer(180)
		tag := tagOf(w.wantCode(180))
		w.request("BYE", "b", 2, tag, "")
		w.wantCode(200)
		w.wantCode(487)
		w.request("ACK", "a", 1, tag, "")
		<-d.last().Call.Done()
	})
}

func TestBadOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.request("INVITE", "a", 1, "", "v=0 and nothing else")
		w.wantCode(100)
		synctest.Wait()
		if err := d.last().Call.Answer(200); err == nil {
			t.Error("an unreadable offer was answered")
		}
	})
}

// TestCancelWaitsForAProvisionalResponse is RFC 3261, 9.1.
func TestCancelWaitsForAProvisionalResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		p, d := openPhone(t, n, "10.0.1.1", siptest.Options{})
		c := invite(t, p)
		req := w.wantRequest("INVITE")
		if err := c.Cancel(); err != nil {
			t.Fatal(err)
		}
		w.wantRequest("INVITE") // repeated, and no CANCEL yet
		w.answer(req, 100, "", "")
		cancel := w.wantRequest("CANCEL")
		if b, _ := cancel.Via().Params.Get("branch"); b != req.Via().Params.GetOr("branch", "") || cancel.CSeq().SeqNo != 1 {
			t.Errorf("CANCEL %s", cancel)
		}
		w.answer(cancel, 200, "x", "")
		w.answer(req, 180, "x", "")
		w.answer(req, 180, "x", "")
		w.answer(req, 183, "x", offer())
		begin := time.Now()
		<-c.Done() // nobody gives the 487
		if got := time.Since(begin).Round(time.Second); got != 32*time.Second {
			t.Errorf("over after %s, want 32s", got)
		}
		if diff := cmp.Diff([]string{"180", "183", "no-answer"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAnotherTagIsSeen: a 2xx with a tag of its own is another dialog, acknowledged as such, and no retransmission.
func TestAnotherTagIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		p, d := openPhone(t, n, "10.0.1.1", siptest.Options{})
		c := invite(t, p)
		req := w.wantRequest("INVITE")
		routes := []string{"Record-Route: <sip:10.0.0.1:5060;lr;n=1>", "Record-Route: <sip:10.0.0.1:5060;lr;n=2>"}
		for _, tag := range []string{"x", "x", "y"} {
			w.answer(req, 200, tag, offer(), append(routes, "Contact: <sip:gw-"+tag+"@10.0.0.1:5060>")...)
			ack := w.wantRequest("ACK")
			if got := ack.To().Params.GetOr("tag", ""); got != tag || ack.Recipient.User != "gw-"+tag {
				t.Errorf("ACK of %s: %s", tag, ack)
			}
			if r := ack.Route(); r == nil || !strings.Contains(r.Value(), "n=2") {
				t.Errorf("route %v, want the last one first", r)
			}
		}
		_ = c.Bye()
		if bye := w.wantRequest("BYE"); bye.To().Params.GetOr("tag", "") != "x" {
			t.Errorf("BYE %s", bye)
		}
		if diff := cmp.Diff([]string{"200", "200"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHangingUpInVainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		p, d := openPhone(t, n, "10.0.1.1", siptest.Options{})
		c := invite(t, p)
		w.answer(w.wantRequest("INVITE"), 200, "x", offer())
		<-c.Up()
		_ = c.Bye()
		<-c.Done()
		if diff := cmp.Diff([]string{"200", "no-answer"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRegistrationIsLost: a refresh that fails is seen; the time granted may come in an Expires header.
func TestRegistrationIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		want string
	}{"refused": {403, "403"}, "unanswered": {0, "no-answer"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				w := newWire(t, n)
				p, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna", Password: "x"})
				result := make(chan error, 1)
				go func() { result <- p.Register(t.Context()) }()
				w.answer(w.wantRequest("REGISTER"), 200, "x", "", "Expires: 20")
				if err := <-result; err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				req := w.wantRequest("REGISTER")
				if got := time.Since(begin).Round(time.Second); got != 10*time.Second {
					t.Errorf("refreshed after %s, want 10s", got)
				}
				if c.code != 0 {
					w.answer(req, c.code, "x", "")
				}
				time.Sleep(40 * time.Second)
				if diff := cmp.Diff([]string{c.want}, d.words()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// FuzzPhone: whatever a gateway sends, the phone lives and answers.
func FuzzPhone(f *testing.F) {
	head := " sip:anna@10.0.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n" +
		"To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 "
	for _, m := range []string{"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REFER", "PRACK", "UPDATE", "NOTIFY"} {
		f.Add([]byte(m+head+m+"\r\nReason: SIP;cause=200\r\n\r\n"), []byte("INVITE"+head+"INVITE\r\n\r\n"+offer()))
	}
	timed := "INVITE\r\nSupported: timer, 100rel\r\nSession-Expires: 1;refresher=uac\r\nRAck: 1 1 INVITE\r\n\r\n"
	f.Add([]byte("INVITE"+head+timed), []byte("INVITE"+strings.Replace(head, "To: <sip:a@b>", "To: <sip:a@b>;tag=2", 1)+timed+offer()))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nFrom: a\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"), []byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		synctest.Test(t, func(t *testing.T) {
			n := siptest.NewNetwork()
			w := newWire(t, n)
			openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna", Reply: func(*siptest.Call) siptest.Reply { return siptest.Reply{} }})
			for _, b := range [][]byte{first, second, first} {
				_, _ = w.conn.WriteTo(b, net.UDPAddrFromAddrPort(w.phone))
			}
			time.Sleep(100 * time.Millisecond)
			w.request("OPTIONS", "still-there", 1, "", "")
			if !slices.ContainsFunc(receive(t, w.conn), func(m string) bool {
				return strings.HasPrefix(m, "SIP/2.0 200") && strings.Contains(m, "still-there")
			}) {
				t.Error("no answer to OPTIONS any more")
			}
		})
	})
}
