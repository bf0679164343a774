package sip_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sipgo's trap: its pool grows with every address that a datagram comes from. A stranger gets nothing and leaves nothing.
func TestStranger(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.caller(r.peer(trunk)).talk()
		before := r.line.Pooled("udp")
		const n = 200
		for port := range uint16(n) {
			p := r.peerAt(stranger, 6000+port)
			c := r.caller(p)
			if port%2 == 0 {
				p.send(c.invite())
			} else {
				p.send(c.request("OPTIONS", 1))
			}
		}
		last := r.peerAt(stranger, 5999)
		last.send("\x00\x01 rubbish")
		last.none(time.Minute)
		if got := r.line.Pooled("udp"); got != before {
			t.Errorf("the pool went from %d to %d", before, got)
		}
		if got := r.line.Strangers(); got != n+1 {
			t.Errorf("%d strangers counted, want %d", got, n+1)
		}
		if len(r.ids()) != 1 {
			t.Errorf("%d calls", len(r.ids()))
		}
		for _, w := range r.texts("wire") {
			if strings.HasPrefix(w, stranger) {
				t.Errorf("sent %s", w)
			}
		}
	})
}

// sipgo accepts more than RFC 3261 does: what is not valid gets its refusal, in version 2.0, and is no call.
func TestMalformedRequests(t *testing.T) {
	tests := []struct {
		name   string
		pairs  []string
		code   string
		header string
	}{
		{"another version", []string{"SIP/2.0\nVia", "SIP/7.0\nVia"}, "505", ""},
		{"another method in CSeq", []string{"1 INVITE", "1 BYE"}, "400", ""},
		{"no From tag", []string{"From: <sip:+628115550001@trunk>;tag=", "From: <sip:+628115550001@trunk>;x="}, "400", ""},
		{"no CSeq", []string{"CSeq: 1 INVITE\n", ""}, "400", ""},
		{"no Call-ID", []string{"Call-ID:", "X-Call:"}, "400", ""},
		{"two Call-IDs", []string{"Call-ID:", "Call-ID: other\nCall-ID:"}, "400", ""},
		{"two To headers", []string{"To:", "To: <sip:x@y>\nTo:"}, "400", ""},
		{"no Contact", []string{"Contact:", "X-Contact:"}, "400", ""},
		{"an unknown method", []string{"INVITE", "PUBLISH"}, "405", "Allow"},
		{"part of a method's name", []string{"INVITE", "VITE"}, "405", "Allow"},
		{"another body", []string{"application/sdp", "text/plain"}, "415", "Accept"},
		{"another scheme", []string{"INVITE sip:112@", "INVITE http://112@"}, "416", ""},
		{"a required extension", []string{"Max-Forwards: 70", "Require: 100rel, gruu, timer\nMax-Forwards: 70"}, "420", "Unsupported"},
		{"no hops left", []string{"Max-Forwards: 70", "Max-Forwards: 0"}, "483", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk))
				c.send(c.invite(tt.pairs...))
				m := c.want("SIP/2.0 " + tt.code)
				if tt.header != "" && m.header(tt.header) == "" {
					t.Errorf("no %s in\n%s", tt.header, m.text)
				}
				if m.tag("To") == "" {
					t.Errorf("no To tag in\n%s", m.text)
				}
				if len(r.all()) > 0 && len(r.ids()) != 0 {
					t.Error("it became a call")
				}
				c.ackFinal()
				c.drain(time.Minute)
				c.branch += "next" // and the line lives
				c.arrive()
			})
		})
	}
}

// What cannot be read at all gets nothing, and harms nothing.
func TestUnreadable(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk))
		for _, text := range []string{
			"\n\n", "\x00\x00\x00", "INVITE\n\n", "SIP/2.0 banana\n\n", "INVITE sip:112@x SIP/2.0\n\n", "SIP/2.0 200 OK\n\n",
			"SIP/2.0 200 OK\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\nCSeq: 1 INVITE\n\n", strings.Repeat("x", 5000),
			"ACK sip:112@x SIP/2.0\nVia: SIP/2.0/UDP 10.0.2.1:5060;branch=z9hG4bK9;rport\nCSeq: 1 ACK\n\n",
			"INVITE sip:112@x SIP/2.0\nVia: ;;;\nFrom: <<<>\nTo: \"\nCSeq: x\nCall-ID: \nContact: *\n\n",
		} {
			c.send(text)
			pass(10 * time.Millisecond)
		}
		for _, m := range c.drain(time.Minute) {
			if !strings.HasPrefix(m.start(), "SIP/2.0 400") {
				t.Errorf("got\n%s", m.text)
			}
		}
		c.arrive()
	})
}

// OPTIONS is answered as an INVITE would be (11.2): trunks ask whether we are there.
func TestOPTIONSFromATrunk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk))
		c.send(c.request("OPTIONS", 1))
		m := c.want("SIP/2.0 200")
		if m.header("Allow") == "" || m.header("Accept") != "application/sdp" {
			t.Errorf("got\n%s", m.text)
		}
		c.talk()
		c.send(c.request("OPTIONS", 7))
		c.want("SIP/2.0 200")
		c.send(c.request("OPTIONS", 8, c.callID, "other"))
		c.want("SIP/2.0 481")
		c.send(c.request("OPTIONS", 8, c.to, "nobody"))
		c.want("SIP/2.0 481")
	})
}

// An address that is a trunk's and, by a wide network, a taker's too is the trunk's: nobody registers from it.
func TestTrunkAmongTheTakers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.options.Config.Takers.From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		r.open()
		p := r.peer(trunk)
		p.send(p.registration("t1", ""))
		p.want("SIP/2.0 403")
		r.caller(p).talk()
		r.taker("t1", desk) // the others of the wide network are takers
		other := r.caller(r.peer(desk2))
		other.send(other.invite())
		other.want("SIP/2.0 401")
		if len(r.ids()) != 1 || r.line.Strangers() != 0 {
			t.Errorf("%d calls, %d strangers", len(r.ids()), r.line.Strangers())
		}
	})
}
