package sip_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip"
)

// RFC 3261, 8.1.1 and 8.2: what a request must have, and what it is refused with.
func TestValidate(t *testing.T) {
	tests := []struct {
		name     string
		old, new string // replaced in a good INVITE; several by |
		want     int
		header   string
	}{
		{"good", "", "", 0, ""},
		{"another version (8.1.1.1)", "SIP/2.0\nVia", "SIP/7.0\nVia", 505, ""},
		{"CSeq of another method (8.1.1.5)", "7 INVITE", "7 BYE", 400, ""},
		{"no From tag (8.1.1.3)", ";tag=abc", "", 400, ""},
		{"two From headers", "To: ", "From: <sip:x@h>;tag=2\nTo: ", 400, ""},
		{"no Call-ID", "Call-ID: one@10.0.2.1\n", "", 400, ""},
		{"no Contact in an INVITE (8.1.1.8)", "Contact: <sip:+62811@10.0.2.1:5066>\n", "", 400, ""},
		{"a Contact for all addresses (8.1.1.8)", "<sip:+62811@10.0.2.1:5066>", "*", 400, ""},
		{"a method that we do not have (8.2.1)", "INVITE", "PUBLISH", 405, "Allow: INVITE"},
		{"a scheme that we do not have (8.2.2.1)", "sip:112@10.0.0.1 SIP", "http:112 SIP", 416, ""},
		{"no hops left (16.3)", "Max-Forwards: 30", "Max-Forwards: 0", 483, ""},
		{"no hops left for OPTIONS: it is for us (11)", "INVITE sip:112@10.0.0.1 SIP/2.0|7 INVITE|Max-Forwards: 30", "OPTIONS sip:112@10.0.0.1 SIP/2.0|7 OPTIONS|Max-Forwards: 0", 0, ""},
		{"CANCEL and ACK require nothing (8.2.2.3)", "INVITE|Max-Forwards: 30", "CANCEL|Require: gruu\nMax-Forwards: 30", 0, ""},
		{"an ACK neither (8.2.2.3)", "INVITE|Max-Forwards: 30", "ACK|Require: gruu\nMax-Forwards: 30", 0, ""},
		{"two Contacts in an INVITE (8.1.1.8)", "Max-Forwards: 30", "Contact: <sip:x@h>\nMax-Forwards: 30", 400, ""},
		{"sips (19.1)", "INVITE sip:112", "INVITE sips:112", 0, ""},
		{"tel (RFC 3966)", "INVITE sip:112@10.0.0.1", "INVITE tel:112", 0, ""},
		{"the version in small letters (7.1)", "10.0.0.1 SIP/2.0", "10.0.0.1 sip/2.0", 0, ""},
		{"an encoding of no body (20.12)", "Max-Forwards: 30", "Content-Encoding: gzip\nMax-Forwards: 30", 0, ""},
		{"an extension that we do not have (8.2.2.3)", "Max-Forwards: 30", "Require: 100rel, gruu\nMax-Forwards: 30", 420, "Unsupported: gruu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, news := invite, strings.Split(tt.new, "|")
			for i, old := range strings.Split(tt.old, "|") {
				text = strings.ReplaceAll(text, old, news[i])
			}
			req := request(t, text)
			code, _, res := sip.Validate(req)
			if code != tt.want {
				t.Fatalf("refused with %d, want %d", code, tt.want)
			}
			if res != nil && !strings.HasPrefix(res.String(), "SIP/2.0 ") {
				t.Errorf("the answer copies the version: %s", res.StartLine())
			}
			if tt.header != "" && !strings.Contains(res.String(), tt.header) {
				t.Errorf("the answer lacks %q:\n%s", tt.header, res)
			}
		})
	}
}

// RFC 3261, 8.2.3: a body of another type gets 415 with Accept.
func TestValidateBodyType(t *testing.T) {
	text := strings.Replace(invite, "Content-Length: 0\n\n", "Content-Type: text/plain\nContent-Length: 2\n\nhi", 1)
	code, _, res := sip.Validate(request(t, text))
	if code != 415 || !strings.Contains(res.String(), "Accept: application/sdp") {
		t.Errorf("got %d\n%v", code, res)
	}
}

// RFC 3261, 8.2.3, 20.12 and 20.15: which bodies are read. What a method does not read may be of any type.
func TestBodies(t *testing.T) {
	const sdp = "Content-Type: application/sdp"
	for name, tt := range map[string]struct {
		method, headers string
		want            int
	}{
		"SDP":                        {"INVITE", sdp, 0},
		"SDP with a parameter":       {"INVITE", "Content-Type: Application/SDP ;charset=utf-8", 0},
		"no type":                    {"INVITE", "X: y", 415},
		"an UPDATE of another type":  {"UPDATE", "Content-Type: text/plain", 415},
		"a PRACK of another type":    {"PRACK", "Content-Type: text/plain", 415},
		"a BYE of another type":      {"BYE", "Content-Type: text/plain", 0},
		"identity":                   {"INVITE", sdp + "\nContent-Encoding: Identity", 0},
		"another encoding":           {"INVITE", sdp + "\nContent-Encoding: gzip", 415},
		"another encoding, short":    {"INVITE", sdp + "\ne: gzip", 415},
		"another encoding, any type": {"BYE", "Content-Type: text/plain\nContent-Encoding: gzip", 415},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(invite, "INVITE", tt.method)
			text = strings.Replace(text, "Content-Length: 0\n\n", tt.headers+"\nContent-Length: 2\n\nhi", 1)
			if code, why, _ := sip.Validate(request(t, text)); code != tt.want {
				t.Errorf("%d %s, want %d", code, why, tt.want)
			}
		})
	}
}

// FuzzValidate: whatever sipgo parses is validated, refused and identified without a panic.
func FuzzValidate(f *testing.F) {
	f.Add(strings.ReplaceAll(strings.TrimLeft(invite, "\n"), "\n", "\r\n"))
	f.Add("REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: *\r\nTo: tel:1\r\nContact: *\r\nCSeq: 1 REGISTER\r\nCall-ID: x\r\n\r\n")
	trunk := config.Trunk{Trust: config.TrustPAI, Numbers: []string{"112"}}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := sipgo.ParseMessage([]byte(text))
		if err != nil {
			return
		}
		req, ok := m.(*sipgo.Request)
		if !ok {
			return
		}
		req.SetTransport("UDP")
		req.SetSource("10.0.0.9:5060")
		if code, _, res := sip.Validate(req); code != 0 {
			if res.StatusCode != code {
				t.Fatal(res)
			}
			return
		}
		sip.Caller(req, trunk)
		d := sip.ServerDialog(req, "t", netip.AddrPort{})
		if _, err := sip.DecodeDialog(d.Encode()); err != nil {
			t.Fatal(err)
		}
		if r, err := d.Request(sipgo.BYE, 1, netip.MustParseAddrPort("10.0.0.1:5060")); err == nil {
			_ = r.String()
		}
	})
}

func TestCaller(t *testing.T) {
	pai := func(s string) string { return strings.Replace(invite, "To: ", s+"\nTo: ", 1) }
	tests := []struct {
		name, text string
		trust      config.Trust
		want       call.Caller
	}{
		{"asserted by tel", pai("P-Asserted-Identity: <tel:+62-811-2345>"), config.TrustPAI, call.Caller{Number: "+628112345", Trust: call.Asserted}},
		{"asserted by sip", pai("P-Asserted-Identity: <sip:+628119@ims.example;user=phone>"), config.TrustPAI, call.Caller{Number: "+628119", Trust: call.Asserted}},
		{"two identities, the second is a number", pai("P-Asserted-Identity: <sip:anonymous@anonymous.invalid>, <tel:+628112>"), config.TrustPAI, call.Caller{Number: "+628112", Trust: call.Asserted}},
		{"no identity: the From is claimed", invite, config.TrustPAI, call.Caller{Number: "+62811", Trust: call.Claimed}},
		{"a trunk whose From is its own", invite, config.TrustFrom, call.Caller{Number: "+62811", Trust: call.Asserted}},
		{"a trunk that vouches for nothing", pai("P-Asserted-Identity: <tel:+6281>"), config.TrustNone, call.Caller{Number: "+62811", Trust: call.Claimed}},
		{"withheld", strings.Replace(invite, "+62811@10.0.2.1>;tag", "anonymous@anonymous.invalid>;tag", 1), config.TrustPAI, call.Caller{Trust: call.None}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sip.Caller(request(t, tt.text), config.Trunk{Trust: tt.trust}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSources(t *testing.T) {
	s := sip.Sources(
		[]config.Trunk{{Name: "telkom", From: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24")}}},
		[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")})
	for addr, want := range map[string]int{"10.0.2.7:5060": 2, "10.0.1.1:5060": 2, "192.0.2.1:5060": 0} {
		got, err := s.Read(sipgo.TransportReadProps{RemoteAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))}, []byte("hi"))
		if err != nil || len(got) != want {
			t.Errorf("%s: %d bytes, %v; want %d and no error", addr, len(got), err, want)
		}
	}
	if s.Strangers() != 1 {
		t.Errorf("%d strangers counted, want 1", s.Strangers())
	}
}

func TestNonce(t *testing.T) {
	now, key := time.Unix(1e9, 0), [32]byte{1}
	n := sip.Nonce(key, now)
	tests := []struct {
		name, nonce string
		key         [32]byte
		at          time.Time
		want        error
	}{
		{"fresh", n, key, now.Add(time.Minute), nil},
		{"old", n, key, now.Add(6 * time.Minute), sip.ErrStale},
		{"from the future", n, key, now.Add(-time.Second), sip.ErrStale},
		{"another key", n, [32]byte{2}, now, sip.ErrStale},
		{"made up", "abc", key, now, sip.ErrStale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := sip.CheckNonce(tt.key, tt.nonce, tt.at); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// RFC 7616, 3.4.1: the right response and others.
func TestAuthenticate(t *testing.T) {
	const ha1 = "939e7578ed9e3c518a452acee763bce9" // an HA1 as it is stored
	chal := &digest.Challenge{Realm: "siaga112", Nonce: "n", Algorithm: "MD5", QOP: []string{"auth"}}
	cred, err := digest.Digest(chal, digest.Options{Method: "REGISTER", URI: "sip:h", Username: "t1", A1: ha1, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := sip.Authenticate("REGISTER", "siaga112", ha1, cred); err != nil {
		t.Errorf("the right password: %v", err)
	}
	for name, got := range map[string]error{
		"another user's HA1": sip.Authenticate("REGISTER", "siaga112", strings.Repeat("0", 32), cred),
		"an unknown user":    sip.Authenticate("REGISTER", "siaga112", "", cred),
		"another method":     sip.Authenticate("INVITE", "siaga112", ha1, cred),
		"another realm":      sip.Authenticate("REGISTER", "other", ha1, cred),
	} {
		if !errors.Is(got, sip.ErrPassword) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
