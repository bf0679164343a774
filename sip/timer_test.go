package sip_test

import (
	"strings"
	"testing"
	"time"
)

// RFC 4028, 9: what we make of the session timer that an INVITE asks for.
func TestSessionTimerOfACaller(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    string // Session-Expires of the 200; "": none
		refresh time.Duration
	}{
		"knows none":                       {nil, "", 0},
		"knows it, asks for nothing":       {[]string{"Supported: timer"}, "1800;refresher=uas", 15 * time.Minute},
		"requires it":                      {[]string{"Require: timer"}, "1800;refresher=uas", 15 * time.Minute},
		"leaves the refreshing to us":      {[]string{"Supported: timer", "Session-Expires: 600"}, "600;refresher=uas", 5 * time.Minute},
		"wants us to refresh":              {[]string{"Supported: 100rel, timer", "Session-Expires: 120;refresher=uas"}, "120;refresher=uas", time.Minute},
		"refreshes itself":                 {[]string{"Supported: timer", "Session-Expires: 120;refresher=uac"}, "120;refresher=uac", 0},
		"short forms":                      {[]string{"k: timer", "x: 180"}, "180;refresher=uas", 90 * time.Second},
		"a proxy asked":                    {[]string{"Session-Expires: 200"}, "", 100 * time.Second},
		"a proxy asked for too little":     {[]string{"Session-Expires: 20"}, "", 45 * time.Second},
		"a proxy asked, for the caller":    {[]string{"Session-Expires: 200;refresher=uac"}, "", 100 * time.Second},
		"capitals":                         {[]string{"Supported: TIMER", "Session-Expires: 120 ; Refresher = UAC"}, "120;refresher=uac", 0},
		"Min-SE above ours":                {[]string{"Supported: timer", "Min-SE: 3600"}, "3600;refresher=uas", 30 * time.Minute},
		"nonsense":                         {[]string{"Supported: timer", "Session-Expires: soon"}, "1800;refresher=uas", 15 * time.Minute},
		"more than a day is as good as no": {[]string{"Supported: timer", "Session-Expires: 4000000000;refresher=uac"}, "86400;refresher=uac", 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive("Content-Type", strings.Join(append(tt.headers, "Content-Type"), "\n"))
				r.line.Answer(c.id, 0)
				m := c.answered()
				if got := m.header("Session-Expires"); got != tt.want {
					t.Errorf("Session-Expires: %q, want %q", got, tt.want)
				}
				if got := strings.Contains(m.header("Require"), "timer"); got != (tt.want != "") {
					t.Errorf("Require: %q", m.header("Require"))
				}
				c.ack()
				if tt.refresh == 0 {
					return
				}
				c.alive(tt.refresh - time.Second)
				again := c.wantWithin("INVITE", 2*time.Second)
				if again.tag("To") != c.from || again.tag("From") != c.to || again.line("a=sendrecv") == "" {
					t.Errorf("no refresh of this dialog:\n%s", again.text)
				}
			})
		})
	}
}

// alive answers every OPTIONS for d; nothing else may come.
func (p *peer) alive(d time.Duration) {
	p.tb.Helper()
	until := time.Now().Add(d)
	for {
		m, ok := p.next(time.Until(until))
		switch {
		case !ok:
			return
		case strings.HasPrefix(m.start(), "OPTIONS"):
			p.reply(m, "200 OK", "")
		default:
			p.tb.Fatalf("%s: got at %s, want nothing:\n%s", p.addr, m.at, m.text)
		}
	}
}

// RFC 4028, 6 and 9: too short an interval is refused with the shortest that is taken; it becomes a record.
func TestSessionIntervalTooSmall(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Content-Type", "Supported: timer\nSession-Expires: 60\nContent-Type")
		r.wantStory(c.id, "arrived:422")
		r.line.Drop(c.id, 0, 422)
		if m := c.want("SIP/2.0 422 Session Interval Too Small"); m.header("Min-SE") != "90" {
			t.Errorf("Min-SE: %q", m.header("Min-SE"))
		}
		c.ackFinal()
		again := r.caller(r.peerAt(trunk, 5070)).talk()
		again.send(again.reinvite(session(trunk, 4000), "Supported: timer", "Session-Expires: 89"))
		if m := again.want("SIP/2.0 422"); m.header("Min-SE") != "90" {
			t.Errorf("Min-SE: %q", m.header("Min-SE"))
		}
		pass(0)
		r.wantStory(again.id, "arrived answered:0")
	})
}

// RFC 4028, 10: a peer that said it would refresh, and does not, is hung up on before the session ends; each refresh starts
// the interval anew.
func TestSessionThatIsNotRefreshed(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).arrive("Content-Type", "Supported: timer\nSession-Expires: 90;refresher=uac\nContent-Type")
			r.line.Answer(c.id, 0)
			c.answered()
			c.ack()
			for range 5 {
				c.alive(45 * time.Second)
				c.send(c.within(method, session(trunk, 4000), "Contact: <sip:caller@"+c.addr.String()+">", "Supported: timer", "Session-Expires: 90;refresher=uac"))
				if m := c.want("SIP/2.0 200"); m.header("Session-Expires") != "90;refresher=uac" {
					t.Errorf("Session-Expires: %s", m.header("Session-Expires"))
				}
				if method == "INVITE" {
					c.ack()
				}
			}
			c.alive(59 * time.Second)
			c.reply(c.wantWithin("BYE", 2*time.Second), "200 OK", "")
			pass(time.Second)
			r.wantStory(c.id, "arrived answered:0 left:0:network:408")
			r.wantGone()
		})
	}
}

// RFC 4028, 7 and 10: our refresh, and what comes back.
func TestOurRefresh(t *testing.T) {
	for name, tt := range map[string]struct {
		allow   string
		method  string
		answers []string // final responses, one after the other
		facts   string
	}{
		"by INVITE":             {"INVITE, ACK, BYE", "INVITE", []string{"200 OK"}, ""},
		"by UPDATE":             {"INVITE, UPDATE", "UPDATE", []string{"200 OK"}, ""},
		"without an answer":     {"", "INVITE", []string{"200 Fine"}, ""},
		"UPDATE is not allowed": {"UPDATE", "UPDATE", []string{"405 Method Not Allowed", "200 OK"}, ""},
		"UPDATE is not there":   {"UPDATE", "UPDATE", []string{"501 Not Implemented", "200 OK"}, ""},
		"glare":                 {"", "INVITE", []string{"491 Request Pending", "200 OK"}, ""},
		"gone":                  {"", "INVITE", []string{"481 Call/Transaction Does Not Exist"}, " left:0:network:408"},
		"too small":             {"", "INVITE", []string{"422 Session Interval Too Small", "200 OK"}, ""},
		"refused":               {"", "INVITE", []string{"488 Not Acceptable Here"}, " left:0:network:408"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive("Content-Type", "Allow: "+tt.allow+"\nSupported: timer\nSession-Expires: 100;refresher=uas\nContent-Type")
				r.line.Answer(c.id, 0)
				first := c.answered()
				c.ack()
				c.alive(49 * time.Second)
				method := tt.method
				for _, status := range tt.answers {
					m := c.wantWithin(method, 5*time.Second)
					if method == "INVITE" && m.line("o=") != first.line("o=") {
						t.Errorf("an unchanged description says %s, not %s (RFC 3264, 8)", m.line("o="), first.line("o="))
					}
					if got := m.header("Session-Expires"); got != "100;refresher=uac" && got != "300;refresher=uac" {
						t.Errorf("Session-Expires: %s", got)
					}
					switch {
					case status == "200 Fine":
						c.reply(m, status, "", "Contact: <sip:caller@"+c.addr.String()+">", "Session-Expires: 100;refresher=uac")
						c.want("ACK")
					case strings.HasPrefix(status, "200") && method == "INVITE":
						c.replySDP(m, status, "", "Contact: <sip:caller@"+c.addr.String()+">", "Session-Expires: 100;refresher=uac")
						c.want("ACK")
					case strings.HasPrefix(status, "200"):
						c.reply(m, status, "", "Session-Expires: 100;refresher=uac")
					default:
						c.reply(m, status, "", "Min-SE: 300")
						if method == "INVITE" {
							c.want("ACK")
						}
						method = "INVITE"
					}
				}
				if tt.facts == "" {
					c.alive(45 * time.Second)
					r.wantStory(c.id, "arrived answered:0")
					return
				}
				c.reply(c.find("BYE", time.Minute), "200 OK", "")
				pass(time.Second)
				r.wantStory(c.id, "arrived answered:0"+tt.facts)
			})
		})
	}
}

// RFC 3261, 14.1: who made the Call-ID tries again after 2.1 to 4 s, the other after 0 to 2 s.
func TestGlareTimer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">", "Session-Expires: 90;refresher=uac")
		ph.want("ACK")
		ph.ignore = nil
		refresh := ph.aliveUntil("INVITE", 46*time.Second)
		ph.reply(refresh, "491 Request Pending", "")
		ph.want("ACK")
		again := ph.wantWithin("INVITE", 5*time.Second)
		if d := again.at - refresh.at; d < 2100*time.Millisecond || d > 4*time.Second+10*time.Millisecond {
			t.Errorf("again after %v, want 2.1 to 4 s", d)
		}
		ph.replySDP(again, "200 OK", "", "Contact: <sip:t1@"+desk+">")
		ph.want("ACK")
		r.wantStory(c.id, waiting+"answered:1")
	})
}

// RFC 3261, 14.2: while an INVITE of ours is under way, the peer's gets 491.
func TestINVITEsCross(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">", "Session-Expires: 90;refresher=uac")
		ph.want("ACK")
		ph.ignore = nil
		refresh := ph.aliveUntil("INVITE", 46*time.Second)
		crossing := withBody(inDialog(m, "INVITE", 1, "p"), session(desk, 4000), "Contact: <sip:t1@"+desk+">")
		ph.send(crossing)
		ph.want("SIP/2.0 491")
		ph.replySDP(refresh, "200 OK", "", "Contact: <sip:t1@"+desk+">")
		ph.find("ACK", time.Second)
	})
}

// A phone that knows no timer is refreshed by INVITE, and a phone that does is asked to let us refresh (RFC 4028, 7.1).
func TestPhonesAreRefreshed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		go c.stays()
		if got := m.header("Session-Expires"); got != "1800;refresher=uac" || !strings.Contains(m.header("Supported"), "timer") {
			t.Errorf("Session-Expires: %s", got)
		}
		ph.ignore = nil
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
		ph.want("ACK")
		for range 3 {
			ph.alive(15*time.Minute - time.Second)
			refresh := ph.wantWithin("INVITE", 3*time.Second)
			ph.replySDP(refresh, "200 OK", "", "Contact: <sip:t1@"+desk+">")
			ph.want("ACK")
		}
		refresh := ph.aliveUntil("INVITE", 16*time.Minute)
		ph.reply(refresh, "501 Not Implemented", "") // then the call goes on without
		ph.want("ACK")
		ph.alive(time.Minute)
		r.wantStory(c.id, waiting+"answered:1")
	})
}

// stays answers whatever OPTIONS come until the peer is closed.
func (p *peer) stays() {
	for m := range p.got {
		if strings.HasPrefix(m.start(), "OPTIONS") {
			p.reply(m, "200 OK", "")
		}
	}
}

// aliveUntil answers every OPTIONS until something else comes.
func (p *peer) aliveUntil(start string, d time.Duration) message {
	p.tb.Helper()
	until := time.Now().Add(d)
	for {
		m := p.wantWithin("", time.Until(until))
		if strings.HasPrefix(m.start(), start) {
			return m
		}
		p.reply(m, "200 OK", "")
	}
}

// RFC 4028, 7.3: a phone may find our interval too small; the INVITE goes out again, in the same dialog-to-be.
func TestPhoneWantsALongerInterval(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "422 Session Interval Too Small", "p", "Min-SE: 7200")
		ph.want("ACK")
		again := ph.want("INVITE")
		if again.header("Session-Expires") != "7200;refresher=uac" || again.header("CSeq") != "2 INVITE" || again.header("Call-ID") != m.header("Call-ID") {
			t.Errorf("again:\n%s", again.text)
		}
		ph.reply(again, "422 Session Interval Too Small", "p", "Min-SE: 7200") // it does not know what it wants
		ph.want("ACK")
		pass(0)
		r.wantStory(c.id, waiting+"left:1:taker:422")
	})
}

// RFC 3262, 7.2 and RFC 3261, 13.2.2.4: after a 422 it is the second INVITE that RAck and ACK name.
func TestNumbersAfterA422(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, ph, m := ringing(r)
		const reachable = "Contact: <sip:t1@" + desk + ":5060>"
		ph.reply(m, "422 Session Interval Too Small", "p", "Min-SE: 7200")
		ph.want("ACK")
		again := ph.want("INVITE")
		ph.reply(again, "180 Ringing", "p", "Require: 100rel", "RSeq: 1", reachable)
		prack := ph.want("PRACK")
		if prack.header("RAck") != "1 2 INVITE" || prack.header("CSeq") != "3 PRACK" {
			t.Errorf("PRACK\n%s", prack.text)
		}
		ph.reply(prack, "200 OK", "")
		ph.replySDP(again, "200 OK", "p", reachable)
		if ack := ph.want("ACK"); ack.header("CSeq") != "2 ACK" {
			t.Errorf("ACK\n%s", ack.text)
		}
	})
}

// A call taker's phone that vanishes is noticed within 20 s: no sound, then no answer to OPTIONS in the dialog.
func TestVanishedPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">")
		ph.want("ACK")
		pass(19 * time.Second)
		r.wantStory(c.id, waiting+"answered:1 left:1:network:408")
	})
}

// A phone that says 100 to a refresh and then nothing (17.1.1.2 gives such an INVITE no end): the call goes on, and what the
// phone itself wants to change is not kept out for ever.
func TestRefreshWithoutAFinalResponse(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		go c.stays()
		ph.ignore = nil
		ph.reply(ph.aliveUntil("INVITE", 16*time.Minute), "100 Trying", "")
		ph.alive(time.Minute)
		ph.within("INVITE", session(desk, 4000)+"a=sendonly\n")
		ph.want("SIP/2.0 200")
		ph.seq--
		ph.within("ACK", "")
		r.wantStory(c.id, waiting+"answered:1")
		ph.reply(ph.aliveUntil("INVITE", 16*time.Minute), "100 Trying", "")
		if err := ph.close(); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		r.wantStory(c.id, waiting+"answered:1 left:1:network:408")
		if n := pumps(); n > 1 { // the registration's OPTIONS
			t.Errorf("%d transactions are still waited for", n)
		}
	})
}
