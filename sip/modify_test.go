package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// within is a request inside the caller's dialog, with more headers and a body; the next CSeq unless pairs say otherwise.
func (c *caller) within(method, body string, more ...string) string {
	c.cseq++
	return withBody(c.request(method, c.cseq), body, more...)
}

// withBody puts headers and a description into a request without a body.
func withBody(request, body string, more ...string) string {
	head := strings.Join(append(more, ""), "\n")
	if body != "" {
		head += "Content-Type: application/sdp\n"
	}
	return strings.Replace(request, "Content-Length: 0\n\n", fmt.Sprintf("%sContent-Length: %d\n\n%s", head, sdpLength(body), body), 1)
}

// reinvite is an INVITE inside the caller's dialog; it has a Contact.
func (c *caller) reinvite(body string, more ...string) string {
	return c.within("INVITE", body, append(more, "Contact: <sip:caller@"+c.addr.String()+">")...)
}

// ackWith acknowledges a 2xx with an answer.
func (c *caller) ackWith(body string) {
	c.tb.Helper()
	c.send(withBody(c.request("ACK", c.cseq), body))
}

// refused takes the refusal of the last INVITE inside the dialog and acknowledges it.
func (c *caller) refused(start string) message {
	c.tb.Helper()
	m := c.find(start, time.Second)
	c.ackRefusal(m)
	return m
}

// ackRefusal acknowledges a refusal: in the branch of its INVITE (17.1.1.3).
func (c *caller) ackRefusal(m message) {
	c.tb.Helper()
	c.send(c.requestWith(param(m.header("Via"), "branch"), "ACK", c.cseq))
}

// changed is the usual description with texts replaced.
func changed(pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(session(trunk, 4000))
}

// line is the first line of the description that begins like that.
func (m message) line(start string) string {
	for l := range strings.SplitSeq(m.body(), "\r\n") {
		if strings.HasPrefix(l, start) {
			return l
		}
	}
	return ""
}

// RFC 3264, 6.1 and 8.4; RFC 3261, 14.2: what the peer of a session changes, and what we answer.
func TestReINVITE(t *testing.T) {
	for name, tt := range map[string]struct{ offer, want string }{
		"refresh":                     {session(trunk, 4000), "a=sendrecv"},
		"hold by sendonly":            {session(trunk, 4000) + "a=sendonly\n", "a=recvonly"},
		"hold by inactive":            {session(trunk, 4000) + "a=inactive\n", "a=inactive"},
		"hold by 0.0.0.0 (RFC 2543)":  {changed("c=IN IP4 "+trunk, "c=IN IP4 0.0.0.0"), "a=recvonly"},
		"listens only":                {session(trunk, 4000) + "a=recvonly\n", "a=sendonly"},
		"another port":                {session(trunk, 4100), "a=sendrecv"},
		"another address":             {session("10.0.2.9", 4000), "a=sendrecv"},
		"events under another number": {changed("101", "96"), "a=rtpmap:96 telephone-event/8000"},
		"a second medium":             {session(trunk, 4000) + "m=video 4002 RTP/AVP 96\n", "m=video 0 RTP/AVP 96"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				c.send(c.reinvite(tt.offer))
				m := c.want("SIP/2.0 200")
				if m.line(tt.want) == "" {
					t.Errorf("no %s in\n%s", tt.want, m.body())
				}
				if m.tag("To") != c.to || m.header("Contact") == "" {
					t.Errorf("not of the dialog:\n%s", m.text)
				}
				c.ack()
				c.none(5 * time.Second)
				r.wantStory(c.id, "arrived answered:0")
				r.line.Drop(c.id, 0, 0)
				c.reply(c.want("BYE"), "200 OK", "")
				pass(time.Second)
				r.wantGone()
			})
		})
	}
}

// RFC 3261, 14.2: a session that can't be had is refused with 488 and a Warning (20.43), and the old one goes on.
func TestReINVITEThatCannotBeServed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		c.send(c.reinvite(changed("8 0 101", "18")))
		m := c.want("SIP/2.0 488")
		if w := m.header("Warning"); !strings.HasPrefix(w, "305 "+gateway+` "`) {
			t.Errorf("Warning: %s", w)
		}
		c.ackRefusal(m)
		c.send(c.reinvite("this is no description\n"))
		c.refused("SIP/2.0 400")
		c.send(c.reinvite(session(trunk, 4000)))
		c.want("SIP/2.0 200")
		c.ack()
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 14.2 and 13.2.1: an INVITE without a description asks for our offer; its ACK answers.
func TestReINVITEWithoutOffer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		c.send(c.reinvite(""))
		m := c.want("SIP/2.0 200")
		if m.line("m=audio") == "" {
			t.Fatalf("no offer in\n%s", m.text)
		}
		// Glare of offers: ours is open until the ACK (RFC 3261, 14.2; RFC 3311, 5.2).
		c.send(c.reinvite(session(trunk, 4000)))
		c.refused("SIP/2.0 491")
		c.send(c.within("UPDATE", session(trunk, 4000), "Contact: <sip:caller@"+c.addr.String()+">"))
		c.find("SIP/2.0 491", time.Second)
		c.send(c.reinvite("")) // a second question for our offer
		c.refused("SIP/2.0 491")
		c.cseq -= 3
		c.ackWith(session(trunk, 4200))
		c.cseq += 3
		c.none(5 * time.Second)
		c.send(c.reinvite(session(trunk, 4000)))
		c.want("SIP/2.0 200")
		c.ack()
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 14.2: a 200 to a re-INVITE is repeated as the first one was, and without its ACK the dialog ends by BYE.
func TestUnacknowledgedReINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		c.ignore = append(c.ignore, "OPTIONS")
		c.send(c.reinvite(session(trunk, 4000)))
		first := c.want("SIP/2.0 200")
		var gaps []time.Duration
		for len(gaps) < 4 {
			gaps = append(gaps, c.wantWithin("SIP/2.0 200", 8*time.Second).at-first.at)
		}
		for i, want := range []time.Duration{t1, 3 * t1, 7 * t1, 15 * t1} {
			if d := gaps[i] - want; d < 0 || d > 5*time.Millisecond {
				t.Errorf("repeated after %v, want %v", gaps[i], want)
			}
		}
		c.reply(c.find("BYE", lifetime), "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:network:408")
		r.wantGone()
	})
}

// RFC 3261, 13.2.2.4 and 14.2: an ACK is for one INVITE; the 200 to the next is repeated all the same.
func TestACKOfAnEarlierINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		for range 2 {
			c.send(c.reinvite(session(trunk, 4000)))
			c.want("SIP/2.0 200")
		}
		c.cseq--
		c.ack()
		c.cseq++
		if m := c.want("SIP/2.0 200"); m.header("CSeq") != "3 INVITE" {
			t.Errorf("repeated\n%s", m.text)
		}
		c.ack()
		c.none(20 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 14.2 and 15: who sends a re-INVITE has our 200, whatever became of its ACK: the dialog can be changed, and ended.
func TestReINVITEBeforeTheACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		c.answered()
		c.send(c.reinvite(session(trunk, 4000)))
		if m := c.want("SIP/2.0 200"); m.header("CSeq") != "2 INVITE" {
			t.Errorf("got\n%s", m.text)
		}
		if d := r.dialog(c.id, 0); len(d.Invite) > 0 {
			t.Error("the INVITE is still kept: a restart would answer it")
		}
		r.line.Drop(c.id, 0, 0)
		c.reply(c.want("BYE"), "200 OK", "")
		c.none(lifetime)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
	})
}

// RFC 3261, 8.1.1.5 and 12.2.2: the first request of a peer whose INVITE was ours may have any number, 0 too.
func TestFirstNumberOfAPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
		ph.want("ACK")
		ph.send(inDialog(m, "BYE", 0, "p"))
		ph.want("SIP/2.0 200")
		pass(0)
		r.wantStory(c.id, waiting+"answered:1 left:1:taker")
	})
}

// RFC 3261, 12.2.2: a request of the dialog that is out of order gets 500; one of another dialog 481.
func TestRequestsOutOfOrder(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE", "OPTIONS", "PRACK", "REFER", "BYE"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				c.send(c.within("OPTIONS", ""))
				c.want("SIP/2.0 200")
				for _, seq := range []int{1, c.cseq} { // the INVITE's number, and that of the request after it
					c.send(withBody(c.request(method, seq), "", "Contact: <sip:caller@"+c.addr.String()+">"))
					c.find("SIP/2.0 500", time.Second)
				}
				c.send(withBody(c.request(method, c.cseq+1, ";tag="+c.to, ";tag="+c.to+"x"), "", "Contact: <sip:caller@"+c.addr.String()+">"))
				c.find("SIP/2.0 481", time.Second)
				pass(0)
				r.wantStory(c.id, "arrived answered:0")
			})
		})
	}
}

// RFC 3261, 12.2.2: the remote target follows the Contact of a re-INVITE or an UPDATE; a BYE goes there, not to the old one.
func TestTargetRefresh(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				moved := r.peerAt("10.0.2.7", 5066)
				c.send(c.within(method, session(trunk, 4000), "Contact: <sip:moved@10.0.2.7:5066>"))
				c.want("SIP/2.0 200")
				if method == "INVITE" {
					c.ack()
				}
				pass(10 * time.Millisecond)
				r.line.Drop(c.id, 0, 0)
				moved.reply(moved.want("BYE sip:moved@10.0.2.7:5066"), "200 OK", "")
				pass(time.Second)
				r.wantGone()
			})
		})
	}
}

// RFC 3311, 5.2: UPDATE with and without an offer, before and after the 200.
func TestUPDATE(t *testing.T) {
	const here = "Contact: <sip:caller@10.0.2.1:5060>"
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Play(c.id, 0, "")
		ringing := c.want("SIP/2.0 180")
		c.to, c.target = ringing.tag("To"), ringing.uri("Contact")
		c.send(c.within("UPDATE", session(trunk, 4000), here)) // the first offer has no answer yet
		if m := c.want("SIP/2.0 500"); m.header("Retry-After") == "" {
			t.Errorf("no Retry-After in\n%s", m.text)
		}
		c.send(c.within("UPDATE", "", here))
		c.want("SIP/2.0 200")
		seq := c.cseq
		c.cseq = 1
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		c.cseq = seq
		c.send(c.within("UPDATE", session(trunk, 4000)+"a=sendonly\n", here))
		m := c.want("SIP/2.0 200")
		if m.line("a=recvonly") == "" || m.header("Content-Type") != "application/sdp" {
			t.Errorf("no answer in\n%s", m.text)
		}
		c.send(c.within("UPDATE", changed("8 0 101", "18"), here))
		if m := c.want("SIP/2.0 488"); m.header("Warning") == "" {
			t.Errorf("no Warning in\n%s", m.text)
		}
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 13.2.1; RFC 3264, 5: an INVITE without a description gets our offer in the 200; the ACK answers it.
func TestINVITEWithoutOffer(t *testing.T) {
	for name, tt := range map[string]struct{ ack, facts string }{
		"answered":        {session(trunk, 4000), "arrived answered:0"},
		"no answer":       {"", "arrived answered:0 left:0:caller:488"},
		"useless":         {changed("8 0 101", "18"), "arrived answered:0 left:0:caller:488"},
		"not readable":    {"hello\n", "arrived answered:0 left:0:caller:488"},
		"audio refused":   {changed("m=audio 4000", "m=audio 0"), "arrived answered:0 left:0:caller:488"},
		"on hold at once": {session(trunk, 4000) + "a=inactive\n", "arrived answered:0"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk))
				head, _, _ := strings.Cut(c.invite("Content-Type: application/sdp\n", ""), "Content-Length")
				c.send(head + "Content-Length: 0\n\n")
				pass(5 * time.Millisecond)
				c.id = r.ids()[0]
				r.line.Answer(c.id, 0)
				m := c.answered()
				if m.line("m=audio") == "" || m.line("a=sendrecv") == "" {
					t.Fatalf("no offer in\n%s", m.text)
				}
				c.ackWith(tt.ack)
				pass(10 * time.Millisecond)
				r.wantStory(c.id, tt.facts)
				if kept, goesOn := string(r.kept[keptKey{c.id, 0}]), tt.facts == "arrived answered:0"; goesOn != strings.Contains(kept, `"settled":true`) {
					t.Errorf("kept is %s", kept)
				}
			})
		})
	}
}

// RFC 3264, 8.4: what a phone's re-INVITE means to the desk: hold and resume, once each.
func TestHold(t *testing.T) {
	for name, hold := range map[string]string{
		"sendonly": session(desk, 4000) + "a=sendonly\n", "inactive": session(desk, 4000) + "a=inactive\n",
		"0.0.0.0": strings.Replace(session(desk, 4000), "c=IN IP4 "+desk, "c=IN IP4 0.0.0.0", 1),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				_, ph, m := ringing(r)
				ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
				ph.want("ACK")
				for i, body := range []string{hold, hold, session(desk, 4000)} {
					ph.send(withBody(inDialog(m, "INVITE", i+1, "p"), body, "Contact: <sip:t1@"+desk+">"))
					ph.want("SIP/2.0 200")
					ph.send(inDialog(m, "ACK", i+1, "p"))
					pass(10 * time.Millisecond)
				}
				if got, want := strings.Join(r.texts("ask"), "|"), "1 hold  |1 resume  "; got != want {
					t.Errorf("asked %q, want %q", got, want)
				}
				r.wantStory(r.ids()[0], waiting+"answered:1")
			})
		})
	}
}

// Requests inside a dialog go back over the flow that the phone used last, whatever its Contact says (NAT).
func TestFlowFollowsThePhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@192.168.7.7:5999>")
		ph.want("ACK")
		rebound := r.peerAt(desk, 6060) // a NAT that has changed its mind
		rebound.send(strings.Replace(inDialog(m, "OPTIONS", 1, "p"), desk+":5060", desk+":6060", 1))
		rebound.want("SIP/2.0 200")
		r.line.Drop(c.id, 1, 0)
		rebound.reply(rebound.want("BYE sip:t1@192.168.7.7:5999"), "200 OK", "")
		r.wantStory(c.id, waiting+"answered:1 left:1:desk")
	})
}

// RFC 3261, 18: the same where the phone has gone over to TCP.
func TestFlowFollowsThePhoneToTCP(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		conn, _ := r.tcpPeer(desk)
		conn.send(strings.Replace(inDialog(ph.invite, "OPTIONS", 1, "p"), "SIP/2.0/UDP", "SIP/2.0/TCP", 1))
		conn.want("SIP/2.0 200")
		r.line.Drop(c.id, 1, 0)
		bye := conn.want("BYE")
		if !strings.HasPrefix(bye.header("Via"), "SIP/2.0/TCP "+gateway) {
			t.Errorf("Via: %s", bye.header("Via"))
		}
		conn.reply(bye, "200 OK", "")
		ph.none(time.Second)
	})
}

// The record keeps why the peer ended a call, in its own words (RFC 3326), and we say why we do.
func TestReason(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
		ph.want("ACK")
		c.send(withBody(c.request("BYE", 2), "", `Reason: Q.850;cause=16;text="Terminated"`, "Reason: SIP;cause=200"))
		c.want("SIP/2.0 200")
		pass(0)
		facts := r.facts(c.id)
		left, _ := facts[len(facts)-1].(call.Left)
		if want := `Q.850;cause=16;text="Terminated", SIP;cause=200`; left.Reason != want {
			t.Errorf("kept %q, want %q", left.Reason, want)
		}
		r.line.Drop(c.id, 1, 487)
		if got, want := ph.want("BYE").header("Reason"), `SIP;cause=487;text="Caller gone", Q.850;cause=16`; got != want {
			t.Errorf("Reason: %s, want %s", got, want)
		}
	})
}

// 14.2: an INVITE before the final response to the first one gets 500, also where offer and answer are done by 183 and PRACK;
// the first one is answered all the same.
func TestReINVITEBeforeTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive(reliably("Supported")...)
		r.line.Play(c.id, 0, "waiting")
		m := c.want("SIP/2.0 183")
		c.to, c.target = m.tag("To"), m.uri("Contact")
		c.send(c.within("PRACK", "", rack(m)))
		c.want("SIP/2.0 200")
		c.send(c.reinvite(session(trunk, 4002)))
		if m := c.refused("SIP/2.0 500"); m.header("Retry-After") == "" {
			t.Errorf("no Retry-After\n%s", m.text)
		}
		r.line.Answer(c.id, 0)
		if ok := c.answered(); ok.header("CSeq") != "1 INVITE" {
			t.Errorf("200\n%s", ok.text)
		}
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 14.1 and 9.2: a re-INVITE that its CANCEL overtook has changed nothing: our next refresh says what was agreed
// on before it (RFC 4028, 7.4).
func TestCanceledReINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 100;refresher=uas")
		busy, once := make(chan struct{}), true
		r.mu.Lock()
		r.onKeep = func(call.ID, call.Leg, []byte) {
			if once {
				once = false
				<-busy
			}
		}
		r.mu.Unlock()
		here := "Contact: <sip:caller@" + c.addr.String() + ">"
		c.send(c.within("UPDATE", "", here, "Supported: timer", "Session-Expires: 100;refresher=uas"))
		c.want("SIP/2.0 200")
		hold := c.reinvite(session(trunk, 4000)+"a=sendonly\n", "Supported: timer", "Session-Expires: 100;refresher=uas")
		c.send(hold)
		pass(5 * time.Millisecond)
		c.send(c.requestWith(param(message{text: crlf(hold)}.header("Via"), "branch"), "CANCEL", c.cseq))
		pass(5 * time.Millisecond)
		close(busy)
		for _, m := range c.drain(time.Second) {
			if m.start()[:11] == "SIP/2.0 487" {
				c.ackRefusal(m)
			}
		}
		m := c.aliveUntil("INVITE", 2*time.Minute)
		if m.line("a=sendrecv") == "" {
			t.Errorf("our refresh is not what was agreed on:\n%s", m.body())
		}
	})
}

func crlf(s string) string { return strings.ReplaceAll(strings.TrimLeft(s, "\n"), "\n", "\r\n") }
