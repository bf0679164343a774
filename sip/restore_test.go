package sip_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip"
)

// restart kills the line and opens the next one on what was kept.
func (r *rig) restart(live map[call.ID][]call.Leg) {
	r.tb.Helper()
	pass(100 * time.Millisecond)
	r.line.Kill()
	pass(time.Second)
	r.live = live
	r.open()
}

const byNode = " left:0:node"

// alive are the legs of one call that the desk counts as alive.
func alive(id call.ID, legs ...call.Leg) map[call.ID][]call.Leg {
	return map[call.ID][]call.Leg{id: legs}
}

// settled lets the ACK of both legs be kept, which takes a while.
func settled(r *rig) (*caller, *phone) {
	r.tb.Helper()
	c, ph := talking(r)
	pass(keepSoon)
	return c, ph
}

const keepSoon = 11 * time.Second

// knocked is the INVITE inside its dialog that a peer gets after a restart.
func knocked(p *peer) message {
	p.tb.Helper()
	return p.find("INVITE", time.Second)
}

// Dialogs that were answered go on: each peer is asked by an INVITE with a number that the last run cannot have used, which
// says the same as before, and then all is as it was.
func TestRestoredDialog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := settled(r)
		was := []sip.Dialog{r.dialog(c.id, 0), r.dialog(c.id, 1)}
		r.restart(alive(c.id, 0, 1))
		toCaller, toPhone := knocked(c.peer), knocked(ph.peer)
		for i, m := range []message{toCaller, toPhone} {
			if seq := m.cseq(t); seq <= was[i].LocalSeq+100 || seq > was[i].LocalSeq+102 {
				t.Errorf("leg %d: CSeq %d after %d", i, seq, was[i].LocalSeq)
			}
		}
		if toCaller.tag("From") != c.to || toCaller.tag("To") != c.from || toPhone.tag("To") != "p" || toPhone.tag("From") != ph.invite.tag("From") {
			t.Errorf("not in the dialogs:\n%s\n%s", toCaller.text, toPhone.text)
		}
		if toPhone.body() != ph.invite.body() {
			t.Errorf("another description:\n%s\n%s", ph.invite.body(), toPhone.body())
		}
		c.replySDP(toCaller, "200 OK", "")
		c.want("ACK")
		ph.replySDP(toPhone, "200 OK", "")
		ph.want("ACK")
		pass(time.Second)
		if r.line.PortsInUse() != 2 {
			t.Errorf("%d ports in use", r.line.PortsInUse())
		}
		ph.within("BYE", "")
		ph.want("SIP/2.0 200")
		r.line.Drop(c.id, 0, 200)
		c.reply(c.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, waiting+"answered:1 left:1:taker left:0:desk")
		r.wantGone()
	})
}

// The 200 was out, its ACK was not in: it goes out again, word for word, until its ACK comes; then the peer is asked like any
// other.
func TestRestoredUnacknowledged200(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		before := c.answered()
		r.restart(alive(c.id, 0))
		first := c.find("SIP/2.0 200", time.Second)
		if first.text != before.text {
			t.Errorf("another 200:\n%s\n%s", before.text, first.text)
		}
		if again := c.want("SIP/2.0 200"); again.at-first.at != t1 {
			t.Errorf("again after %s", again.at-first.at)
		}
		c.ack()
		m := c.want("INVITE")
		c.replySDP(m, "200 OK", "")
		c.want("ACK")
		c.none(20 * time.Second)
		r.line.Answer(c.id, 0) // it is
		r.line.Drop(c.id, 0, 200)
		c.reply(c.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
		r.wantGone()
	})
}

// cseq is the number of a request.
func (m message) cseq(tb testing.TB) (n uint32) {
	tb.Helper()
	if _, err := fmt.Sscan(m.header("CSeq"), &n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// A peer that acknowledges a 200 only once has done that before the restart: it is asked, not hung up on.
func TestRestored200ThatIsNotAcknowledgedAgain(t *testing.T) {
	for name, sign := range map[string]func(c *caller){
		"it says nothing":  func(*caller) {},
		"it sends OPTIONS": func(c *caller) { c.send(c.request("OPTIONS", 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				r.restart(alive(c.id, 0))
				sign(c)
				c.ignore = append(c.ignore, "SIP/2.0 200")
				c.replySDP(c.wantWithin("INVITE", lifetime+time.Second), "200 OK", "")
				c.want("ACK")
				c.none(20 * time.Second)
				r.wantStory(c.id, "arrived answered:0")
			})
		})
	}
}

// The phone rings for a call that is over: CANCEL in the branch of the kept INVITE; its 487 gets an ACK.
func TestRestoredRinging(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		r.restart(alive(c.id, 0, 1))
		cancel := ph.want("CANCEL")
		if cancel.header("Via") != m.header("Via") || cancel.header("CSeq") != "1 CANCEL" || cancel.header("From") != m.header("From") ||
			strings.TrimPrefix(cancel.start(), "CANCEL") != strings.TrimPrefix(m.start(), "INVITE") {
			t.Errorf("the CANCEL does not fit\n%s\n%s", m.text, cancel.text)
		}
		ph.reply(cancel, "200 OK", "p")
		for range 2 {
			ph.reply(m, "487 Request Terminated", "p")
			ack := ph.want("ACK")
			if ack.header("Via") != m.header("Via") || ack.tag("To") != "p" || ack.header("CSeq") != "1 ACK" {
				t.Errorf("ACK\n%s", ack.text)
			}
		}
		ph.none(time.Minute)
		r.wantStory(c.id, waiting+"rang:1 left:1:node")
		pass(time.Minute)
		if n := r.line.Ghosts(); n != 0 {
			t.Errorf("%d INVITEs of before are remembered", n)
		}
	})
}

// The phone picks up while the restart's CANCEL is on its way.
func TestRestoredRingingPicksUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		r.restart(alive(c.id, 0, 1))
		ph.reply(ph.want("CANCEL"), "481 Call/Transaction Does Not Exist", "p")
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		unwanted(t, ph, "p")
		ph.none(time.Minute)
	})
}

// An INVITE that waits is taken up with a transaction that works: repeated it is no new call, and each verb, CANCEL and ACK
// find it.
func TestRestoredWaiting(t *testing.T) {
	for name, tt := range map[string]struct {
		mode config.Answer
		then func(t *testing.T, r *rig, c *caller)
		want string
	}{
		"answered at once": {config.AnswerQueue, func(t *testing.T, r *rig, c *caller) {
			r.line.Answer(c.id, 0)
			m := c.answered()
			c.send(c.invite())
			if again := c.want("SIP/2.0 200"); again.text != m.text {
				t.Errorf("another 200:\n%s\n%s", m.text, again.text)
			}
			c.ack()
			c.none(20 * time.Second)
			c.send(c.request("BYE", 2))
			c.want("SIP/2.0 200")
		}, " answered:0 left:0:caller"},
		"rings on": {config.AnswerTaker, func(_ *testing.T, r *rig, c *caller) {
			r.line.Play(c.id, 0, "")
			c.want("SIP/2.0 180")
			c.send(c.invite())
			c.want("SIP/2.0 180")
			r.line.Answer(c.id, 0)
			c.answered()
			c.ack()
			r.line.Drop(c.id, 0, 200)
			c.reply(c.want("BYE"), "200 OK", "")
		}, " answered:0 left:0:desk"},
		"hears music": {config.AnswerEarly, func(t *testing.T, r *rig, c *caller) {
			r.line.Play(c.id, 0, "music")
			if m := c.want("SIP/2.0 183"); m.rtp(t).Port() != 20000 {
				t.Errorf("183 with the port of\n%s", m.text)
			}
			r.line.Drop(c.id, 0, 480)
			c.want("SIP/2.0 480")
			c.ackFinal()
		}, " left:0:desk:480"},
		"gives up": {config.AnswerTaker, func(_ *testing.T, r *rig, c *caller) {
			r.line.Play(c.id, 0, "")
			c.want("SIP/2.0 180")
			c.send(c.cancel())
			c.want("SIP/2.0 200")
			c.want("SIP/2.0 487")
			c.ackFinal()
		}, " left:0:caller:487"},
		"gave up": {config.AnswerTaker, func(_ *testing.T, _ *rig, c *caller) {
			c.send(c.cancel())
			c.want("SIP/2.0 200")
			c.want("SIP/2.0 487")
			c.ackFinal()
		}, " left:0:caller:487"},
		"is refused": {config.AnswerQueue, func(_ *testing.T, r *rig, c *caller) {
			r.line.Drop(c.id, 0, 503)
			c.want("SIP/2.0 503")
			c.want("SIP/2.0 503")
			c.ackFinal()
		}, " left:0:desk:503"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.options.Config.SIP.Answer = tt.mode
				r.open()
				c := r.caller(r.peer(trunk)).arrive()
				tag := r.dialog(c.id, 0).LocalTag
				c.none(50 * time.Millisecond)
				r.restart(alive(c.id, 0))
				pass(10 * time.Millisecond)
				tt.then(t, r, c)
				c.none(time.Minute)
				r.wantStory(c.id, "arrived"+tt.want)
				if len(r.ids()) != 1 {
					t.Errorf("%d calls arrived", len(r.ids()))
				}
				if c.to != "" && c.to != tag {
					t.Errorf("tag %s, want %s", c.to, tag)
				}
				r.wantGone()
			})
		})
	}
}

// What comes while the calls are taken up waits until they are: a request of a dialog finds it.
func TestNothingIsReadBeforeRestore(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		p, _ := r.tcpPeer(trunk)
		r.line.Kill()
		line, err := sip.Open(r.options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(line.Kill)
		c.send(c.request("BYE", 2))
		next, _ := r.tcpPeer(trunk)
		next.send(c.request("OPTIONS", 1, "SIP/2.0/UDP", "SIP/2.0/TCP"))
		c.none(10 * time.Second)
		next.none(time.Second)
		line.Restore(alive(c.id, 0), 0)
		c.find("SIP/2.0 200 OK", time.Second)
		next.want("SIP/2.0")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
		_ = p.close()
	})
}

// byeAnd503 takes both, in either order.
func byeAnd503(p *peer) message {
	p.tb.Helper()
	both := p.drain(100 * time.Millisecond)
	slices.SortFunc(both, func(x, y message) int { return strings.Compare(x.start(), y.start()) })
	if len(both) != 2 || !strings.HasPrefix(both[0].start(), "BYE") || !strings.HasPrefix(both[1].start(), "SIP/2.0 503") {
		p.tb.Fatalf("got %v", both)
	}
	return both[0]
}

// An INVITE that was kept and of which no fact tells is served as if it came now; one that is too old for that is refused,
// with BYE for a caller who has our 200: either says which it was.
func TestRestoredWithoutItsFact(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.restart(nil)
		pass(10 * time.Millisecond)
		if ids := r.ids(); len(ids) != 2 {
			t.Fatalf("arrived: %v", ids)
		}
		c.id = r.ids()[1]
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		c.send(c.request("BYE", 2))
		c.want("SIP/2.0 200")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
		r.wantGone()
	})
	for _, answered := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).arrive()
			pass(lifetime)
			r.restart(nil)
			bye := byeAnd503(c.peer)
			if bye.tag("From") != string(c.id)+".0" || bye.tag("To") != c.from {
				t.Errorf("not in the dialog\n%s", bye.text)
			}
			if answered {
				c.reply(bye, "200 OK", "")
			} else {
				c.ackFinal()
				c.reply(bye, "481 Call/Transaction Does Not Exist", "")
			}
			c.none(10 * time.Second)
			r.wantGone()
		})
	}
}

// A kept INVITE that never went out, a dialog of no live leg, bytes that are no dialog, a leg that was never kept: all end.
func TestRestoredRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		one, two := call.NewID(call.Call, time.Now()), call.NewID(call.Call, time.Now())
		r.kept[keptKey{one, 0}] = []byte(`{"leg":0,"call_id":"x","local_tag":"y","net":"UDP","local":"10.0.0.1:5060","peer":"10.0.2.1:5060"}`)
		r.kept[keptKey{one, 1}] = []byte("?")
		r.kept[keptKey{one, 2}] = []byte(`{"leg":2,"net":"UDP","local":"10.0.0.1:5060","peer":"10.0.2.1:5060","answered":true,"target":""}`)
		p := r.peer(trunk)
		r.live = map[call.ID][]call.Leg{two: {0, 4}}
		r.open()
		p.none(time.Minute)
		r.wantStory(two, "left:0:node left:4:node")
		if len(r.kept) > 0 {
			t.Errorf("%d dialogs are still kept", len(r.kept))
		}
	})
}

// A restart goes on with nothing from before: the same phones and trunks call.
func TestCallAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		r.restart(nil)
		c.reply(c.want("BYE"), "200 OK", "")
		next := r.caller(c.peer).talk()
		next.send(next.request("BYE", 2))
		next.want("SIP/2.0 200")
		pass(0)
		r.wantStory(next.id, "arrived answered:0 left:0:caller")
	})
}
