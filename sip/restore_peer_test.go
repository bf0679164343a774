package sip_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// What a peer says to the INVITE that asks whether it is still there: only one that is not loses its call.
func TestAnswersAfterARestart(t *testing.T) {
	for name, tt := range map[string]struct {
		answers func(c *caller, m message)
		want    string
	}{
		"200":                       {func(c *caller, m message) { c.replySDP(m, "200 OK", ""); c.want("ACK") }, ""},
		"200 without a description": {func(c *caller, m message) { c.reply(m, "200 OK", ""); c.want("ACK") }, ""},
		"488":                       {func(c *caller, m message) { c.reply(m, "488 Not Acceptable Here", ""); c.want("ACK") }, ""},
		"500":                       {func(c *caller, m message) { c.reply(m, "500 Server Internal Error", ""); c.want("ACK") }, ""},
		"422": {func(c *caller, m message) {
			c.reply(m, "422 Session Interval Too Small", "", "Min-SE: 3600")
			c.want("ACK")
			c.replySDP(c.want("INVITE"), "200 OK", "")
			c.want("ACK")
		}, ""},
		"491 (RFC 3261, 14.1)": {func(c *caller, m message) {
			c.reply(m, "491 Request Pending", "")
			c.want("ACK")
			again := c.wantWithin("INVITE", 3*time.Second)
			if again.body() != m.body() {
				c.tb.Errorf("another description:\n%s", again.text)
			}
			c.replySDP(again, "200 OK", "")
			c.want("ACK")
		}, ""},
		"481": {func(c *caller, m message) { c.reply(m, "481 Call/Transaction Does Not Exist", ""); c.want("ACK") }, byNode},
		"408": {func(c *caller, m message) {
			c.reply(m, "408 Request Timeout", "")
			c.want("ACK")
			c.reply(c.want("BYE"), "200 OK", "")
		}, byNode},
		"nothing": {func(c *caller, _ message) {
			c.ignore = append(c.ignore, "INVITE", "OPTIONS")
			c.reply(c.wantWithin("BYE", lifetime+time.Second), "481 Call/Transaction Does Not Exist", "")
		}, byNode},
		"180 and nothing more": {func(c *caller, m message) {
			c.reply(m, "100 Trying", "")
			c.reply(m, "180 Ringing", "")
			pass(lifetime + 5*time.Second)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive("Content-Type", "Supported: timer\nSession-Expires: 1800;refresher=uas\nContent-Type")
				r.line.Answer(c.id, 0)
				c.answered()
				c.ack()
				pass(keepSoon)
				r.restart(alive(c.id, 0))
				m := knocked(c.peer)
				if !strings.HasPrefix(m.header("Session-Expires"), "1800;refresher=uac") {
					t.Errorf("Session-Expires: %s", m.header("Session-Expires"))
				}
				tt.answers(c, m)
				pass(time.Second)
				r.wantStory(c.id, "arrived answered:0"+tt.want)
				if tt.want != "" {
					r.wantGone()
					return
				}
				// It is a dialog like any other.
				c.cseq = 10
				c.send(c.within("OPTIONS", ""))
				c.find("SIP/2.0 200", time.Second)
				r.line.Drop(c.id, 0, 200)
				c.reply(c.find("BYE", time.Second), "200 OK", "")
				pass(time.Second)
				r.wantGone()
			})
		})
	}
}

// A peer may be first: whatever it asks in a dialog of before is served.
func TestPeerIsFirstAfterARestart(t *testing.T) {
	for name, ask := range map[string]func(c *caller){
		"BYE":     func(c *caller) { c.send(c.within("BYE", "")) },
		"OPTIONS": func(c *caller) { c.send(c.within("OPTIONS", "")) },
		"INVITE":  func(c *caller) { c.send(c.reinvite(session(trunk, 4000))) },
		"UPDATE":  func(c *caller) { c.send(c.within("UPDATE", "", "Contact: <sip:caller@"+trunk+":5060>")) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				// So many that a caller comes before our INVITE does.
				c := r.caller(r.peer(trunk)).talk()
				pass(keepSoon)
				for i := range 20 {
					d := r.dialog(c.id, 0)
					d.CallID = fmt.Sprint("other", i)
					id := call.NewID(call.Call, time.Now().Add(-time.Hour))
					d.LocalTag, d.Ports = string(id)+".0", [2]uint16{uint16(20100 + 2*i), uint16(20101 + 2*i)}
					r.kept[keptKey{id, 0}] = d.Encode()
				}
				live := map[call.ID][]call.Leg{}
				for key := range r.kept {
					live[key.id] = []call.Leg{0}
				}
				c.ignore = append(c.ignore, "INVITE", "OPTIONS", "BYE", "ACK")
				r.restart(live)
				ask(c)
				c.find("SIP/2.0 200", time.Second)
				pass(time.Second)
				want := "arrived answered:0"
				if name == "BYE" {
					want += " left:0:caller"
				}
				r.wantStory(c.id, want)
			})
		})
	}
}

// A session timer goes on where it stood (RFC 4028, 10): a peer that does not refresh is hung up on in time.
func TestRestoredSessionTimer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Content-Type", "Supported: timer\nSession-Expires: 200;refresher=uac\nContent-Type")
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		began := time.Since(r.start)
		go c.stays()
		pass(100 * time.Second)
		r.restart(alive(c.id, 0))
		m := c.aliveUntil("INVITE", time.Second)
		if !strings.HasPrefix(m.header("Session-Expires"), "200;refresher=uas") {
			t.Errorf("Session-Expires: %s", m.header("Session-Expires"))
		}
		c.reply(m, "488 Not Acceptable Here", "") // it refuses: nothing is refreshed by that
		bye := c.aliveUntil("BYE", 2*time.Minute)
		if got := (bye.at - began).Round(time.Second); got != 168*time.Second {
			t.Errorf("BYE after %s", got)
		}
	})
}

// Legs that call takers dialed into a call, and the numbers of those that they will; who has the phone; the end of a REFER.
func TestRestoredConsultation(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		gone := r.dials(ph, "t2")
		gone.send(gone.within("BYE", ""))
		gone.want("SIP/2.0 200")
		own := r.dials(ph, "t2")
		ph.refers("<sip:t2@" + gateway + ">")
		pass(keepSoon)
		r.restart(alive(c.id, 0, 1, 65534))
		ph.ignore = append(ph.ignore, "INVITE", "ACK")
		c.ignore = append(c.ignore, "INVITE")
		ph.notified("503 Service Unavailable", true)
		own.cseq++
		own.send(own.within("OPTIONS", ""))
		own.find("SIP/2.0 200", time.Second)
		asked := len(r.asked())
		ph.dialed("t1", "t2")
		if all := r.asked(); len(all) != asked+1 || all[asked].of != c.id || all[asked].text != "65533 dial t1 t2" {
			t.Errorf("asked %+v", all[asked:])
		}
		r.line.Drop(c.id, 65534, 200)
		own.reply(own.find("BYE", time.Second), "200 OK", "")
		r.line.Ring(c.id, 2, party("t2"), "")
		pass(time.Second)
		if got := r.story(c.id); !strings.HasSuffix(got, " left:65534:desk left:2:network:480") {
			t.Error(got)
		}
	})
}

// The display of a phone that is rung after the restart shows the caller's number.
func TestRestoredNumber(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := r.caller(r.peer(trunk)).talk()
		r.restart(alive(c.id, 0))
		r.line.Ring(c.id, 1, party("t1"), "")
		if m := ph.want("INVITE"); !strings.HasPrefix(m.header("From"), "<sip:+628115550001@") {
			t.Errorf("From: %s", m.header("From"))
		}
	})
}

// A registration is as good as before: the phone counts as up, and is asked by OPTIONS at once.
func TestRestoredPhones(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		r.restart(nil)
		ph.ignore = nil
		if got := strings.Join(r.texts("phone"), "|"); got != "t1 true|t1 true" {
			t.Errorf("phones %q", got)
		}
		ph.reply(ph.want("OPTIONS"), "480 Temporarily Unavailable", "x")
		pass(10 * time.Millisecond)
		if got := strings.Join(r.texts("phone"), "|"); got != "t1 true|t1 true|t1 false" {
			t.Errorf("phones %q", got)
		}
	})
}

// A phone behind TCP has to come back: its dialog goes on over the connection that it registers over.
func TestRestoredTCPPhone(t *testing.T) {
	for _, back := range []bool{true, false} {
		bubble(t, func(t *testing.T, r *rig) {
			p, conn := r.tcpPeer(desk)
			p.register("t1", "rahasia", "")
			p.reply(p.want("OPTIONS"), "200 OK", "x")
			p.ignore = []string{"OPTIONS"}
			pass(10 * time.Millisecond)
			c := r.caller(r.peer(trunk)).talk()
			r.line.Ring(c.id, 1, party("t1"), "")
			m := p.want("INVITE")
			p.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1:9;transport=tcp>")
			p.want("ACK")
			pass(keepSoon)
			_ = conn.Close()
			r.restart(alive(c.id, 0, 1))
			c.replySDP(knocked(c.peer), "200 OK", "")
			go c.stays()
			pass(5 * time.Second)
			if !back {
				pass(lifetime)
				if got := r.story(c.id); !strings.HasSuffix(got, " left:1:node") {
					t.Error(got)
				}
				return
			}
			again, _ := r.tcpPeer(desk)
			again.ignore = []string{"OPTIONS"}
			again.register("t1", "rahasia", "")
			m = again.wantWithin("INVITE sip:t1@10.0.1.1:9;transport=tcp", 2*time.Second)
			again.replySDP(m, "200 OK", "")
			again.want("ACK")
			r.line.Drop(c.id, 1, 200)
			again.reply(again.want("BYE"), "200 OK", "")
			pass(time.Second)
			if got := r.story(c.id); !strings.HasSuffix(got, " answered:1 left:1:desk") {
				t.Error(got)
			}
		})
	}
}

// RFC 3261, 18.2.2: the answer to an INVITE over TCP goes over a connection to the address in its Via. A trunk that is not
// there has lost its call.
func TestRestoredTCPWaiting(t *testing.T) {
	for _, listens := range []bool{true, false} {
		bubble(t, func(t *testing.T, r *rig) {
			p, conn := r.tcpPeer(trunk)
			c := r.caller(p).arrive("SIP/2.0/UDP "+p.addr.String(), "SIP/2.0/TCP "+trunk+":5070")
			var ln net.Listener
			if listens {
				var err error
				if ln, err = r.network.Host(netip.MustParseAddr(trunk)).Net().Listen("tcp", trunk+":5070"); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = ln.Close() })
			}
			_ = conn.Close()
			r.restart(alive(c.id, 0))
			if !listens {
				pass(time.Second)
				r.wantStory(c.id, "arrived"+byNode)
				r.wantGone()
				return
			}
			fresh, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.peer = newTCPPeer(t, r.start, fresh)
			c.ignore = []string{"SIP/2.0 100"}
			r.line.Answer(c.id, 0)
			c.answered()
			c.send(c.request("ACK", 1, "SIP/2.0/UDP", "SIP/2.0/TCP"))
			pass(10 * time.Millisecond)
			r.line.Drop(c.id, 0, 200)
			c.reply(c.want("BYE"), "200 OK", "")
			pass(time.Second)
			r.wantStory(c.id, "arrived answered:0 left:0:desk")
			r.wantGone()
		})
	}
}

// A run that dies while it takes calls up leaves them to the next one, with numbers that go on.
func TestRestoredTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		var last uint32
		for range 3 {
			r.restart(alive(c.id, 0))
			m := knocked(c.peer)
			if m.cseq(t) <= last {
				t.Errorf("CSeq %d after %d", m.cseq(t), last)
			}
			last = m.cseq(t)
		}
		c.replySDP(knocked(c.peer), "200 OK", "")
		c.find("ACK", time.Second)
	})
}

// Rows that are no use: what they belonged to is lost, each leg with one Left, and nothing else is harmed.
func TestRestoredFaults(t *testing.T) {
	for name, spoil := range map[string]func(r *rig, id call.ID){
		"no JSON": func(r *rig, id call.ID) { r.kept[keptKey{id, 0}] = []byte("?") },
		"no INVITE": func(r *rig, id call.ID) {
			d := r.dialog(id, 0)
			d.Invite = []byte("INVITE")
			r.kept[keptKey{id, 0}] = d.Encode()
		},
		"no Via": func(r *rig, id call.ID) {
			d := r.dialog(id, 0)
			d.Invite = []byte(strings.ReplaceAll(string(d.Invite), "Via:", "X-Via:"))
			r.kept[keptKey{id, 0}] = d.Encode()
		},
		"a Via that can't be read": func(r *rig, id call.ID) {
			d := r.dialog(id, 0)
			d.Invite = []byte(strings.ReplaceAll(string(d.Invite), "Via: SIP/2.0/UDP ", "Via: "))
			r.kept[keptKey{id, 0}] = d.Encode()
		},
		"no row at all": func(r *rig, id call.ID) { delete(r.kept, keptKey{id, 0}) },
		"its trunk is none any more": func(r *rig, _ call.ID) {
			r.options.Config.Trunks[0].From = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
		},
		"its listener has gone over to TCP": func(r *rig, _ call.ID) { r.options.Config.SIP.Listen = r.options.Config.SIP.Listen[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.options.Config.SIP.Answer = config.AnswerTaker
				r.open()
				c := r.caller(r.peer(trunk)).arrive()
				r.line.Kill()
				pass(time.Second)
				spoil(r, c.id)
				r.live = alive(c.id, 0)
				began := time.Now()
				r.open()
				if waited := time.Since(began); waited > 0 { // nobody is heard before Restore is over
					t.Errorf("Restore has waited for %s", waited)
				}
				pass(10 * time.Second)
				r.wantStory(c.id, "arrived"+byNode)
				if len(r.ids()) != 1 || r.line.PortsInUse() != 0 {
					t.Errorf("%d calls, %d ports in use", len(r.ids()), r.line.PortsInUse())
				}
			})
		})
	}
}

// Another listener than before: requests go out from there, and the INVITE tells the peer of it (RFC 3261, 12.2).
func TestRestoredOnAnotherListener(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.options.Config.SIP.Listen[0].Addr = netip.MustParseAddrPort(gateway + ":5080")
		r.restart(alive(c.id, 0))
		m := knocked(c.peer)
		if m.uri("Contact") != "sip:siaga112@"+gateway+":5080" {
			t.Errorf("Contact: %s", m.header("Contact"))
		}
	})
}
