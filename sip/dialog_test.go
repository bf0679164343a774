package sip_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/siaga112/siaga112/sip"
)

// request parses a request whose lines are written with plain newlines.
func request(tb testing.TB, text string) *sipgo.Request {
	tb.Helper()
	head, body, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n\n")
	raw := strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + strings.ReplaceAll(body, "\n", "\r\n")
	m, err := sipgo.ParseMessage([]byte(raw))
	if err != nil {
		tb.Fatalf("parse: %v\n%s", err, text)
	}
	req, ok := m.(*sipgo.Request)
	if !ok {
		tb.Fatalf("not a request:\n%s", text)
	}
	return req
}

const invite = `
INVITE sip:112@10.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 10.0.2.1:5060;branch=z9hG4bKa;rport
Record-Route: <sip:10.0.2.8;lr>, <sip:10.0.2.9:5070;lr>
Max-Forwards: 30
From: "Ibu \"Sri\"" <sip:+62811@10.0.2.1>;tag=abc
To: <sip:112@10.0.0.1>
Call-ID: one@10.0.2.1
CSeq: 7 INVITE
Contact: <sip:+62811@10.0.2.1:5066>
Content-Length: 0

`

// RFC 3261, 12.1.1: the dialog that an INVITE makes.
func TestServerDialog(t *testing.T) {
	req := request(t, invite)
	req.SetTransport("UDP")
	req.SetSource("10.0.2.1:5060")
	d := sip.ServerDialog(req, "ours", netip.MustParseAddrPort("10.0.0.1:5060"))
	back, err := sip.DecodeDialog(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Errorf("a kept dialog reads back otherwise (-want +got):\n%s", diff)
	}
	bye, err := back.Request(sipgo.BYE, 1, back.Local)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"BYE sip:+62811@10.0.2.1:5066 SIP/2.0",
		"Route: <sip:10.0.2.8;lr>",
		"Route: <sip:10.0.2.9:5070;lr>",
		"From: <sip:112@10.0.0.1>;tag=ours",
		`To: "Ibu \"Sri\"" <sip:+62811@10.0.2.1>;tag=abc`,
		"Call-ID: one@10.0.2.1",
		"CSeq: 1 BYE",
		"Content-Length: 0",
	}
	text := bye.String()
	for _, w := range want {
		if !strings.Contains(text, w+"\r\n") {
			t.Errorf("BYE lacks %q:\n%s", w, text)
		}
	}
	if got := bye.Destination(); got != "10.0.2.8:5060" {
		t.Errorf("BYE goes to %s, want the first route", got)
	}
}

// RFC 3261, 12.2.1.1: a first route without lr becomes the Request-URI, and the target the last route.
func TestStrictRouter(t *testing.T) {
	d := sip.Dialog{
		CallID: "x", LocalTag: "l", RemoteTag: "r", LocalURI: "<sip:a@h>", RemoteURI: "<sip:b@h>", Target: "sip:b@10.0.0.9",
		Routes: []string{"<sip:10.0.0.8>", "<sip:10.0.0.7;lr>"}, Net: "UDP", Peer: netip.MustParseAddrPort("10.0.0.9:5060"),
	}
	req, err := d.Request(sipgo.BYE, 1, netip.MustParseAddrPort("10.0.0.1:5060"))
	if err != nil {
		t.Fatal(err)
	}
	text := req.String()
	for _, w := range []string{"BYE sip:10.0.0.8 SIP/2.0", "Route: <sip:10.0.0.7;lr>", "Route: <sip:b@10.0.0.9>"} {
		if !strings.Contains(text, w+"\r\n") {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
}

// RFC 3261, 12.2.1.1: where a request in a dialog goes.
func TestNextHop(t *testing.T) {
	peer := netip.MustParseAddrPort("10.0.9.9:40000")
	tests := []struct {
		name string
		d    sip.Dialog
		want string
	}{
		{"the target's address", sip.Dialog{Net: "UDP", Target: "sip:x@10.0.0.4:5090", Peer: peer}, "10.0.0.4:5090"},
		{"its default port", sip.Dialog{Net: "UDP", Target: "sip:x@10.0.0.4", Peer: peer}, "10.0.0.4:5060"},
		{"IPv6", sip.Dialog{Net: "UDP", Target: "sip:x@[fd00::4]:5090", Peer: peer}, "[fd00::4]:5090"},
		{"a name nobody resolves: the flow", sip.Dialog{Net: "UDP", Target: "sip:x@abc.invalid", Peer: peer}, peer.String()},
		{"a registered phone: the flow", sip.Dialog{Net: "UDP", Flow: true, Target: "sip:x@10.0.0.4:5090", Peer: peer}, peer.String()},
		{"TCP: where its Contact listens", sip.Dialog{Net: "TCP", Target: "sip:x@10.0.0.4:5090", Peer: peer}, "10.0.0.4:5090"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.d.LocalURI, tt.d.RemoteURI = "<sip:a@h>", "<sip:b@h>"
			req, err := tt.d.Request(sipgo.BYE, 1, netip.MustParseAddrPort("10.0.0.1:5060"))
			if err != nil {
				t.Fatal(err)
			}
			if got := req.Destination(); got != tt.want {
				t.Errorf("goes to %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTagIsReadBack(t *testing.T) {
	const id = "c01JDEXAMPLE0000000000000Z"
	for _, s := range []string{"", "x", "c.1", id, id + ".", id + ".70000", id + ".-1", "s01JDEXAMP1E00000000000000Z.1"} {
		if got, _, ok := sip.ParseTag(s); ok {
			t.Errorf("ParseTag(%q) = %s", s, got)
		}
	}
	want := fmt.Sprint("c01JDEXAMP1E00000000000000Z", 3)
	id2, n, ok := sip.ParseTag(sip.Tag("c01JDEXAMP1E00000000000000Z", 3))
	if got := fmt.Sprint(id2, n); !ok || got != want {
		t.Errorf("read back %s %v, want %s", got, ok, want)
	}
}

// RFC 3261, 12.1.1 and 7.3.1: several Record-Routes in one header.
func TestSplitRoutes(t *testing.T) {
	got := sip.SplitRoutes(`<sip:a,b@h;lr>, "x" <sip:c@h> ,<sip:d@h>`)
	if diff := cmp.Diff([]string{"<sip:a,b@h;lr>", `"x" <sip:c@h>`, "<sip:d@h>"}, got); diff != "" {
		t.Error(diff)
	}
}

// RFC 3326 with the causes of RFC 3398, 8.2.6.1: what our CANCEL and BYE say.
// RFC 3326, 2, and RFC 3398, 8.2.6.1: the Reason of our CANCELs and BYEs.
func TestReasonHeader(t *testing.T) {
	for code, want := range map[int]string{
		0:   `Q.850;cause=16`,
		1:   `Q.850;cause=16`,
		180: `Q.850;cause=16`,
		400: `SIP;cause=400;text="Bad Request", Q.850;cause=41`,
		403: `SIP;cause=403;text="Forbidden", Q.850;cause=21`,
		404: `SIP;cause=404;text="Not Found", Q.850;cause=1`,
		480: `SIP;cause=480;text="Temporarily Unavailable", Q.850;cause=18`,
		481: `SIP;cause=481;text="Call/Transaction Does Not Exist", Q.850;cause=41`,
		487: `SIP;cause=487;text="Caller gone", Q.850;cause=16`,
		488: `SIP;cause=488;text="Not Acceptable Here", Q.850;cause=65`,
		500: `SIP;cause=500;text="Server Internal Error", Q.850;cause=41`,
		504: `SIP;cause=504;text="Server Time-out", Q.850;cause=102`,
		603: `SIP;cause=603;text="Decline", Q.850;cause=21`,
		200: `SIP;cause=200;text="Call completed elsewhere", Q.850;cause=26`,
		408: `SIP;cause=408;text="Request Timeout", Q.850;cause=102`,
		486: `SIP;cause=486;text="Busy Here", Q.850;cause=17`,
		503: `SIP;cause=503;text="Service Unavailable", Q.850;cause=41`,
		599: `SIP;cause=599`,
	} {
		if got := sip.ReasonHeader(code); got != want {
			t.Errorf("reason(%d) = %s, want %s", code, got, want)
		}
	}
}
