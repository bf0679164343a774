package sip_test

import (
	"strings"
	"testing"
	"time"
)

// numbered is how many packets came, and the payload type of the last one.
func (s *sound) numbered() (n int, number byte) {
	for {
		select {
		case p := <-s.got:
			n++
			number = p[1] & 0x7f
		default:
			return n, number
		}
	}
}

// withoutOffer makes an INVITE one without a description; more headers may be in it.
func withoutOffer(headers string) []string {
	return []string{"Content-Type: application/sdp\n", headers, session(trunk, 4000), ""}
}

// progress takes our 183 and the names in it.
func (c *caller) progress() message {
	c.tb.Helper()
	m := c.want("SIP/2.0 183")
	c.to, c.target = m.tag("To"), m.uri("Contact")
	return m
}

// answers lets the call be answered, and acknowledges with a description or none.
func (c *caller) answers(body string) {
	c.tb.Helper()
	c.r.line.Answer(c.id, 0)
	c.answered()
	seq := c.cseq
	c.cseq = 1
	c.ackWith(body)
	c.cseq = seq
	pass(10 * time.Millisecond)
}

// RFC 3264, 5 to 8: our sound goes where the peer's last description wants it, under the number that it gave, whichever
// message brought it.
func TestWhereTheSoundGoes(t *testing.T) {
	moved := session(trunk, 4100)
	const here = "Contact: <sip:caller@10.0.2.1:5060>"
	for name, tt := range map[string]struct {
		pairs  []string
		then   func(r *rig, c *caller)
		port   uint16
		number byte
	}{
		"before the answer (RFC 3261, 13.3.1.1)": {nil, func(*rig, *caller) {}, 4000, 8},
		"PCMU only":                              {[]string{"8 0 101", "0 101"}, func(_ *rig, c *caller) { c.answers("") }, 4000, 0},
		"PCMA under a number of its own (RFC 3264, 5.1)": {
			[]string{"8 0 101", "97 101\na=rtpmap:97 PCMA/8000"},
			func(_ *rig, c *caller) { c.answers("") }, 4000, 97,
		},
		"a PRACK that answers (RFC 3262, 5)": {withoutOffer("Supported: 100rel\n"), func(r *rig, c *caller) {
			r.line.Play(c.id, 0, "waiting")
			c.send(c.within("PRACK", moved, rack(c.progress())))
			c.want("SIP/2.0 200")
		}, 4100, 8},
		"a PRACK that offers (RFC 3262, 5)": {reliably("Supported"), func(r *rig, c *caller) {
			r.line.Play(c.id, 0, "waiting")
			c.send(c.within("PRACK", moved, rack(c.progress())))
			c.want("SIP/2.0 200")
		}, 4100, 8},
		"an early UPDATE, after the answer too (RFC 3311, 5.2)": {reliably("Supported"), func(r *rig, c *caller) {
			r.line.Play(c.id, 0, "waiting")
			c.send(c.within("PRACK", "", rack(c.progress())))
			c.want("SIP/2.0 200")
			c.send(c.within("UPDATE", moved, here))
			c.want("SIP/2.0 200")
			c.answers("")
		}, 4100, 8},
		"the ACK (RFC 3261, 13.2.1)": {withoutOffer(""), func(_ *rig, c *caller) { c.answers(moved) }, 4100, 8},
		"a re-INVITE (RFC 3261, 14.2)": {nil, func(_ *rig, c *caller) {
			c.answers("")
			c.send(c.reinvite(moved))
			c.want("SIP/2.0 200")
			c.ack()
		}, 4100, 8},
		"the ACK of a re-INVITE (RFC 3261, 14.2)": {nil, func(_ *rig, c *caller) {
			c.answers("")
			c.send(c.reinvite(""))
			c.want("SIP/2.0 200")
			c.ackWith(moved)
		}, 4100, 8},
		"an UPDATE (RFC 3311, 5.2)": {nil, func(_ *rig, c *caller) {
			c.answers("")
			c.send(c.within("UPDATE", moved, here))
			c.want("SIP/2.0 200")
		}, 4100, 8},
		"the answer to our refresh (RFC 4028, 7.4)": {
			[]string{"Content-Type", "Supported: timer\nSession-Expires: 100;refresher=uas\nContent-Type"}, func(_ *rig, c *caller) {
				c.answers("")
				m := c.aliveUntil("INVITE", time.Minute)
				c.send(response(m, "200 OK", "", moved, here, "Session-Expires: 100;refresher=uac"))
				c.want("ACK")
			}, 4100, 8,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ports := map[uint16]*sound{4000: r.sound(trunk), 4100: r.soundAt(trunk, 4100)}
				c := r.caller(r.peer(trunk)).arrive(tt.pairs...)
				tt.then(r, c)
				pass(10 * time.Millisecond)
				r.line.Play(c.id, 0, "waiting")
				for _, s := range ports {
					s.numbered()
				}
				pass(time.Second)
				for port, s := range ports {
					n, number := s.numbered()
					if port == tt.port && (n < 45 || number != tt.number) || port != tt.port && n > 1 {
						t.Errorf("port %d: %d packets in a second, payload type %d", port, n, number)
					}
				}
			})
		})
	}
}

// RFC 3261, 13.2.1: the first description that comes back is the answer; one in the 200 after a reliable 183 is ignored.
func TestFirstAnswerCounts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		first, second := r.sound(desk), r.soundAt(desk, 4100)
		c, ph, m := ringing(r)
		const reachable = "Contact: <sip:t1@" + desk + ":5060>"
		ph.replySDP(m, "183 Session Progress", "p", "Require: 100rel", "RSeq: 1", reachable)
		ph.reply(ph.want("PRACK"), "200 OK", "")
		ph.send(response(m, "200 OK", "p", session(desk, 4100), reachable))
		ph.want("ACK")
		r.line.Play(c.id, 1, "waiting")
		pass(time.Second)
		n, _ := first.numbered()
		if other, _ := second.numbered(); n < 45 || other != 0 {
			t.Errorf("%d and %d packets in a second", n, other)
		}
	})
}

// RFC 3264, 8.4: a peer that holds is sent nothing until it goes on.
func TestHeldPeerHearsNothing(t *testing.T) {
	for name, hold := range map[string]string{
		"sendonly": session(trunk, 4000) + "a=sendonly\n", "inactive": session(trunk, 4000) + "a=inactive\n",
		"0.0.0.0 (RFC 2543)": changed("c=IN IP4 "+trunk, "c=IN IP4 0.0.0.0"),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				rtp := r.sound(trunk)
				c := r.caller(r.peer(trunk)).talk()
				r.line.Play(c.id, 0, "waiting")
				for i, body := range []string{hold, session(trunk, 4000)} {
					c.send(c.reinvite(body))
					c.want("SIP/2.0 200")
					c.ack()
					pass(100 * time.Millisecond)
					rtp.numbered()
					pass(time.Second)
					if n, _ := rtp.numbered(); (n > 0) != (i == 1) {
						t.Errorf("%d packets in a second after\n%s", n, body)
					}
				}
				if got := r.texts("ask"); len(got) != 0 { // a trunk's hold is not for the desk
					t.Errorf("asked %q", strings.Join(got, "|"))
				}
			})
		})
	}
}
