package sip_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

func party(taker call.TakerID) call.Party { return call.Party{Taker: taker, Department: "112"} }

// taker is a registered phone.
type taker struct {
	*peer
	name string
}

// taker registers a phone; the OPTIONS that follow are not seen, but for the first, which is answered.
func (r *rig) taker(name, host string) *taker {
	r.tb.Helper()
	ph := &taker{peer: r.peer(host), name: name}
	ph.register(name, "rahasia", "")
	ph.reply(ph.want("OPTIONS"), "200 OK", "x")
	ph.ignore = []string{"OPTIONS"}
	pass(5 * time.Millisecond)
	return ph
}

// ringing is a call that waits, and a phone that has its INVITE.
func ringing(r *rig) (*caller, *taker, message) {
	r.tb.Helper()
	ph := r.taker("t1", desk)
	c := r.caller(r.peer(trunk)).arrive()
	r.line.Answer(c.id, 0)
	c.answered()
	c.ack()
	c.ignore = append(c.ignore, "OPTIONS")
	r.line.Ring(c.id, 1, party("t1"), "Ibu Sri")
	return c, ph, ph.want("INVITE")
}

const waiting = "arrived answered:0 "

// RFC 3261, 12.2.1.1 and 13.2.2: the way of a leg to a phone: kept, INVITE over the registration's flow, 180, 200, ACK.
func TestRing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		name := string(c.id) + ".1"
		if m.header("Call-ID") != name || m.tag("From") != name || m.tag("To") != "" {
			t.Errorf("Call-ID %s, tags %s and %q; want both %s", m.header("Call-ID"), m.tag("From"), m.tag("To"), name)
		}
		if got, want := m.start(), "INVITE sip:t1@phone.invalid SIP/2.0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := m.header("From"), `"Ibu Sri" <sip:+628115550001@10.0.0.1>;tag=`+name; got != want {
			t.Errorf("From: %s, want %s", got, want)
		}
		if m.rtp(t).Addr().String() != gateway {
			t.Errorf("the offer is at %s", m.rtp(t))
		}
		order := r.all()
		kept := slices.IndexFunc(order, func(d deed) bool { return d.what == "keep" && d.text == "1" })
		sent := slices.IndexFunc(order, func(d deed) bool { return d.what == "wire" && strings.Contains(d.text, "INVITE sip:t1") })
		if kept < 0 || kept > sent {
			t.Errorf("kept as deed %d, sent as deed %d", kept, sent)
		}
		ph.reply(m, "100 Trying", "")
		pass(10 * time.Millisecond)
		r.wantStory(c.id, strings.TrimSpace(waiting)) // it does not ring yet (RFC 3261, 21.1.1)
		ph.reply(m, "180 Ringing", "p")
		ph.reply(m, "180 Ringing", "p")
		pass(10 * time.Millisecond)
		r.wantStory(c.id, waiting+"rang:1")
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:there@10.0.1.1:5999>")
		ack := ph.want("ACK sip:there@10.0.1.1:5999")
		if ack.header("CSeq") != "1 ACK" || ack.tag("To") != "p" || ack.header("Via") == m.header("Via") {
			t.Errorf("ACK\n%s", ack.text)
		}
		pass(0)
		r.wantStory(c.id, waiting+"rang:1 answered:1")
		ph.none(5 * time.Second)
		ph.send(inDialog(m, "BYE", 1, "p"))
		ph.want("SIP/2.0 200")
		pass(0)
		r.wantStory(c.id, waiting+"rang:1 answered:1 left:1:taker")
		r.line.Drop(c.id, 0, 200)
		c.reply(c.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.wantGone()
	})
}

// inDialog is a request of the phone in the dialog of our INVITE.
func inDialog(m message, method string, cseq int, tag string) string {
	calls++
	return fmt.Sprintf(`%s %s SIP/2.0
Via: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKd%d;rport
From: %s;tag=%s
To: %s
Call-ID: %s
CSeq: %d %s
Content-Length: 0

`, method, m.uri("Contact"), calls, m.header("To"), tag, m.header("From"), m.header("Call-ID"), cseq, method)
}

// What a phone gets is never more than a display name, whatever is in it.
func TestDisplayNameCannotInject(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "a\"b\\\r\nX-Evil: 1\r\n\r\n<sip:x>;tag=y")
		m := ph.want("INVITE")
		if m.header("X-Evil") != "" || len(m.headers("From")) != 1 || len(m.headers("Content-Length")) != 1 {
			t.Errorf("injected:\n%s", m.text)
		}
		want := `"a\"b\\  X-Evil: 1    <sip:x>;tag=y" <sip:+628115550001@10.0.0.1>;tag=` + string(c.id) + ".1"
		if got := m.header("From"); got != want {
			t.Errorf("From: %s\nwant: %s", got, want)
		}
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		if got := ph.want("ACK").header("From"); got != want {
			t.Errorf("in the ACK From: %s\nwant: %s", got, want)
		}
	})
}

// A number is what the trunk says it is; it goes into a URI.
func TestCallerNumberCannotInject(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := r.caller(r.peer(trunk)).arrive("tel:+628115550001", "tel:+62>;evil=1<", "<sip:+628115550001@trunk>", `<sip:a%3E%0D%0Ab@trunk>`)
		r.line.Ring(c.id, 1, party("t1"), "x")
		m := ph.want("INVITE")
		if got := m.header("From"); strings.Count(got, "<") != 1 || strings.Count(got, ">") != 1 || strings.Contains(got, "evil") {
			t.Errorf("From: %s", got)
		}
	})
}

func TestWithheldNumber(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		c := r.caller(r.peer(trunk)).arrive("P-Asserted-Identity: <tel:+628115550001>\n", "", "sip:+628115550001@trunk", "sip:anonymous@anonymous.invalid")
		r.line.Ring(c.id, 1, party("t1"), "")
		if got := ph.want("INVITE").header("From"); !strings.HasPrefix(got, "<sip:anonymous@10.0.0.1>;tag=") {
			t.Errorf("From: %s", got)
		}
	})
}

// RFC 3261, 13.2.2.4: each repeated 200 gets its ACK again.
func TestRepeated200(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		for range 4 {
			ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
			ack := ph.want("ACK")
			if ack.header("CSeq") != "1 ACK" || ack.tag("To") != "p" {
				t.Errorf("ACK\n%s", ack.text)
			}
			pass(2 * time.Second)
		}
		r.wantStory(c.id, waiting+"answered:1")
	})
}

// RFC 3261, 13.2.2.4: a proxy has forked our INVITE: the second 200 is another dialog, which nobody wants.
func TestForked200(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		ph.want("ACK")
		ph.replySDP(m, "200 OK", "fork", "Contact: <sip:fork@10.0.1.1>")
		unwanted(t, ph, "fork")
		ph.none(5 * time.Second)
		r.wantStory(c.id, waiting+"answered:1")
	})
}

// unwanted holds that a dialog is acknowledged and ended.
func unwanted(t *testing.T, ph *taker, tag string) {
	t.Helper()
	acked := 0
	for _, method := range []string{"ACK", "BYE"} {
		m := ph.find(method, time.Second)
		n, _ := strconv.Atoi(strings.Fields(m.header("CSeq"))[0])
		if method == "BYE" && n <= acked { // 12.2.1.1
			t.Errorf("BYE with the number %d, ACK with %d", n, acked)
		}
		acked = n
		if m.tag("To") != tag {
			t.Errorf("%s for the tag %q, want %q:\n%s", method, m.tag("To"), tag, m.text)
		}
		if method == "BYE" {
			ph.reply(m, "200 OK", "")
		}
	}
}

// sipgo's trap: a 180 can follow its 200.
func TestRingingAfter200(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		ph.want("ACK")
		ph.reply(m, "180 Ringing", "p")
		pass(time.Second)
		r.wantStory(c.id, waiting+"answered:1")
	})
}

func TestPhoneRefuses(t *testing.T) {
	for _, status := range []string{"486 Busy Here", "603 Decline", "302 Moved Temporarily", "500 Oops"} {
		bubble(t, func(t *testing.T, r *rig) {
			c, ph, m := ringing(r)
			ph.reply(m, "180 Ringing", "p")
			pass(5 * time.Millisecond)
			ph.reply(m, status, "p")
			ack := ph.want("ACK")
			if ack.header("Via") != m.header("Via") || ack.tag("To") != "p" {
				t.Errorf("the ACK is not the INVITE's:\n%s", ack.text)
			}
			pass(time.Second)
			r.wantStory(c.id, waiting+"rang:1 left:1:taker:"+status[:3])
			if r.line.PortsInUse() != 1 {
				t.Errorf("%d ports in use", r.line.PortsInUse())
			}
		})
	}
}

func TestDeadPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		again := ph.want("INVITE")
		if again.text != m.text || again.at-m.at != t1 {
			t.Errorf("INVITE again after %s", again.at-m.at)
		}
		pass(lifetime - t1 - 10*time.Millisecond)
		r.wantStory(c.id, waiting[:len(waiting)-1])
		pass(20 * time.Millisecond)
		r.wantStory(c.id, waiting+"left:1:network:408")
	})
}

// Ringing has no limit here: it is the desk's.
func TestLongRinging(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		c.r.line.Drop(c.id, 0, 200) // not the leg that this is about
		c.reply(c.want("BYE"), "200 OK", "")
		ph.reply(m, "180 Ringing", "p")
		ph.none(5 * time.Minute)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		ph.want("ACK")
		pass(0)
		r.wantStory(c.id, waiting+"left:0:desk rang:1 answered:1")
	})
}

func TestUnregisteredTaker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t2"), "")
		pass(0)
		r.wantStory(c.id, "arrived left:1:network:480")
	})
}

func TestNoPortForThePhone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.options.Config.RTP = config.RTP{First: 20000, Last: 20001}
		r.open()
		r.taker("t1", desk)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "")
		pass(0)
		r.wantStory(c.id, "arrived left:1:node:503")
		if len(r.texts("alarm")) != 1 {
			t.Errorf("alarms %q", r.texts("alarm"))
		}
	})
}

// RFC 3261, 9.1: a CANCEL goes out only after a provisional response, in the branch of its INVITE.
func TestCANCELWaitsForAProvisional(t *testing.T) {
	for code, reason := range map[int]string{
		200: `SIP;cause=200;text="Call completed elsewhere", Q.850;cause=26`, 487: `SIP;cause=487;text="Caller gone", Q.850;cause=16`,
		408: `SIP;cause=408;text="Request Timeout", Q.850;cause=102`,
	} {
		bubble(t, func(t *testing.T, r *rig) {
			c, ph, m := ringing(r)
			r.line.Drop(c.id, 1, code)
			ph.none(t1 - 10*time.Millisecond)
			ph.reply(m, "100 Trying", "")
			cancel := ph.want("CANCEL")
			if cancel.start() != strings.Replace(m.start(), "INVITE", "CANCEL", 1) || cancel.header("Via") != m.header("Via") ||
				cancel.header("CSeq") != "1 CANCEL" || cancel.header("Call-ID") != m.header("Call-ID") || cancel.header("Reason") != reason {
				t.Errorf("the CANCEL does not fit\n%s\n%s", m.text, cancel.text)
			}
			ph.reply(cancel, "200 OK", "p")
			r.line.Drop(c.id, 1, code) // again: nothing
			pass(10 * time.Millisecond)
			ph.reply(m, "180 Ringing", "p") // and one CANCEL is enough
			pass(time.Second)
			r.wantStory(c.id, waiting[:len(waiting)-1])
			ph.reply(m, "487 Request Terminated", "p")
			ph.want("ACK")
			pass(0)
			r.wantStory(c.id, waiting+"left:1:desk:487")
			ph.none(time.Minute)
		})
	}
}

// RFC 3261, 9.1: after a provisional response the CANCEL goes out at once.
func TestCANCELWhileRinging(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		pass(time.Second)
		r.line.Drop(c.id, 1, 200)
		first := ph.want("CANCEL")
		if again := ph.want("CANCEL"); again.text != first.text { // its transaction repeats it
			t.Errorf("another CANCEL:\n%s", again.text)
		}
		ph.reply(m, "487 Request Terminated", "p")
		ph.find("ACK", time.Second)
		pass(0)
		r.wantStory(c.id, waiting+"rang:1 left:1:desk:487")
	})
}

// RFC 3261, 9.1: a phone that neither answers the CANCEL nor ends the INVITE is left after 64*T1; a 200 of its later is
// still known as ours.
func TestUnansweredCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		pass(time.Second)
		r.line.Drop(c.id, 1, 200)
		pass(lifetime + time.Second)
		r.wantStory(c.id, waiting+"rang:1 left:1:desk:408")
		ph.drain(time.Second)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		unwanted(t, ph, "p")
		r.wantStory(c.id, waiting+"rang:1 left:1:desk:408")
	})
}

// RFC 3261, 9.1: the patience with a phone is not lengthened by a second Drop; one without a code is a CANCEL too.
func TestDropTwiceOfARingingPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		pass(time.Second)
		r.line.Drop(c.id, 1, 0)
		ph.reply(ph.want("CANCEL"), "200 OK", "p")
		pass(20 * time.Second)
		r.line.Drop(c.id, 1, 0)
		pass(lifetime - 19*time.Second)
		r.wantStory(c.id, waiting+"rang:1 left:1:desk:408")
	})
}

func TestDropOfADeadPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, _ := ringing(r)
		pass(4 * time.Second)
		r.line.Drop(c.id, 1, 408)
		for _, m := range ph.drain(lifetime) {
			if !strings.HasPrefix(m.start(), "INVITE") {
				t.Fatalf("got\n%s", m.text)
			}
		}
		r.wantStory(c.id, waiting+"left:1:desk:408")
	})
}

// RFC 3261, 9.1: the phone picks up while our CANCEL is on its way.
func Test200CrossesCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		pass(time.Second)
		r.line.Drop(c.id, 1, 200)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		ph.reply(ph.want("CANCEL"), "481 Call/Transaction Does Not Exist", "p")
		unwanted(t, ph, "p")
		pass(time.Second)
		r.wantStory(c.id, waiting+"rang:1 left:1:desk:200")
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>") // our ACK was lost
		ph.find("ACK", time.Second)
	})
}

// RFC 3261, 13.2.2.4: a 2xx of a phone to an INVITE of ours that no run knows any more: by its Call-ID it is ours, and
// nobody wants it.
func Test200ToAForgottenINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		name := string(call.NewID(call.Call, time.Now())) + ".3"
		text := `SIP/2.0 200 OK
Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKforgotten;rport
From: <sip:+62811@10.0.0.1>;tag=NAME
To: <sip:t1@siaga112>;tag=p
Call-ID: NAME
CSeq: 1 INVITE
Contact: <sip:t1@10.0.1.1:5060>
Content-Length: 0

`
		ph.send(strings.ReplaceAll(text, "NAME", name))
		unwanted(t, ph, "p")
		ph.send(strings.ReplaceAll(text, "NAME", "someone@else"))
		ph.send(strings.Replace(strings.ReplaceAll(text, "NAME", name), "200 OK", "180 Ringing", 1))
		ph.send(strings.Replace(strings.ReplaceAll(text, "NAME", name), "200 OK", "486 Busy Here", 1))
		ph.none(time.Minute)
	})
}

// What a phone answers must be sound that can be served.
func TestUselessAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		unwanted(t, ph, "p")
		r.wantStory(c.id, waiting+"left:1:taker:488")
	})
}

// A leg's number is used once: a second Ring of it does nothing.
func TestRingTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.reply(m, "180 Ringing", "p")
		r.line.Ring(c.id, 1, party("t1"), "")
		ph.none(10 * time.Second)
		r.wantStory(c.id, waiting+"rang:1")
	})
}

// Two phones ring; each has its own leg, and the one that loses gets its CANCEL.
func TestTwoPhones(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		one, two := r.taker("t1", desk), r.taker("t2", desk2)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "")
		r.line.Ring(c.id, 2, party("t2"), "")
		a, b := one.want("INVITE"), two.want("INVITE")
		one.reply(a, "180 Ringing", "p")
		two.reply(b, "180 Ringing", "q")
		pass(time.Second)
		one.replySDP(a, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		one.want("ACK")
		pass(0)
		r.line.Drop(c.id, 2, 200)
		two.reply(two.want("CANCEL"), "200 OK", "q")
		two.reply(b, "487 Request Terminated", "q")
		two.want("ACK")
		pass(0)
		if got := r.story(c.id); !strings.HasSuffix(got, " answered:1 left:2:desk:487") {
			t.Error(got)
		}
		if r.line.PortsInUse() != 2 {
			t.Errorf("%d ports in use, want 2", r.line.PortsInUse())
		}
	})
}
