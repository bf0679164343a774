package sip_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

func TestBYEFromUs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		r.line.Drop(c.id, 0, 503)
		m := c.want("BYE sip:caller@" + trunk + ":5060 SIP/2.0")
		if m.tag("From") != c.to || m.tag("To") != c.from || m.header("Call-ID") != c.callID {
			t.Errorf("not in the dialog:\n%s", m.text)
		}
		if got := m.header("Reason"); got != `SIP;cause=503;text="Service Unavailable", Q.850;cause=41` {
			t.Errorf("Reason %s", got)
		}
		c.reply(m, "200 OK", "")
		c.none(time.Minute)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
		r.wantGone()
	})
}

// RFC 3326: what a peer says of its reasons goes into the record: of a refusal too, and never more than 200 bytes of text.
func TestReasonInTheRecord(t *testing.T) {
	for name, tt := range map[string]struct{ said, want string }{
		"as it was said":        {`SIP;cause=600;text="Busy Everywhere"`, `SIP;cause=600;text="Busy Everywhere"`},
		"long":                  {strings.Repeat("x", 300), strings.Repeat("x", 200)},
		"long, not cut in half": {"x" + strings.Repeat("é", 200), "x" + strings.Repeat("é", 99)},
		"not UTF-8":             {"a\xffb", "a?b"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, ph, m := ringing(r)
				ph.reply(m, "486 Busy Here", "p", "Reason: "+tt.said)
				ph.want("ACK")
				c.send(withBody(c.request("BYE", 2), "", "Reason: "+tt.said))
				c.want("SIP/2.0 200")
				pass(time.Millisecond)
				for _, ev := range r.facts(c.id) {
					if left, ok := ev.(call.Left); ok && left.Reason != tt.want {
						t.Errorf("of the leg %d: %q, want %q", left.Leg, left.Reason, tt.want)
					}
				}
				r.wantStory(c.id, waiting+"left:1:taker:486 left:0:caller")
			})
		})
	}
}

// RFC 3261, 15 and RFC 3326: a Drop without a code before the ACK waits for it too, and is a normal end.
func TestDropWithoutACodeBeforeTheACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		c.answered()
		r.line.Drop(c.id, 0, 0)
		pass(10 * time.Millisecond)
		c.ack()
		if m := c.want("BYE"); m.header("Reason") != "Q.850;cause=16" {
			t.Errorf("Reason: %s", m.header("Reason"))
		}
	})
}

// A BYE that nobody answers is repeated, and the leg has left all the same (15.1.1).
func TestUnansweredBYE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		r.line.Drop(c.id, 0, 200)
		first := c.want("BYE")
		again := c.want("BYE")
		if again.at-first.at != t1 || again.text != first.text {
			t.Errorf("BYE again after %s:\n%s", again.at-first.at, again.text)
		}
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
		r.wantGone()
	})
}

// RFC 3261, 15: no BYE before the ACK.
func TestDropBeforeTheACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		c.answered()
		r.line.Drop(c.id, 0, 503)
		c.wantWithin("SIP/2.0 200", t1+time.Millisecond)
		r.wantStory(c.id, "arrived answered:0")
		c.ack()
		m := c.want("BYE")
		if got := m.header("Reason"); !strings.Contains(got, "cause=503") {
			t.Errorf("Reason %q", got)
		}
		c.reply(m, "200 OK", "")
		c.none(time.Minute)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
	})
}

func TestDropWithoutAnACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		first := c.answered()
		r.line.Drop(c.id, 0, 503)
		m := c.find("BYE", lifetime+time.Second)
		if m.at-first.at != lifetime {
			t.Errorf("BYE after %s", m.at-first.at)
		}
		c.reply(m, "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:network:408")
	})
}

func TestBYEFromTheCaller(t *testing.T) {
	tests := []struct {
		name  string
		cseq  int
		pairs func(c *caller) []string
		code  string
		ends  bool
	}{
		{"the dialog's", 2, nil, "200", true},
		{"numbers may be left out (12.2.2)", 200, nil, "200", true},
		{"a number that was there before (12.2.2)", 1, nil, "500", false},
		{"another From tag", 2, func(c *caller) []string { return []string{";tag=" + c.from, ";tag=x"} }, "481", false},
		{"another To tag", 2, func(c *caller) []string { return []string{";tag=" + c.to, ";tag=x"} }, "481", false},
		{"the tag of a leg that is not there", 2, func(c *caller) []string { return []string{c.to, string(c.id) + ".1"} }, "481", false},
		{"no To tag", 2, func(c *caller) []string { return []string{";tag=" + c.to, ""} }, "481", false},
		{"another Call-ID", 2, func(c *caller) []string { return []string{c.callID, "x"} }, "481", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				var pairs []string
				if tt.pairs != nil {
					pairs = tt.pairs(c)
				}
				c.send(c.request("BYE", tt.cseq, pairs...))
				c.want("SIP/2.0 " + tt.code)
				pass(time.Second)
				want := "arrived answered:0"
				if tt.ends {
					want += " left:0:caller"
				}
				r.wantStory(c.id, want)
			})
		})
	}
}

// RFC 3261, 15.1.2: a BYE of a dialog that has ended gets 481.
func TestBYEAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		c.send(c.request("BYE", 2))
		c.want("SIP/2.0 200")
		c.send(c.request("BYE", 3))
		c.want("SIP/2.0 481")
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
	})
}

// RFC 3261, 15: every message comes in a goroutine of its own: a BYE can pass its ACK, and both orders are right.
func TestBYEBeforeTheACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		for i := range 100 {
			c := r.caller(p).arrive()
			r.line.Answer(c.id, 0)
			c.answered()
			if i%2 == 0 {
				c.ack()
				c.send(c.request("BYE", 2))
			} else {
				c.send(c.request("BYE", 2))
				c.ack()
			}
			c.want("SIP/2.0 200")
			pass(20 * time.Millisecond)
			r.wantStory(c.id, "arrived answered:0 left:0:caller")
		}
		p.none(time.Minute)
		r.wantGone()
	})
}

// A caller may end an early dialog by BYE (15.1.2): the INVITE then gets 487.
func TestBYEInAnEarlyDialog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Play(c.id, 0, "")
		c.to = c.want("SIP/2.0 180").tag("To")
		c.send(c.request("BYE", 2))
		c.want("SIP/2.0 200")
		c.want("SIP/2.0 487")
		c.ackFinal()
		c.none(time.Minute)
		r.wantStory(c.id, "arrived left:0:caller")
		r.wantGone()
	})
}

// RFC 3261, 15: BYE and Drop cross on the wire: each side's BYE gets an answer, and the leg leaves once.
func TestBYEsCross(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		r.line.Drop(c.id, 0, 200)
		c.send(c.request("BYE", 2))
		var bye, answer bool
		for range 2 {
			m := c.want("")
			bye = bye || strings.HasPrefix(m.start(), "BYE")
			answer = answer || strings.HasPrefix(m.start(), "SIP/2.0 ")
			if strings.HasPrefix(m.start(), "BYE") {
				c.reply(m, "200 OK", "")
			}
		}
		if !bye || !answer {
			t.Errorf("our BYE %t, an answer to theirs %t", bye, answer)
		}
		c.none(time.Minute)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
	})
}

// The verbs do nothing to a call that nobody knows, and Drop and Ring say so: the desk waits for a Left.
func TestVerbsForNobody(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		c.send(c.cancel())
		c.canceled()
		c.ackFinal()
		pass(time.Second)
		r.line.Answer(c.id, 0)
		r.line.Play(c.id, 0, "waiting")
		r.line.Mix(c.id, nil)
		r.wantStory(c.id, "arrived left:0:caller:487")
		r.line.Drop(c.id, 0, 480)
		r.line.Ring(c.id, 1, party("t1"), "")
		r.wantStory(c.id, "arrived left:0:caller:487 left:0:node left:1:node")
	})
}

// A leg has left when its BYE is on the wire, not before: a crash between would leave somebody connected.
func TestLeftFollowsTheBYE(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).talk()
			r.line.Drop(c.id, 0, 0)
			c.reply(c.want("BYE"), "200 OK", "")
			pass(time.Second)
			bye := false
			for _, d := range r.all() {
				switch {
				case d.what == "wire" && strings.Contains(d.text, " BYE "):
					bye = true
				case d.what == "tell" && strings.HasPrefix(short(d.event), "left") && !bye:
					t.Fatal("Left was told before the BYE was written")
				}
			}
			if !bye {
				t.Fatal("no BYE was written")
			}
		})
	}
}

// A phone that rings and answers neither our CANCEL nor, ever, the INVITE: after 64*T1 the leg has left, and nobody waits
// for the INVITE's final response any more (9.1: such a transaction has no end of its own).
func TestUnansweredCANCELLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		r.line.Forget("t1") // no OPTIONS: only the leg's own transactions are left
		r.line.Drop(c.id, 0, 200)
		c.reply(c.want("BYE"), "200 OK", "")
		pass(2 * lifetime)
		if n := pumps(); n != 1 {
			t.Fatalf("%d transactions are waited for while it rings, want the INVITE's", n)
		}
		ph.drain(0)
		r.line.Drop(c.id, 1, 487)
		ph.want("CANCEL")
		pass(lifetime - 2*time.Second)
		r.wantStory(c.id, waiting+"left:0:desk rang:1")
		pass(3 * time.Second)
		r.wantStory(c.id, waiting+"left:0:desk rang:1 left:1:desk:408")
		pass(lifetime) // what is left of the CANCEL's transaction
		if n := pumps(); n != 0 {
			t.Errorf("%d transactions are still waited for", n)
		}
		r.wantGone()
	})
}

// pumps is how many client transactions of the line are waited for.
func pumps() int {
	buf := make([]byte, 1<<22)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "/sip.pump(")
}

// A call breaks while a phone has not given any sign yet: when it rings after all it gets a CANCEL, and a 200 gets ACK and
// BYE.
func TestPhoneOfABrokenCall(t *testing.T) {
	for late, want := range map[string][]string{"180 Ringing": {"CANCEL"}, "200 OK": {"ACK", "BYE"}} {
		bubble(t, func(t *testing.T, r *rig) {
			c, ph, first := ringing(r)
			r.line.Ring(c.id, 2, party("t1"), "")
			second := ph.wantPast("INVITE", 100*time.Millisecond)
			r.mu.Lock()
			r.onTell = func(_ call.ID, ev call.Event) {
				if _, ok := ev.(call.Rang); ok {
					panic("a test")
				}
			}
			r.mu.Unlock()
			ph.reply(second, "180 Ringing", "p2")
			c.reply(c.want("BYE"), "200 OK", "")
			pass(time.Second)
			ph.drain(time.Second)
			if late[0] == '2' {
				ph.replySDP(first, late, "p1")
			} else {
				ph.reply(first, late, "p1")
			}
			for _, w := range want {
				m := ph.find(w, 2*time.Second)
				if w != "ACK" {
					ph.reply(m, "200 OK", "p1")
				}
			}
			pass(10 * time.Millisecond)
			if late[0] == '1' {
				ph.reply(first, late, "p1")
			}
			ph.none(time.Second) // one CANCEL, however often it rings
		})
	}
}

// A phone that rings is in no dialog yet (12.1): what it sends in the INVITE's name, also without a tag as RFC 2543 peers
// did, gets 481 and breaks nothing.
func TestRequestsOfAPhoneThatRings(t *testing.T) {
	for _, method := range []string{"BYE", "REFER", "UPDATE", "INVITE", "PRACK", "OPTIONS"} {
		bubble(t, func(t *testing.T, r *rig) {
			c, ph, m := ringing(r)
			ph.reply(m, "180 Ringing", "p")
			pass(10 * time.Millisecond)
			ph.send(strings.NewReplacer(
				";tag=p\n", "\n", "branch=z9hG4bK", "branch=", "CSeq", "Contact: <sip:t1@"+desk+">\nRefer-To: <sip:t2@"+gateway+">\nCSeq",
			).Replace(inDialog(m, method, 1, "p")))
			ph.want("SIP/2.0 481")
			ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
			ph.find("ACK", time.Second)
			pass(time.Millisecond)
			r.wantStory(c.id, waiting+"rang:1 answered:1")
		})
	}
}

// A call breaks while the CANCEL of a phone that rings waits for the INVITE's end: nobody waits for that longer than 64*T1.
func TestBrokenCallAfterACANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		pass(time.Millisecond)
		r.line.Forget("t1") // no OPTIONS: only the leg's own transactions are left
		r.line.Drop(c.id, 1, 487)
		ph.reply(ph.want("CANCEL"), "200 OK", "p")
		r.mu.Lock()
		r.onTell = func(_ call.ID, ev call.Event) {
			if l, ok := ev.(call.Left); ok && l.Leg == 2 {
				panic("a test")
			}
		}
		r.mu.Unlock()
		r.line.Ring(c.id, 2, party("t1"), "")
		c.reply(c.want("BYE"), "200 OK", "")
		pass(2 * lifetime)
		if n := pumps(); n != 0 {
			t.Errorf("%d transactions are still waited for", n)
		}
		r.wantGone()
	})
}
