package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// talking is a call between a caller and a phone; both dialogs are confirmed.
func talking(r *rig) (*caller, *phone) {
	r.tb.Helper()
	c, ph, m := ringing(r)
	ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+":5060>")
	ph.want("ACK")
	pass(time.Millisecond)
	return c, &phone{taker: ph, invite: m}
}

// phone is a call taker's phone in a dialog that our INVITE made.
type phone struct {
	*taker
	invite message
	seq    int
	refer  int // the number of the last REFER that was taken
}

// within sends a request in the dialog.
func (p *phone) within(method, body string, more ...string) {
	p.tb.Helper()
	p.seq++
	p.send(withBody(inDialog(p.invite, method, p.seq, "p"), body, append(more, "Contact: <sip:t1@"+desk+":5060>")...))
}

// refers sends a REFER, which is taken (RFC 3515, 2.4.2 and 2.4.4).
func (p *phone) refers(to string, more ...string) {
	p.tb.Helper()
	p.within("REFER", "", append(more, "Refer-To: "+to)...)
	if m := p.want("SIP/2.0 202"); m.uri("Contact") != "sip:siaga112@"+gateway+":5060" {
		p.tb.Errorf("Contact: %s", m.header("Contact"))
	}
	p.refer = p.seq
	p.notified("100 Trying", false)
}

// notified takes a NOTIFY, answers it, and holds it against the status that its sipfrag must say.
func (p *phone) notified(status string, ends bool) {
	p.tb.Helper()
	m := p.want("NOTIFY")
	if got := strings.TrimSpace(m.body()); got != "SIP/2.0 "+status || m.header("Content-Type") != "message/sipfrag;version=2.0" {
		p.tb.Errorf("NOTIFY of %q as %s, want %q", got, m.header("Content-Type"), status)
	}
	state := "active;expires=360" // RFC 3515, 2.4.4 and 2.4.7
	if ends {
		state = "terminated;reason=noresource"
	}
	if m.header("Subscription-State") != state || m.header("Event") != fmt.Sprint("refer;id=", p.refer) { // RFC 3515, 2.4.6
		p.tb.Errorf("Event %s, Subscription-State %s", m.header("Event"), m.header("Subscription-State"))
	}
	if m.uri("Contact") != "sip:siaga112@"+gateway+":5060" {
		p.tb.Errorf("Contact: %s", m.header("Contact"))
	}
	p.reply(m, "200 OK", "")
}

// RFC 3515: a blind transfer, with what the phone is told of it.
func TestREFER(t *testing.T) {
	for name, tt := range map[string]struct {
		then func(r *rig, id call.ID, other *taker)
		want []string
	}{
		"answered": {func(_ *rig, _ call.ID, other *taker) {
			m := other.want("INVITE")
			other.reply(m, "180 Ringing", "q")
			pass(10 * time.Millisecond)
			other.replySDP(m, "200 OK", "q", "Contact: <sip:t2@"+desk2+":5060>")
			other.want("ACK")
		}, []string{"180 Ringing", "200 OK"}},
		"busy": {func(_ *rig, _ call.ID, other *taker) {
			other.reply(other.want("INVITE"), "486 Busy Here", "q")
			other.want("ACK")
		}, []string{"486 Busy Here"}},
		"refused with a word of its own": {func(_ *rig, _ call.ID, other *taker) {
			other.reply(other.want("INVITE"), "499 Not now", "q")
			other.want("ACK")
		}, []string{"480 Temporarily Unavailable"}},
		"no answer": {func(r *rig, id call.ID, other *taker) {
			m := other.want("INVITE")
			other.reply(m, "180 Ringing", "q")
			pass(10 * time.Millisecond)
			r.line.Drop(id, 2, 408)
			other.reply(other.want("CANCEL"), "200 OK", "q")
			other.reply(m, "487 Request Terminated", "q")
			other.want("ACK")
		}, []string{"180 Ringing", "408 Request Timeout"}},
		"declined by the desk": {func(r *rig, id call.ID, other *taker) {
			m := other.want("INVITE")
			other.reply(m, "180 Ringing", "q")
			pass(10 * time.Millisecond)
			r.line.Drop(id, 2, 603)
			other.reply(other.want("CANCEL"), "200 OK", "q")
			other.reply(m, "487 Request Terminated", "q")
			other.want("ACK")
		}, []string{"180 Ringing", "603 Decline"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				other := r.taker("t2", desk2)
				c, ph := talking(r)
				ph.refers("<sip:t2@" + gateway + ">")
				if got := strings.Join(r.texts("ask"), "|"); got != "1 transfer  t2" {
					t.Errorf("asked %q", got)
				}
				r.line.Ring(c.id, 2, party("t2"), "")
				tt.then(r, c.id, other)
				for i, status := range tt.want {
					ph.notified(status, i == len(tt.want)-1)
				}
				ph.none(5 * time.Second)
			})
		})
	}
}

// RFC 3515, 2.4.5: the desk refuses a transfer by a Drop of a leg that was never rung; its code is the outcome. No Left is
// told for it.
func TestRefusedREFER(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		ph.refers("sip:nobody@" + gateway)
		r.line.Drop(c.id, 2, 404)
		ph.notified("404 Not Found", true)
		pass(0)
		r.wantStory(c.id, waiting+"answered:1")
		ph.within("REFER", "", "Refer-To: sip:t2@"+gateway, "Refer-Sub: false") // the next one may come, and wants no NOTIFY (RFC 4488)
		if m := ph.want("SIP/2.0 202"); m.header("Refer-Sub") != "false" {
			t.Errorf("Refer-Sub: %q", m.header("Refer-Sub"))
		}
		r.line.Drop(c.id, 2, 404)
		ph.none(5 * time.Second)
	})
}

// RFC 3515, 2.4.5: a phone that can't even be rung is an outcome too; and a leg that has left refuses nothing.
func TestREFERToAPhoneThatIsNotThere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		ph.refers("<sip:t2@" + gateway + ">")
		r.line.Ring(c.id, 2, party("t2"), "")
		ph.notified("480 Temporarily Unavailable", true)
		ph.refers("<sip:t2@" + gateway + ">")
		r.line.Drop(c.id, 2, 487) // it crossed what was told of that leg
		ph.none(time.Second)
		r.wantStory(c.id, waiting+"answered:1 left:2:network:480 left:2:node")
		r.line.Drop(c.id, 3, 404)
		ph.notified("404 Not Found", true)
	})
}

// RFC 3515, 2.4.2 and 2.4.4: what no REFER may be.
func TestREFERThatIsNotTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"no Refer-To":           {nil, "400"},
		"two":                   {[]string{"Refer-To: <sip:t2@" + gateway + ">", "Refer-To: <sip:t3@" + gateway + ">"}, "400"},
		"another method":        {[]string{"Refer-To: <sip:t2@" + gateway + ";method=BYE>"}, "400"},
		"Replaces not readable": {[]string{"Refer-To: <sip:t2@" + gateway + "?Replaces=%zz>"}, "400"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				_, ph := talking(r)
				ph.within("REFER", "", tt.headers...)
				ph.want("SIP/2.0 " + tt.want)
				if got := r.texts("ask"); len(got) != 0 {
					t.Errorf("asked %v", got)
				}
			})
		})
	}
	t.Run("from the trunk", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).talk()
			c.send(c.within("REFER", "", "Refer-To: <sip:t2@"+gateway+">"))
			c.want("SIP/2.0 403")
			c.none(time.Second)
			r.wantStory(c.id, "arrived answered:0")
		})
	})
	t.Run("in a dialog that the phone has dialed", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			_, ph := talking(r)
			own := r.dials(ph, "t2")
			own.send(own.within("REFER", "", "Refer-To: <sip:t2@"+gateway+">"))
			own.want("SIP/2.0 403")
		})
	})
	t.Run("the method INVITE is (RFC 3261, 19.1.1)", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			_, ph := talking(r)
			ph.refers("<sip:t2@" + gateway + ";method=invite>")
			if got := strings.Join(r.texts("ask"), "|"); got != "1 transfer  t2" {
				t.Errorf("asked %q", got)
			}
		})
	})
	t.Run("one is under way", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			_, ph := talking(r)
			ph.refers("<sip:t2@" + gateway + ">")
			ph.within("REFER", "", "r: <sip:t3@"+gateway+">") // the short form (RFC 3515, 2.1)
			ph.want("SIP/2.0 491")
		})
	})
}

// A subscription that nobody ends ends by itself (RFC 3515, 2.4.4).
func TestREFERThatNobodyAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		go c.stays()
		ph.refers("<sip:t2@" + gateway + ">")
		ph.ignore = nil
		began := time.Since(r.start)
		m := ph.aliveUntil("NOTIFY", 7*time.Minute)
		if !strings.Contains(m.body(), "408") || (m.at-began).Round(time.Second) != 6*time.Minute {
			t.Errorf("NOTIFY\n%s", m.text)
		}
	})
}

// dialed is the INVITE of a taker's phone for a number, with what answers its challenge.
func (p *peer) dialed(user, number string, pairs ...string) *caller {
	p.tb.Helper()
	calls++
	c := &caller{
		peer: p, callID: fmt.Sprintf("own%d@phone", calls), branch: fmt.Sprintf("z9hG4bKo%d", calls), from: fmt.Sprintf("o%d", calls),
		cseq: 1, uri: "sip:" + number + "@" + gateway, target: "sip:" + number + "@" + gateway,
	}
	pairs = append(pairs, "<sip:+628115550001@trunk>", "<sip:"+user+"@"+gateway+">", "P-Asserted-Identity: <tel:+628115550001>\n", "")
	c.send(c.invite(pairs...))
	challenge := c.find("SIP/2.0 401", time.Second)
	c.ackFinal()
	c.branch += "again"
	c.cseq++
	auth := authorizationFor(p.tb, "INVITE", challenge.header("WWW-Authenticate"), user, "rahasia")
	c.send(c.invite(append(pairs, "Content-Type", "Authorization: "+auth+"\nContent-Type")...))
	pass(5 * time.Millisecond)
	return c
}

// asked are the asks of the desk so far, with the call that each is of.
func (r *rig) asked() []deed {
	var out []deed
	for _, d := range r.all() {
		if d.what == "ask" {
			out = append(out, d)
		}
	}
	return out
}

// A call taker dials without a call: an act of its own, which the desk answers, plays to and drops.
func TestFeatureCode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := ph.dialed("t1", "*4")
		asked := r.asked()
		if len(asked) != 1 || asked[0].of.Kind() != call.Act || asked[0].text != "0 dial t1 *4" {
			t.Fatalf("asked %+v", asked)
		}
		act := asked[0].of
		r.line.Answer(act, 0)
		if ok := c.answered(); ok.tag("To") != string(act)+".0" || ok.line("m=audio") == "" {
			t.Errorf("200\n%s", ok.text)
		}
		c.ack()
		pass(time.Millisecond)
		r.line.Play(act, 0, "prank")
		pass(5 * time.Second)
		if asked := r.asked(); len(asked) != 2 || asked[1].text != "0 played  " {
			t.Errorf("asked %+v", asked)
		}
		r.line.Drop(act, 0, 0)
		c.reply(c.find("BYE", time.Second), "200 OK", "")
		pass(time.Second)
		r.wantStory(act, "answered:0 left:0:desk")
		r.wantGone()
	})
}

// What the desk does not want is refused with its code; a CANCEL ends it before that.
func TestDialedNumberIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := ph.dialed("t1", "08115550001")
		act := r.asked()[0].of
		r.line.Drop(act, 0, 403)
		c.want("SIP/2.0 403 Forbidden")
		c.ackFinal()
		pass(0)
		r.wantStory(act, "left:0:desk:403")
		again := ph.dialed("t1", "t2")
		act = r.asked()[1].of
		r.line.Play(act, 0, "")
		again.want("SIP/2.0 180")
		again.send(again.cancel())
		again.find("SIP/2.0 487", time.Second)
		again.ackFinal()
		pass(0)
		r.wantStory(act, "left:0:taker:487")
		r.wantGone()
	})
}

// RFC 3261, 12, and RFC 3891: a phone that has a call dials into that call: its INVITE is a leg of it, counted down from
// the highest number.
func TestConsultation(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		other := r.taker("t2", desk2)
		c, ph := talking(r)
		own := ph.dialed("t1", "t2")
		asked := r.asked()
		if len(asked) != 1 || asked[0].of != c.id || asked[0].text != "65535 dial t1 t2" {
			t.Fatalf("asked %+v", asked)
		}
		r.line.Play(c.id, 65535, "")
		ringing := own.want("SIP/2.0 180")
		r.line.Ring(c.id, 2, party("t2"), "t1 konsultasi")
		m := other.want("INVITE")
		other.replySDP(m, "200 OK", "q", "Contact: <sip:t2@"+desk2+":5060>")
		other.want("ACK")
		r.line.Answer(c.id, 65535)
		ok := own.answered()
		if ok.tag("To") != ringing.tag("To") {
			t.Errorf("tags %s and %s", ringing.tag("To"), ok.tag("To"))
		}
		own.ack()
		pass(time.Millisecond)
		r.wantStory(c.id, waiting+"answered:1 answered:2 answered:65535")

		// Its dialog is found by its own tag: hold, and a second INVITE gets the next number.
		own.send(own.reinvite(session(desk, 4000) + "a=sendonly\n"))
		own.want("SIP/2.0 200")
		own.ack()
		pass(time.Millisecond)
		second := ph.dialed("t1", "*4")
		texts := r.texts("ask")
		if got := strings.Join(texts[1:], "|"); got != "65535 hold  |65534 dial t1 *4" {
			t.Errorf("asked %s", got)
		}
		r.line.Drop(c.id, 65534, 403)
		second.want("SIP/2.0 403")
		second.ackFinal()

		// RFC 3891: an attended transfer names that dialog. The Drop of the leg that asked is its success.
		ph.refers(fmt.Sprintf("<sip:t2@%s?Replaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s>", gateway, own.callID, own.to, own.from))
		if texts := r.texts("ask"); texts[len(texts)-1] != "1 replace  t2" {
			t.Errorf("asked %s", texts[len(texts)-1])
		}
		r.line.Drop(c.id, 1, 200)
		ph.notified("200 OK", true)
		ph.reply(ph.want("BYE"), "200 OK", "")
		r.line.Drop(c.id, 65535, 200)
		own.reply(own.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.line.Drop(c.id, 2, 0)
		other.reply(other.find("BYE", time.Second), "200 OK", "")
		r.line.Drop(c.id, 0, 0)
		c.reply(c.find("BYE", time.Second), "200 OK", "")
		pass(time.Second)
		r.wantGone()
		r.wantStory(c.id, waiting+"answered:1 answered:2 answered:65535 left:65534:desk:403 left:1:desk left:65535:desk left:2:desk left:0:desk")
	})
}

// RFC 3891, 3: a Replaces that names no dialog of the phone's in this call is refused.
func TestReplacesOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, ph := talking(r)
		ph.refers("<sip:t2@" + gateway + "?Replaces=nothing%3Bto-tag%3Da%3Bfrom-tag%3Db>")
		ph.notified("481 Call/Transaction Does Not Exist", true)
		if got := r.texts("ask"); len(got) != 0 {
			t.Errorf("asked %v", got)
		}
		c := ph.dialed("t1", "t2", "Max-Forwards", "Replaces: x;to-tag=a;from-tag=b\nMax-Forwards") // an INVITE with one
		c.want("SIP/2.0 481")
		c.ackFinal()
	})
}

// What a phone dials with a description that can't be served never reaches the desk.
func TestDialedWithoutSound(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := ph.dialed("t1", "*4", "8 0 101", "18")
		c.want("SIP/2.0 488")
		c.ackFinal()
		pass(time.Second)
		if len(r.asked()) != 0 {
			t.Errorf("asked %+v", r.asked())
		}
		r.wantGone()
	})
}

// A phone behind NAT names an address in its Contact that is nobody's here: what we send in a dialog that it has begun goes
// back over its flow.
func TestDialedFromBehindNAT(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := ph.dialed("t1", "*4", "Contact: <sip:caller@"+ph.addr.String()+">", "Contact: <sip:t1@192.168.1.7:5060>")
		act := r.asked()[0].of
		r.line.Answer(act, 0)
		c.answered()
		c.ack()
		pass(time.Millisecond)
		r.line.Drop(act, 0, 0)
		c.reply(c.find("BYE sip:t1@192.168.1.7:5060", time.Second), "200 OK", "")
		pass(time.Second)
		r.wantGone()
	})
}

// What is dialed is the user part as the user of the phone means it: a colleague's name keeps its dots and dashes.
func TestDialedNames(t *testing.T) {
	for uri, want := range map[string]string{
		"bpbd-1.siang": "bpbd-1.siang", "*4": "*4", "%2A4": "*4", "%2a00": "*00", "t2;phone-context=x": "t2", "%zz": "%zz", "0811-555": "0811-555",
	} {
		bubble(t, func(t *testing.T, r *rig) {
			_, ph := talking(r)
			ph.dialed("t1", uri)
			ph.ignore = append(ph.ignore, "SIP/2.0 100")
			ph.within("REFER", "", "Refer-To: <sip:"+uri+"@"+gateway+">")
			ph.want("SIP/2.0 202")
			if got := strings.Join(r.texts("ask"), "|"); got != "65535 dial t1 "+want+"|1 transfer  "+want {
				t.Errorf("%s: asked %s", uri, got)
			}
		})
	}
}

// A Drop of a leg that the phone had dialed and has hung up itself is no refusal of the REFER that came after.
func TestDropOfADialedLegThatHasLeft(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		own := ph.dialed("t1", "*4")
		r.line.Answer(c.id, 65535)
		own.answered()
		own.ack()
		pass(time.Millisecond)
		own.send(own.within("BYE", ""))
		own.want("SIP/2.0 200")
		ph.refers("<sip:t2@" + gateway + ">")
		r.line.Drop(c.id, 65535, 0)
		ph.none(time.Second)
		r.line.Drop(c.id, 2, 404)
		ph.notified("404 Not Found", true)
	})
}

// A phone's dialed leg is answered, its ACK is late, and meanwhile its other leg ends: what it dials next belongs to the
// call that it still has.
func TestDialedLegWithALateACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		own := ph.dialed("t1", "t2")
		r.line.Answer(c.id, 65535)
		own.answered()
		r.line.Drop(c.id, 1, 0)
		ph.reply(ph.want("BYE"), "200 OK", "")
		own.ack()
		pass(time.Second)
		ph.dialed("t1", "*4")
		if asked := r.asked(); asked[1].of != c.id {
			t.Errorf("asked %s of %s, want of %s", asked[1].text, asked[1].of, c.id)
		}
	})
}
