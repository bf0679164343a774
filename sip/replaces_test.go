package sip_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// dials is a dialog that the phone of a call has dialed into it.
func (r *rig) dials(ph *phone, number string) *caller {
	r.tb.Helper()
	own := ph.dialed("t1", number)
	asked := r.asked()
	last := asked[len(asked)-1]
	var n call.Leg
	if _, err := fmt.Sscan(last.text, &n); err != nil {
		r.tb.Fatal(err)
	}
	r.line.Answer(last.of, n)
	own.answered()
	own.ack()
	pass(10 * time.Millisecond)
	return own
}

// escaped is a value as it stands in a URI (25.1).
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// RFC 3891, 3: what names a dialog, and what does not. Some phones write the tags the other way round.
func TestReplaces(t *testing.T) {
	for name, tt := range map[string]struct {
		replaces func(own *caller, ph *phone) string
		want     string // the ask; "": 481
	}{
		"its own dialog": {func(own *caller, _ *phone) string {
			return own.callID + ";to-tag=" + own.to + ";from-tag=" + own.from
		}, "1 replace  t2"},
		"in capitals, with blanks": {func(own *caller, _ *phone) string {
			return own.callID + " ; To-Tag = " + own.to + " ; FROM-TAG = " + own.from + ";early-only"
		}, "1 replace  t2"},
		"tags turned round": {func(own *caller, _ *phone) string {
			return own.callID + ";to-tag=" + own.from + ";from-tag=" + own.to
		}, "1 replace  t2"},
		"another To tag": {func(own *caller, _ *phone) string {
			return own.callID + ";to-tag=" + own.to + "x;from-tag=" + own.from
		}, ""},
		"another From tag": {func(own *caller, _ *phone) string {
			return own.callID + ";to-tag=" + own.to + ";from-tag=x"
		}, ""},
		"another Call-ID": {func(own *caller, _ *phone) string {
			return own.callID + "x;to-tag=" + own.to + ";from-tag=" + own.from
		}, ""},
		"the dialog of the REFER itself": {func(_ *caller, ph *phone) string {
			return ph.invite.header("Call-ID") + ";to-tag=" + ph.invite.tag("From") + ";from-tag=p"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				_, ph := talking(r)
				own := r.dials(ph, "t2")
				ph.refers("<sip:t2@" + gateway + "?Replaces=" + escaped(tt.replaces(own, ph)) + ">")
				texts := r.texts("ask")
				if tt.want == "" {
					ph.notified("481 Call/Transaction Does Not Exist", true)
					tt.want = "65535 dial t1 t2"
				}
				if got := texts[len(texts)-1]; got != tt.want {
					t.Errorf("asked %q, want %q", got, tt.want)
				}
			})
		})
	}
	t.Run("not answered yet", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			_, ph := talking(r)
			own := ph.dialed("t1", "t2")
			r.line.Play(r.asked()[0].of, 65535, "")
			tag := own.want("SIP/2.0 180").tag("To")
			ph.refers("<sip:t2@" + gateway + "?Replaces=" + escaped(own.callID+";to-tag="+tag+";from-tag="+own.from) + ">")
			ph.notified("481 Call/Transaction Does Not Exist", true)
		})
	})
	t.Run("a colleague's", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			other := r.taker("t2", desk2)
			c, ph := talking(r)
			r.line.Ring(c.id, 2, party("t2"), "")
			m := other.want("INVITE")
			other.replySDP(m, "200 OK", "q", "Contact: <sip:t2@"+desk2+":5060>")
			other.want("ACK")
			pass(time.Millisecond)
			own := other.dialed("t2", "*4")
			r.line.Answer(c.id, 65535)
			own.answered()
			own.ack()
			pass(time.Millisecond)
			ph.refers("<sip:t2@" + gateway + "?Replaces=" + escaped(own.callID+";to-tag="+own.to+";from-tag="+own.from) + ">")
			ph.notified("481 Call/Transaction Does Not Exist", true)
		})
	})
}

// What a phone dials is a leg of the call that it has: one whose dialog with it is confirmed, whoever made that (RFC 3261,
// 12), and no other.
func TestWhichCallAPhoneDialsInto(t *testing.T) {
	last := func(r *rig) (call.ID, string) {
		asked := r.asked()
		return asked[len(asked)-1].of, asked[len(asked)-1].text
	}
	for name, tt := range map[string]struct {
		before func(r *rig, c *caller, ph *phone)
		want   string // the ask; "": an act of its own
	}{
		"its one dialog": {func(*rig, *caller, *phone) {}, "65535 dial t1 *4"},
		"after another leg of it was refused": {func(r *rig, c *caller, ph *phone) {
			own := ph.dialed("t1", "t2")
			r.line.Drop(c.id, 65535, 403)
			own.want("SIP/2.0 403")
			own.ackFinal()
		}, "65534 dial t1 *4"},
		"the dialog that it has dialed": {func(r *rig, c *caller, ph *phone) {
			r.dials(ph, "t2")
			r.line.Drop(c.id, 1, 0)
			ph.reply(ph.want("BYE"), "200 OK", "")
		}, "65534 dial t1 *4"},
		"none that is confirmed": {func(r *rig, c *caller, ph *phone) {
			ph.dialed("t1", "t2")
			r.line.Drop(c.id, 1, 0)
			ph.reply(ph.want("BYE"), "200 OK", "")
		}, ""},
		"another call rang there too": {func(r *rig, _ *caller, ph *phone) {
			second := r.caller(r.peerAt(trunk, 5070)).arrive()
			r.line.Ring(second.id, 1, party("t1"), "")
			ph.reply(ph.want("INVITE"), "486 Busy Here", "s")
			ph.want("ACK")
		}, "65535 dial t1 *4"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, ph := talking(r)
				tt.before(r, c, ph)
				pass(10 * time.Millisecond)
				ph.dialed("t1", "*4")
				of, text := last(r)
				switch {
				case tt.want == "" && (of.Kind() != call.Act || text != "0 dial t1 *4"):
					t.Errorf("asked %s of %s, want an act", text, of)
				case tt.want != "" && (of != c.id || text != tt.want):
					t.Errorf("asked %s of %s, want %s of %s", text, of, tt.want, c.id)
				}
			})
		})
	}
}

// RFC 3261, 15 and 21.5.4: after a crash an INVITE of a phone that dialed without a call gets 503, and BYE where our 200 may
// have gone out: what the phone wanted was no call's, and is forgotten.
func TestRestoredAct(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		own := r.taker("t1", desk).dialed("t1", "*4")
		r.restart(nil)
		own.reply(byeAnd503(own.peer), "200 OK", "")
		own.none(10 * time.Second)
		r.wantGone()
	})
}
