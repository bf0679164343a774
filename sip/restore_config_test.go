package sip_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// A trunk that was taken out of the configuration can end the calls that it has, and begin none.
func TestRestoredWithoutItsTrunk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.options.Config.Trunks[0].From = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
		r.restart(alive(c.id, 0))
		c.replySDP(knocked(c.peer), "200 OK", "")
		c.want("ACK")
		next := r.caller(c.peer)
		next.send(next.invite())
		if m := next.find("SIP/2.0", time.Second); !strings.HasPrefix(m.start(), "SIP/2.0 403") {
			t.Errorf("a new call gets %s", m.start())
		}
		next.ackFinal()
		c.send(c.within("BYE", ""))
		c.find("SIP/2.0 200", time.Second)
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
	})
}

// The ports of the configuration are others now: the INVITE offers one of them.
func TestRestoredInAnotherRange(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.options.Config.RTP.First, r.options.Config.RTP.Last = 30000, 30100
		r.restart(alive(c.id, 0))
		m := knocked(c.peer)
		if port := m.rtp(t).Port(); port < 30000 || port > 30100 {
			t.Errorf("our port is %d", port)
		}
		c.replySDP(m, "200 OK", "")
		c.want("ACK")
		pass(keepSoon)
		if d := r.dialog(c.id, 0); d.Ports[0] != m.rtp(t).Port() {
			t.Errorf("%d is kept", d.Ports[0])
		}
	})
}

// Another address is advertised than before: the INVITE says so in its Contact, its Via and its description.
func TestRestoredAtAnotherAddress(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.options.Config.SIP.Advertise = netip.MustParseAddr("203.0.113.7")
		r.restart(alive(c.id, 0))
		m := knocked(c.peer)
		if got := m.rtp(t).Addr().String(); got != "203.0.113.7" || !strings.Contains(m.uri("Contact"), "@203.0.113.7:") {
			t.Errorf("INVITE\n%s", m.text)
		}
	})
}

// The clock was set back by a day between the two runs: the session timer does not wait for it.
func TestRestoredByAnotherClock(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Content-Type", "Supported: timer\nSession-Expires: 200;refresher=uas\nContent-Type")
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		pass(keepSoon)
		d := r.dialog(c.id, 0)
		d.Fresh, d.Stream.At = d.Fresh.Add(24*time.Hour), d.Stream.At.Add(24*time.Hour)
		r.onKeep = func(_ call.ID, _ call.Leg, _ []byte) {}
		r.line.Kill()
		r.kept[keptKey{c.id, 0}] = d.Encode()
		r.live = alive(c.id, 0)
		r.open()
		m := knocked(c.peer)
		c.reply(m, "488 Not Acceptable Here", "")
		c.want("ACK")
		go c.stays()
		if again := c.aliveUntil("INVITE", 2*time.Minute); (again.at - m.at).Truncate(time.Second) != 100*time.Second {
			t.Errorf("refreshed %s after the restart", again.at-m.at)
		}
	})
}

// An INVITE that was kept by a clock which is a day ahead is not served as a new call.
func TestRestoredFromTheFuture(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		d := r.dialog(c.id, 0)
		d.Fresh = d.Fresh.Add(24 * time.Hour)
		r.line.Kill()
		r.kept[keptKey{c.id, 0}] = d.Encode()
		r.open()
		byeAnd503(c.peer)
		if n := len(r.ids()); n != 1 {
			t.Errorf("%d calls arrived", n)
		}
	})
}

// Who waits for an answer does not wait through a night; who was answered is asked.
func TestRestoredAfterANight(t *testing.T) {
	for _, gap := range []time.Duration{3 * time.Minute, 3*time.Minute + time.Second, 12 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.options.Config.SIP.Answer = config.AnswerTaker
			r.open()
			c := r.caller(r.peer(trunk)).arrive()
			r.line.Play(c.id, 0, "")
			c.want("SIP/2.0 180")
			pass(time.Second)
			r.line.Kill()
			pass(time.Minute)
			r.gap, r.live = gap, alive(c.id, 0)
			r.open()
			if gap <= 3*time.Minute {
				pass(time.Second)
				r.line.Answer(c.id, 0)
				c.answered()
				c.ack()
				return
			}
			c.want("SIP/2.0 503")
			c.ackFinal()
			c.none(time.Minute)
			r.wantStory(c.id, "arrived"+byNode)
			r.wantGone()
		})
	}
}

// A caller who gave up while nobody was there gives up, in whatever mode and before whatever verb.
func TestRestoredCANCEL(t *testing.T) {
	for _, mode := range []config.Answer{config.AnswerQueue, config.AnswerTaker, config.AnswerEarly} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.options.Config.SIP.Answer = mode
				r.open()
				c := r.caller(r.peer(trunk)).arrive()
				pass(50 * time.Millisecond)
				r.line.Kill()
				c.send(c.cancel())
				r.live = alive(c.id, 0)
				r.onTell = func(id call.ID, ev call.Event) { // the desk is always a moment late
					if _, ok := ev.(call.Left); ok {
						r.line.Answer(id, 0)
					}
				}
				r.open()
				c.send(c.cancel())
				got := map[string]bool{}
				for _, m := range c.drain(time.Second) {
					got[m.start()] = true
				}
				if len(got) != 2 || !got["SIP/2.0 200 OK"] || !got["SIP/2.0 487 Request Terminated"] {
					t.Errorf("got %v", got)
				}
				c.ackFinal()
				c.none(time.Minute)
				r.wantStory(c.id, "arrived left:0:caller:487")
				r.wantGone()
			})
		})
	}
}

// Both sides start again at the same time, and their INVITEs cross: one of them comes again, and the call goes on.
func TestRestoredGlare(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.restart(alive(c.id, 0))
		m := knocked(c.peer)
		c.send(c.reinvite(session(trunk, 4000)))
		c.find("SIP/2.0 491", time.Second)
		c.reply(m, "491 Request Pending", "")
		c.find("ACK", time.Second)
		c.cseq++
		c.send(c.reinvite(session(trunk, 4002)))
		c.find("SIP/2.0 200", 10*time.Second)
		c.ack()
		c.drain(10 * time.Second)
		c.cseq++
		c.send(c.within("BYE", ""))
		c.find("SIP/2.0 200", time.Second)
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
	})
}

// A row that can't be read is said once, and is gone with the next start.
func TestUnreadableRow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := call.NewID(call.Call, time.Now())
		r.kept[keptKey{id, 7}] = []byte(`{"leg": 7, "local_uri": "<sip:+628115550001@x>", "rung": "x"}`)
		r.restart(nil)
		if len(r.kept) != 0 {
			t.Errorf("kept: %v", r.kept)
		}
		if said := slices.DeleteFunc(r.texts("forget"), func(s string) bool { return s != "7" }); len(said) != 1 {
			t.Errorf("forgotten: %v", said)
		}
	})
}

// What came before Deafen has been told when it returns; what comes after it is left to the next run.
func TestDeafen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		one := r.caller(r.peer(trunk)).talk()
		two := r.caller(one.peer).talk()
		one.send(one.within("BYE", ""))
		pass(2 * time.Millisecond) // its way
		r.line.Deafen()
		r.wantStory(one.id, "arrived answered:0 left:0:caller")
		one.want("SIP/2.0 200")
		bye := two.within("BYE", "")
		two.send(bye)
		two.none(10 * time.Second)
		r.line.Leave()
		r.wantStory(two.id, "arrived answered:0")
		r.live = alive(two.id, 0)
		r.open()
		two.ignore = append(two.ignore, "INVITE", "OPTIONS")
		two.send(bye)
		two.find("SIP/2.0 200", time.Second)
		pass(time.Second)
		r.wantStory(two.id, "arrived answered:0 left:0:caller")
	})
}

// A call that facts tell of has one record: its caller's INVITE is no new call, also where that leg has left.
func TestRestoredKnownINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.restart(map[call.ID][]call.Leg{c.id: nil})
		byeAnd503(c.peer)
		if n := len(r.ids()); n != 1 {
			t.Errorf("%d calls arrived", n)
		}
	})
}

// A peer that has shown itself after the restart and then vanishes is noticed as any other.
func TestRestoredThenGone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.restart(alive(c.id, 0))
		c.replySDP(knocked(c.peer), "200 OK", "")
		c.want("ACK")
		c.ignore = append(c.ignore, "OPTIONS", "BYE")
		pass(2 * time.Minute)
		r.wantStory(c.id, "arrived answered:0 left:0:network:408")
	})
}
