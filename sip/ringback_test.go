package sip_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reliably asks for reliable provisional responses in an INVITE.
func reliably(header string) []string {
	return []string{"Content-Type", header + ": 100rel\nContent-Type"}
}

// rack is the RAck header for a provisional response to the first INVITE.
func rack(m message) string {
	return "RAck: " + m.header("RSeq") + " 1 INVITE"
}

// RFC 3262, 3: which provisional responses are reliable, and what they look like.
func TestProvisional(t *testing.T) {
	for name, tt := range map[string]struct {
		pairs    []string
		prompt   string
		start    string
		reliable bool
		sdp      bool
	}{
		"183 without an offer or 100rel": {withoutOffer(""), "waiting", "SIP/2.0 180 Ringing", false, false},
		"180":                            {nil, "", "SIP/2.0 180 Ringing", false, false},
		"180, 100rel supported":          {reliably("Supported"), "", "SIP/2.0 180 Ringing", false, false},
		"180, 100rel required":           {reliably("Require"), "", "SIP/2.0 180 Ringing", true, false},
		"183 with the announcement":      {nil, "waiting", "SIP/2.0 183 Session Progress", false, true},
		"183, 100rel supported":          {reliably("Supported"), "waiting", "SIP/2.0 183 Session Progress", true, true},
		"183, 100rel supported, short":   {reliably("k"), "waiting", "SIP/2.0 183 Session Progress", true, true},
		"183, 100rel among other words":  {[]string{"Content-Type", "Supported: timer,100REL , replaces\nContent-Type"}, "waiting", "SIP/2.0 183 Session Progress", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive(tt.pairs...)
				r.line.Play(c.id, 0, tt.prompt)
				m := c.want(tt.start)
				_, err := strconv.ParseUint(m.header("RSeq"), 10, 31)
				if (err == nil) != tt.reliable || strings.Contains(m.header("Require"), "100rel") != tt.reliable {
					t.Errorf("RSeq %q, Require %q, want reliable: %v", m.header("RSeq"), m.header("Require"), tt.reliable)
				}
				if (m.line("m=audio") != "") != tt.sdp {
					t.Errorf("with a description: %v\n%s", !tt.sdp, m.text)
				}
				c.to, c.target = m.tag("To"), m.uri("Contact")
				if tt.reliable {
					again := c.want(tt.start)
					if again.header("RSeq") != m.header("RSeq") {
						t.Errorf("repeated with RSeq %s", again.header("RSeq"))
					}
					c.send(withBody(c.request("PRACK", 2), "", rack(m)))
					c.want("SIP/2.0 200")
				}
				c.none(50 * time.Second)
				again := c.wantWithin(tt.start, 11*time.Second) // every minute (RFC 3261, 13.3.1.1)
				if (again.line("m=audio") != "") != (tt.sdp && !tt.reliable) {
					t.Errorf("after a PRACK there is nothing to answer any more (RFC 3262, 5):\n%s", again.text)
				}
				if again.header("RSeq") != "" && again.header("RSeq") != next(m.header("RSeq")) {
					t.Errorf("RSeq %s after %s", again.header("RSeq"), m.header("RSeq"))
				}
			})
		})
	}
}

// next is the number after that one.
func next(number string) string {
	n, _ := strconv.Atoi(number)
	return strconv.Itoa(n + 1)
}

// RFC 3262, 3: while a reliable response waits for its PRACK there is no second one.
func TestOneReliableResponseAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
		r.line.Play(c.id, 0, "waiting")
		m := c.progress()
		r.line.Play(c.id, 0, "")
		for range 3 {
			if again := c.wantWithin("SIP/2.0 183", 3*time.Second); again.text != m.text {
				t.Errorf("got\n%s", again.text)
			}
		}
		c.send(c.within("PRACK", "", rack(m)))
		c.want("SIP/2.0 200")
		c.none(lifetime)
	})
}

// RFC 3262, 7.2: the RAck names the CSeq of the INVITE, whatever that began with.
func TestRAckNamesTheINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("1 INVITE", "7 INVITE", "Content-Type", "Require: 100rel\nContent-Type")
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		c.to, c.target, c.cseq = m.tag("To"), m.uri("Contact"), 7
		c.send(c.within("PRACK", "", rack(m)))
		c.find("SIP/2.0 481", time.Second)
		c.send(c.within("PRACK", "", "RAck:  "+m.header("RSeq")+"  7\tINVITE"))
		c.find("SIP/2.0 200", time.Second)
	})
}

// RFC 3262, 3: a reliable response is repeated after T1, 2*T1, 4*T1 … and without a PRACK the call is refused.
func TestNoPRACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
		r.line.Play(c.id, 0, "")
		first := c.want("SIP/2.0 180")
		for _, after := range []time.Duration{1, 3, 7, 15, 31, 63} {
			m := c.wantWithin("SIP/2.0 180", lifetime)
			if d := m.at - first.at - after*t1; d < 0 || d > 5*time.Millisecond {
				t.Errorf("repeated after %v, want %v", m.at-first.at, after*t1)
			}
		}
		c.want("SIP/2.0 504")
		c.ackFinal()
		pass(0)
		r.wantStory(c.id, "arrived left:0:network:504")
		r.wantGone()
	})
}

// RFC 3262, 3: a PRACK for no response that waits gets 481.
func TestUnmatchedPRACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		c.to, c.target = m.tag("To"), m.uri("Contact")
		n, _ := strconv.Atoi(m.header("RSeq"))
		for _, header := range []string{
			fmt.Sprintf("RAck: %d 1 INVITE", n+1), fmt.Sprintf("RAck: %d 2 INVITE", n), fmt.Sprintf("RAck: %d 1 BYE", n), "RAck: x", "X: y",
		} {
			c.send(c.within("PRACK", "", header))
			c.find("SIP/2.0 481", time.Second)
		}
		c.send(c.within("PRACK", "", rack(m)))
		c.find("SIP/2.0 200", time.Second)
		c.send(c.within("PRACK", "", rack(m))) // a second one
		c.find("SIP/2.0 481", time.Second)
	})
}

// RFC 3262, 3: no 200 before the PRACK of a provisional response with a description; one without may be overtaken by it.
func TestAnswerBeforePRACK(t *testing.T) {
	for _, prompt := range []string{"", "waiting"} {
		t.Run("prompt "+prompt, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
				r.line.Play(c.id, 0, prompt)
				m := c.want("SIP/2.0 18")
				c.to, c.target = m.tag("To"), m.uri("Contact")
				r.line.Answer(c.id, 0)
				prack := withBody(c.request("PRACK", 2), "", rack(m))
				if prompt == "" {
					c.answered()
					c.send(prack) // it crosses the 200
					c.want("SIP/2.0 200")
				} else {
					c.none(t1 - 10*time.Millisecond)
					c.send(prack)
					if ok := c.want("SIP/2.0 200"); ok.header("CSeq") != "2 PRACK" {
						t.Errorf("first\n%s", ok.text)
					}
					if ok := c.answered(); ok.body() != "" {
						t.Errorf("a second answer: %s", ok.body())
					}
				}
				c.ack()
				pass(10 * time.Millisecond)
				r.wantStory(c.id, "arrived answered:0")
				c.none(5 * time.Second)
			})
		})
	}
}

// RFC 3311, 5.2: the INVITE's own offer has no answer while only a reliable 180 is out: 500 with Retry-After.
func TestUPDATEWhileTheOfferIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		c.to, c.target = m.tag("To"), m.uri("Contact")
		c.send(c.within("UPDATE", session(trunk, 4000), "Contact: <sip:caller@"+c.addr.String()+">"))
		if m := c.find("SIP/2.0 500", 400*time.Millisecond); m.header("Retry-After") == "" {
			t.Errorf("no Retry-After in\n%s", m.text)
		}
	})
}

// RFC 3262, 3: the 200 ends the repeats of a 180 that has had no PRACK.
func TestAnswerEndsTheRepeats(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
		r.line.Play(c.id, 0, "")
		c.want("SIP/2.0 180")
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		c.none(20 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3262, 5: without an offer in the INVITE a reliable 183 offers, and the PRACK answers.
func TestOfferInA183(t *testing.T) {
	for name, tt := range map[string]struct{ answer, facts string }{
		"answered": {session(trunk, 4000), "arrived answered:0"}, "useless": {changed("8 0 101", "18"), "arrived left:0:caller:488"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk))
				head, _, _ := strings.Cut(c.invite("Content-Type: application/sdp\n", "Supported: 100rel\n"), "Content-Length")
				c.send(head + "Content-Length: 0\n\n")
				pass(5 * time.Millisecond)
				c.id = r.ids()[0]
				r.line.Play(c.id, 0, "waiting")
				m := c.want("SIP/2.0 183")
				if m.line("m=audio") == "" || m.header("RSeq") == "" {
					t.Fatalf("no reliable offer:\n%s", m.text)
				}
				c.to, c.target = m.tag("To"), m.uri("Contact")
				r.line.Answer(c.id, 0)
				// RFC 3311, 5.2: our offer is open.
				c.send(withBody(c.request("UPDATE", 2), session(trunk, 4000), "Contact: <sip:caller@"+c.addr.String()+">"))
				c.find("SIP/2.0 491", time.Second)
				c.send(withBody(c.request("PRACK", 3), tt.answer, rack(m)))
				c.find("SIP/2.0 ", time.Second)
				if tt.answer == session(trunk, 4000) {
					if ok := c.answered(); ok.body() != "" {
						t.Errorf("the 200 offers again:\n%s", ok.text)
					}
					c.ack()
				} else {
					c.find("SIP/2.0 488", time.Second)
				}
				pass(10 * time.Millisecond)
				r.wantStory(c.id, tt.facts)
			})
		})
	}
}

// RFC 3262, 5: a PRACK may bring an offer of its own; its 200 answers.
func TestOfferInAPRACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Supported")...)
		r.line.Play(c.id, 0, "waiting")
		m := c.want("SIP/2.0 183")
		c.to, c.target = m.tag("To"), m.uri("Contact")
		c.send(withBody(c.request("PRACK", 2), session(trunk, 4100)+"a=sendonly\n", rack(m)))
		if ok := c.want("SIP/2.0 200"); ok.line("a=recvonly") == "" {
			t.Errorf("no answer in\n%s", ok.text)
		}
		// RFC 3311: an UPDATE may change it again before the 200.
		c.send(withBody(c.request("UPDATE", 3), session(trunk, 4100), "Contact: <sip:caller@"+c.addr.String()+">"))
		if ok := c.want("SIP/2.0 200"); ok.line("a=sendrecv") == "" {
			t.Errorf("no answer in\n%s", ok.text)
		}
	})
}

// RFC 3262, 5; RFC 3261, 14.2: an offer in a PRACK that can't be served is refused, and the call goes on as it was.
func TestUselessOfferInAPRACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Supported")...)
		r.line.Play(c.id, 0, "waiting")
		c.send(c.within("PRACK", changed("8 0 101", "18"), rack(c.progress())))
		if m := c.want("SIP/2.0 488"); m.header("CSeq") != "2 PRACK" || m.header("Warning") == "" {
			t.Errorf("got\n%s", m.text)
		}
		c.answers("")
		c.none(20 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3262, 3 and RFC 3261, 9: a CANCEL and a BYE end a call whose 183 waits for its PRACK.
func TestEndBeforePRACK(t *testing.T) {
	for _, how := range []string{"CANCEL", "BYE"} {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).arrive(reliably("Require")...)
			r.line.Play(c.id, 0, "waiting")
			m := c.want("SIP/2.0 183")
			if how == "CANCEL" {
				c.send(c.cancel())
			} else {
				c.to, c.target = m.tag("To"), m.uri("Contact")
				c.send(c.request("BYE", 2))
			}
			c.want("SIP/2.0 ")
			c.want("SIP/2.0 ")
			c.ackFinal()
			c.none(lifetime)
			if got := r.story(c.id); !strings.HasPrefix(got, "arrived left:0:caller") {
				t.Error(got)
			}
			r.wantGone()
		})
	}
}

// RFC 3262, 4: reliable provisional responses of a phone are acknowledged, each once and in order, also those of forks.
func TestOurPRACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		if !strings.Contains(m.header("Supported"), "100rel") {
			t.Errorf("Supported: %s", m.header("Supported"))
		}
		const reachable = "Contact: <sip:t1@" + desk + ":5060>"
		ph.reply(m, "180 Ringing", "p", "Require: 100rel", "RSeq: 7", reachable)
		prack := ph.want("PRACK sip:t1@" + desk + ":5060")
		if prack.header("RAck") != "7 1 INVITE" || prack.tag("To") != "p" || prack.header("Call-ID") != m.header("Call-ID") {
			t.Errorf("PRACK\n%s", prack.text)
		}
		ph.reply(prack, "200 OK", "")
		ph.reply(m, "180 Ringing", "p", "Require: 100rel", "RSeq: 7", reachable) // it comes again
		ph.reply(m, "183 Session Progress", "p", "Require: 100rel", "RSeq: 9", reachable)
		ph.none(time.Second)
		ph.replySDP(m, "183 Session Progress", "p", "Require: 100rel", "RSeq: 8", reachable)
		second := ph.want("PRACK")
		if second.header("RAck") != "8 1 INVITE" || second.header("CSeq") == prack.header("CSeq") {
			t.Errorf("PRACK\n%s", second.text)
		}
		ph.reply(second, "200 OK", "")
		ph.reply(m, "180 Ringing", "fork", "Require: 100rel", "RSeq: 30", reachable)
		ph.reply(ph.want("PRACK"), "200 OK", "")
		ph.reply(m, "200 OK", "p", reachable)                     // its answer came with the 183
		if ack := ph.want("ACK"); ack.header("CSeq") != "1 ACK" { // the INVITE's (RFC 3261, 13.2.2.4)
			t.Errorf("ACK\n%s", ack.text)
		}
		pass(0)
		r.wantStory(c.id, waiting+"rang:1 answered:1")
		r.line.Drop(c.id, 1, 0)
		if bye := ph.want("BYE"); bye.tag("To") != "p" {
			t.Errorf("BYE\n%s", bye.text)
		}
	})
}

// RFC 3262, 4 and 5: a 2xx of another fork than the one whose 183 brought an answer needs an answer of its own.
func TestAnswerOfAnotherFork(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		const reachable = "Contact: <sip:t1@" + desk + ":5060>"
		ph.replySDP(m, "183 Session Progress", "p", "Require: 100rel", "RSeq: 1", reachable)
		ph.reply(ph.want("PRACK"), "200 OK", "")
		ph.reply(m, "200 OK", "q", reachable)
		ph.want("ACK")
		ph.reply(ph.want("BYE"), "200 OK", "")
		r.wantStory(c.id, waiting+"rang:1 left:1:taker:488")
	})
}

// RFC 3261, 16.6 step 11: a phone that rings for ever is given up after Timer C; each 18x starts it anew.
func TestTimerC(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		go c.stays()
		ph.reply(m, "180 Ringing", "p")
		ph.none(5 * time.Minute)
		ph.reply(m, "180 Ringing", "p")
		ph.none(5 * time.Minute)
		cancel := ph.wantWithin("CANCEL", 2*time.Minute)
		ph.reply(cancel, "200 OK", "p")
		ph.reply(m, "487 Request Terminated", "p")
		ph.want("ACK")
		pass(0)
		r.wantStory(c.id, waiting+"rang:1 left:1:desk:487")
	})
}

// RFC 3261, 16.6 step 11: Timer C ends with the final response.
func TestTimerCEndsWithTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		go c.stays()
		ph.reply(m, "180 Ringing", "p")
		pass(time.Second)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
		ph.want("ACK")
		ph.ignore = nil
		ph.alive(10 * time.Minute)
		r.wantStory(c.id, waiting+"rang:1 answered:1")
	})
}

// RFC 3262, 5 (and RFC 3261, 13.2.1): an INVITE without an offer whose first reliable provisional response has none: "one
// MUST appear in that reliable provisional response". With Require: 100rel and Play(""), our 180 is reliable and empty.
func TestReliable180WithoutOffer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(withoutOffer("Require: 100rel\n")...)
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		if m.header("RSeq") != "" && m.line("m=audio") == "" {
			t.Errorf("the first reliable response has no offer:\n%s", m.text)
		}
	})
}
