package sip_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// restart kills the line and opens the next one on what was kept.
func (r *rig) restart(live map[call.ID][]call.Leg) {
	r.tb.Helper()
	pass(100 * time.Millisecond)
	r.line.Kill()
	pass(time.Second)
	r.open()
	r.line.Restore(live)
}

const byNode = " left:0:node"

// A dialog ends by BYE with a number that the last run cannot have used.
func TestRestoredDialog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:there@10.0.1.1:5999>")
		ph.want("ACK")
		r.restart(map[call.ID][]call.Leg{c.id: {0, 1}})
		toCaller, toPhone := c.want("BYE sip:caller@10.0.2.1:5060"), ph.want("BYE sip:there@10.0.1.1:5999")
		if toCaller.header("CSeq") != "100 BYE" || toPhone.header("CSeq") != "101 BYE" {
			t.Errorf("CSeq %q and %q", toCaller.header("CSeq"), toPhone.header("CSeq"))
		}
		if toCaller.tag("From") != c.to || toCaller.tag("To") != c.from || toPhone.tag("To") != "p" || toPhone.tag("From") != m.tag("From") {
			t.Errorf("not in the dialogs:\n%s\n%s", toCaller.text, toPhone.text)
		}
		if !strings.Contains(toCaller.header("Reason"), "cause=503") {
			t.Errorf("Reason %q", toCaller.header("Reason"))
		}
		c.reply(toCaller, "200 OK", "")
		ph.reply(toPhone, "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, waiting+"answered:1"+byNode+" left:1:node")
		r.wantGone()
	})
}

// The 200 was out, its ACK was not in: a dialog all the same.
func TestRestoredUnacknowledged200(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		c.answered()
		r.restart(map[call.ID][]call.Leg{c.id: {0}})
		c.reply(c.want("BYE"), "200 OK", "")
		c.none(time.Minute)
		r.wantGone()
	})
}

// The phone rings for a call that is over: CANCEL in the branch of the kept INVITE; its 487 gets an ACK.
func TestRestoredRinging(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		r.restart(map[call.ID][]call.Leg{c.id: {0, 1}})
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
		r.wantStory(c.id, waiting+"rang:1"+byNode+" left:1:node")
		r.wantGone()
	})
}

// The phone picks up while the restart's CANCEL is on its way.
func TestRestoredRingingPicksUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		r.restart(map[call.ID][]call.Leg{c.id: {0, 1}})
		ph.reply(ph.want("CANCEL"), "481 Call/Transaction Does Not Exist", "p")
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		unwanted(t, ph, "p")
		ph.none(time.Minute)
	})
}

// sipgo's trap: after a restart a response cannot be written before the peer has sent. An INVITE that waits gets its 503 at
// once; when it is repeated it is no new call.
func TestRestoredWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.options.Config.SIP.Answer = config.AnswerTaker
		r.open()
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Play(c.id, 0, "")
		ringing := c.want("SIP/2.0 180")
		r.restart(map[call.ID][]call.Leg{c.id: {0}})
		first := c.want("SIP/2.0 503")
		if first.tag("To") != ringing.tag("To") || first.header("Via") != ringing.header("Via") || first.header("Retry-After") == "" {
			t.Errorf("the 503 does not fit\n%s\n%s", ringing.text, first.text)
		}
		var times []time.Duration
		for range 3 {
			times = append(times, c.wantWithin("SIP/2.0 503", 3*time.Second).at-first.at)
		}
		if diff := cmp.Diff([]time.Duration{t1, 3 * t1, 7 * t1}, times); diff != "" {
			t.Error(diff)
		}
		c.ackFinal()
		c.none(10 * time.Second)
		c.send(c.invite())
		if again := c.want("SIP/2.0 503"); again.tag("To") != ringing.tag("To") {
			t.Errorf("tags %s and %s", ringing.tag("To"), again.tag("To"))
		}
		c.ackFinal()
		c.none(time.Minute)
		r.wantStory(c.id, "arrived"+byNode)
		if len(r.ids()) != 1 {
			t.Errorf("%d calls arrived", len(r.ids()))
		}
		r.wantGone()
	})
}

// Where the last run may have sent its 200 without keeping that, the caller gets both: the 503 ends an INVITE, the BYE a
// dialog, and the other one says nothing.
func TestRestoredWhileAnswering(t *testing.T) {
	for mode, answered := range map[config.Answer]bool{config.AnswerQueue: true, config.AnswerTaker: false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.options.Config.SIP.Answer = mode
			r.open()
			ph := r.taker("t1", desk)
			c := r.caller(r.peer(trunk)).arrive()
			if mode == config.AnswerTaker {
				r.line.Ring(c.id, 1, party("t1"), "")
				ph.replySDP(ph.want("INVITE"), "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
				ph.want("ACK")
			}
			r.restart(map[call.ID][]call.Leg{c.id: {0}})
			c.want("SIP/2.0 503")
			bye := c.want("BYE")
			if bye.tag("From") != string(c.id)+".0" || bye.tag("To") != c.from {
				t.Errorf("mode %s: not in the dialog\n%s", mode, bye.text)
			}
			// Either says which it was, and the 503 is not repeated.
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
		r.open()
		r.line.Restore(map[call.ID][]call.Leg{two: {0, 4}})
		p.none(time.Minute)
		r.wantStory(two, "left:0:node left:4:node")
		if len(r.kept) > 1 { // what cannot be read is not touched
			t.Errorf("%d dialogs are still kept", len(r.kept))
		}
	})
}

// A restart goes on with nothing from before: the same phones and trunks call.
func TestCallAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		r.restart(map[call.ID][]call.Leg{c.id: {0}})
		c.reply(c.want("BYE"), "200 OK", "")
		next := r.caller(c.peer).talk()
		next.send(next.request("BYE", 2))
		next.want("SIP/2.0 200")
		pass(0)
		r.wantStory(next.id, "arrived answered:0 left:0:caller")
	})
}
