package sip_test

import (
	"strings"
	"testing"
	"time"
)

// timed is a caller's dialog with that session timer.
func timed(r *rig, headers string) *caller {
	r.tb.Helper()
	c := r.caller(r.peer(trunk)).arrive("Content-Type", headers+"\nContent-Type")
	c.answers("")
	return c
}

// RFC 4028, 9: a later INVITE or UPDATE of the peer's sets the session timer anew, or ends it.
func TestPeerChangesTheSessionTimer(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := timed(r, "Supported: timer\nSession-Expires: 600;refresher=uas")
				here := "Contact: <sip:caller@" + c.addr.String() + ">"
				change := func(want string, headers ...string) {
					t.Helper()
					c.send(c.within(method, session(trunk, 4000), append(headers, here)...))
					if m := c.want("SIP/2.0 200"); m.header("Session-Expires") != want {
						t.Errorf("Session-Expires: %q, want %q", m.header("Session-Expires"), want)
					}
					if method == "INVITE" {
						c.ack()
					}
				}
				c.alive(61 * time.Second)
				change("100;refresher=uas", "Supported: timer", "Session-Expires: 100;refresher=uas")
				c.alive(49 * time.Second)
				m := c.wantWithin("INVITE", 2*time.Second)
				c.replySDP(m, "200 OK", "", here, "Session-Expires: 100;refresher=uac")
				c.want("ACK")
				change("")
				c.alive(20 * time.Minute)
				r.wantStory(c.id, "arrived answered:0")
			})
		})
	}
}

// RFC 4028, 9: a phone that knows no timer is refreshed whatever it sends meanwhile, and whoever has called.
func TestPhonesGoOnBeingRefreshed(t *testing.T) {
	const here = "Contact: <sip:t1@" + desk + ":5060>"
	for _, method := range []string{"INVITE", "UPDATE"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, ph := talking(r)
				go c.stays()
				ph.ignore = nil
				ph.alive(time.Minute)
				ph.within(method, session(desk, 4000))
				ph.want("SIP/2.0 200")
				if method == "INVITE" {
					ph.send(inDialog(ph.invite, "ACK", ph.seq, "p"))
				}
				ph.alive(15*time.Minute - time.Second)
				ph.wantWithin("INVITE", 2*time.Second)
			})
		})
	}
	t.Run("it has dialed", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.taker("t1", desk).dialed("t1", "*4")
			r.line.Answer(r.asked()[0].of, 0)
			c.answered()
			c.ack()
			c.ignore = []string{"OPTIONS sip:t1@phone.invalid"}
			c.alive(15*time.Minute - time.Second)
			m := c.wantWithin("INVITE", 2*time.Second)
			c.replySDP(m, "200 OK", "", here)
			c.want("ACK")
		})
	})
}

// RFC 3311, 5.1: what the peer allows is what it said last; a message without Allow says nothing.
func TestHowWeRefresh(t *testing.T) {
	for name, tt := range map[string]struct{ first, then, want string }{
		"never allowed":     {"Allow: INVITE, BYE", "", "INVITE"},
		"allowed, not said": {"Allow: INVITE, UPDATE", "", "UPDATE"},
		"no longer allowed": {"Allow: INVITE, UPDATE", "Allow: INVITE, BYE", "INVITE"},
		"allowed later":     {"Allow: INVITE, BYE", "Allow: INVITE, update", "UPDATE"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				const timer = "Supported: timer\nSession-Expires: 100;refresher=uas"
				c := timed(r, timer+"\n"+tt.first)
				more := []string{timer}
				if tt.then != "" {
					more = append(more, tt.then)
				}
				c.send(c.reinvite(session(trunk, 4000), more...))
				c.want("SIP/2.0 200")
				c.ack()
				c.aliveUntil(tt.want, 52*time.Second)
			})
		})
	}
}

// RFC 4028, 7.2: what a phone grants: its interval, but no shorter one than we take, and who refreshes.
func TestWhatAPhoneGrants(t *testing.T) {
	for name, tt := range map[string]struct {
		granted string
		start   string
		after   time.Duration
	}{
		"less than we asked for":  {"300;refresher=uac", "INVITE", 150 * time.Second},
		"less than the least":     {"30;refresher=uac", "INVITE", 45 * time.Second},
		"it refreshes":            {"300;refresher=uas", "BYE", 268 * time.Second},
		"it refreshes, too often": {"20;refresher=UAS", "BYE", 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, ph, m := ringing(r)
				go c.stays()
				ph.ignore = nil
				ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+">", "Session-Expires: "+tt.granted)
				ack := ph.want("ACK")
				if next := ph.aliveUntil(tt.start, 10*time.Minute); (next.at - ack.at).Round(time.Second) != tt.after {
					t.Errorf("%s after %s, want %s", tt.start, next.at-ack.at, tt.after)
				}
			})
		})
	}
}

// RFC 4028, 10: the BYE for a session that nobody refreshed goes out 32 s before its end, however long it is.
func TestLongSessionThatIsNotRefreshed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 1800;refresher=uac")
		c.alive(30*time.Minute - 33*time.Second)
		c.wantWithin("BYE", 2*time.Second)
	})
}

// RFC 4028, 10: a peer that knows the timer and refuses our refresh is hung up on before the session ends.
func TestRefusedRefresh(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 100;refresher=uas")
		refresh := c.aliveUntil("INVITE", time.Minute)
		c.reply(refresh, "488 Not Acceptable Here", "")
		c.want("ACK")
		if bye := c.aliveUntil("BYE", time.Minute); (bye.at - refresh.at).Round(time.Second) != 18*time.Second {
			t.Errorf("BYE %s after the refresh, want 32 s before the end", bye.at-refresh.at)
		}
	})
}

// RFC 4028, 7.2: a 2xx that says nothing of the timer means that nobody will hang up: a refusal after that ends nothing.
func TestPeerForgetsTheTimer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 100;refresher=uas")
		c.replySDP(c.aliveUntil("INVITE", time.Minute), "200 OK", "", "Contact: <sip:caller@"+c.addr.String()+">")
		c.want("ACK")
		c.reply(c.aliveUntil("INVITE", time.Minute), "488 Not Acceptable Here", "")
		c.want("ACK")
		c.alive(45 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 12.2.1.2, and RFC 4028, 7.2: the 2xx to our refresh tells where the peer is now, and the next interval.
func TestRefreshRefreshesTheTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 100;refresher=uas")
		moved := r.peerAt("10.0.2.7", 5066)
		c.replySDP(c.aliveUntil("INVITE", time.Minute), "200 OK", "", "Contact: <sip:moved@10.0.2.7:5066>", "Session-Expires: 200;refresher=uac")
		moved.want("ACK sip:moved@10.0.2.7:5066")
		if d := r.dialog(c.id, 0); d.Target != "sip:moved@10.0.2.7:5066" {
			t.Errorf("kept with the target %s", d.Target)
		}
		moved.alive(99 * time.Second)
		moved.wantWithin("INVITE sip:moved@10.0.2.7:5066", 2*time.Second)
	})
}

// RFC 4028, 7.4: a refresh changes nothing. One that is answered by what can't be used has refreshed all the same, and the
// call goes on as it was.
func TestUselessAnswerToARefresh(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 100;refresher=uas")
		c.send(response(c.aliveUntil("INVITE", time.Minute), "200 OK", "", changed("8 0 101", "18")))
		c.want("ACK")
		c.alive(49 * time.Second)
		if again := c.wantWithin("INVITE", 2*time.Second); again.line("a=sendrecv") == "" {
			t.Errorf("the next refresh:\n%s", again.text)
		}
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 14.1: no INVITE of ours goes out while one is under way in the dialog, the peer's or ours.
func TestOneINVITEAtATime(t *testing.T) {
	const timer = "Supported: timer\nSession-Expires: 100;refresher=uas"
	t.Run("the peer's", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			c := timed(r, timer)
			c.reply(c.aliveUntil("INVITE", time.Minute), "491 Request Pending", "")
			c.want("ACK")
			c.send(c.reinvite(session(trunk, 4000), timer))
			for _, m := range c.drain(3 * time.Second) { // our glare timer ends after 2 s
				if !strings.HasPrefix(m.start(), "SIP/2.0 200") {
					t.Errorf("got\n%s", m.text)
				}
			}
			c.ack()
			c.alive(49 * time.Second) // it was a refresh
			c.wantWithin("INVITE", 2*time.Second)
		})
	})
	t.Run("ours", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			c := timed(r, timer)
			c.reply(c.aliveUntil("INVITE", time.Minute), "100 Trying", "")
			c.send(c.within("UPDATE", "", timer, "Contact: <sip:caller@"+c.addr.String()+">"))
			c.want("SIP/2.0 200")
			c.alive(49 * time.Second) // it was a refresh, and meanwhile ours is given up
			c.wantWithin("INVITE", 2*time.Second)
		})
	})
}

// RFC 3261, 14.1: a refresh that met the caller's INVITE comes again after 0 to 2 s: the Call-ID is not ours.
func TestGlareTimerOfACaller(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := timed(r, "Supported: timer\nSession-Expires: 100;refresher=uas")
		refresh := c.aliveUntil("INVITE", time.Minute)
		c.reply(refresh, "491 Request Pending", "")
		c.want("ACK")
		if again := c.wantWithin("INVITE", 5*time.Second); again.at-refresh.at > 2*time.Second+10*time.Millisecond {
			t.Errorf("again after %s", again.at-refresh.at)
		}
	})
}

// RFC 3311, 5.2: an UPDATE is no place for a refresh before the answer.
func TestEarlyUPDATEWithATimer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Content-Type", "Allow: UPDATE\nContent-Type")
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		c.to, c.target = m.tag("To"), m.uri("Contact")
		c.send(c.within("UPDATE", "", "Supported: timer", "Session-Expires: 90;refresher=uas", "Contact: <sip:caller@"+c.addr.String()+">"))
		c.want("SIP/2.0 200")
		c.none(50 * time.Second)
	})
}
