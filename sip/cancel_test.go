package sip_test

import (
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// canceled tells the 200 to the CANCEL from the 487 to the INVITE, whichever came first.
func (c *caller) canceled() (ok, terminated message) {
	c.tb.Helper()
	for range 2 {
		m := c.want("SIP/2.0 ")
		switch {
		case strings.HasPrefix(m.start(), "SIP/2.0 200") && strings.HasSuffix(m.header("CSeq"), "CANCEL"):
			ok = m
		case strings.HasPrefix(m.start(), "SIP/2.0 487") && strings.HasSuffix(m.header("CSeq"), "INVITE"):
			terminated = m
		default:
			c.tb.Fatalf("got\n%s", m.text)
		}
	}
	return ok, terminated
}

// RFC 3261, 9.2: 200 to the CANCEL and 487 to the INVITE, with the tag that its 180 had.
func TestCANCEL(t *testing.T) {
	for _, ringing := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).arrive()
			var tag string
			if ringing {
				r.line.Play(c.id, 0, "")
				tag = c.want("SIP/2.0 180").tag("To")
			}
			c.send(c.cancel())
			ok, terminated := c.canceled()
			if tag == "" {
				tag = terminated.tag("To")
			}
			if ok.tag("To") != tag || terminated.tag("To") != tag {
				t.Errorf("one INVITE, the tags %q, %q and %q", tag, ok.tag("To"), terminated.tag("To"))
			}
			c.ackFinal()
			c.none(time.Minute)
			r.wantStory(c.id, "arrived left:0:caller:487")
			r.wantGone()
		})
	}
}

// RFC 3261, 9.2: a CANCEL that comes again is answered again, by the same tag.
func TestRepeatedCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		c.send(c.cancel())
		first, _ := c.canceled()
		c.send(c.cancel())
		if again := c.want("SIP/2.0 200"); again.tag("To") != first.tag("To") {
			t.Errorf("tags %s and %s", first.tag("To"), again.tag("To"))
		}
		c.ackFinal()
		pass(time.Minute)
		r.wantStory(c.id, "arrived left:0:caller:487")
	})
}

// RFC 3261, 9.2; sipgo's trap: a 200 that is given to the transaction after a CANCEL returns an error and is repeated by
// Timer G all the same: a caller connected to nobody. Here the CANCEL has ended the transaction, and the call does not
// know yet, when the desk's Answer is worked on.
func TestAnswerCrossesCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		busy := make(chan struct{})
		r.mu.Lock()
		r.onTell = func(_ call.ID, ev call.Event) {
			if _, ok := ev.(call.Arrived); ok {
				<-busy
			}
		}
		r.mu.Unlock()
		c := r.caller(r.peer(trunk)).arrive() // the call is still in Tell
		r.line.Answer(c.id, 0)
		c.send(c.cancel())
		c.canceled()
		close(busy)
		wantOnly487(t, c, 40*time.Second)
		r.wantStory(c.id, "arrived left:0:caller:487")
		r.wantGone()
	})
}

// RFC 3261, 9.2: the desk's Answer comes at the same instant as the CANCEL, in either order: the caller is answered or
// terminated, never both, and the facts agree with the wire.
func TestAnswerRacesCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		outcomes := map[bool]int{}
		for range 300 {
			c := r.caller(p).arrive()
			r.mu.Lock()
			r.onRead = func(start string) {
				if strings.HasPrefix(start, "CANCEL") {
					go r.line.Answer(c.id, 0)
				}
			}
			r.mu.Unlock()
			c.send(c.cancel())
			pass(10 * time.Millisecond)
			story := r.story(c.id)
			answered, terminated := 0, 0
			for _, m := range p.drain(2 * time.Second) {
				if strings.HasSuffix(m.header("CSeq"), "INVITE") && strings.HasPrefix(m.start(), "SIP/2.0 200") {
					answered++
					c.to, c.target = m.tag("To"), m.uri("Contact")
				}
				if strings.HasPrefix(m.start(), "SIP/2.0 487") {
					terminated++
				}
			}
			switch {
			case answered > 0 && terminated == 0 && story == "arrived answered:0":
				c.ack()
				c.send(c.request("BYE", 2))
				p.want("SIP/2.0 200")
			case answered == 0 && terminated > 0 && story == "arrived left:0:caller:487":
				c.ackFinal()
			default:
				t.Fatalf("%d times 200, %d times 487, and the facts %s", answered, terminated, story)
			}
			outcomes[answered > 0]++
			pass(10 * time.Millisecond)
		}
		t.Logf("answered or not: %v", outcomes)
	})
}

// RFC 3261, 9.2: after its CANCEL the desk can do nothing with a call any more.
func TestAnswerAfterCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		c.send(c.cancel())
		c.canceled()
		r.line.Answer(c.id, 0)
		r.line.Play(c.id, 0, "waiting")
		r.line.Mix(c.id, map[call.Leg]call.Role{0: call.Talking})
		wantOnly487(t, c, 40*time.Second)
		r.wantStory(c.id, "arrived left:0:caller:487")
	})
}

// wantOnly487 holds that for d only the 487 is repeated, and at least six times: nobody acknowledges it.
func wantOnly487(t *testing.T, c *caller, d time.Duration) {
	t.Helper()
	n := 0
	for _, m := range c.drain(d) {
		if !strings.HasPrefix(m.start(), "SIP/2.0 487") {
			t.Fatalf("at %s came\n%s", m.at, m.text)
		}
		n++
	}
	if n < 6 {
		t.Errorf("487 was repeated %d times", n)
	}
}

// RFC 3261, 9.2: after the final response a CANCEL has no effect.
func TestCANCELAfterAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		ok := c.answered()
		c.send(c.cancel())
		m := c.want("SIP/2.0 200")
		if !strings.HasSuffix(m.header("CSeq"), "CANCEL") || m.tag("To") != ok.tag("To") {
			t.Errorf("got\n%s", m.text)
		}
		c.ack()
		c.none(20 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// RFC 3261, 9.2: a CANCEL after the refusal changes nothing.
func TestCANCELAfterRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Drop(c.id, 0, 486)
		c.want("SIP/2.0 486")
		c.send(c.cancel())
		c.want("SIP/2.0 200")
		c.want("SIP/2.0 486") // repeated
		c.ackFinal()
		c.none(time.Minute)
		r.wantStory(c.id, "arrived left:0:desk:486")
	})
}

// RFC 3261, 9.2: the desk's Drop meets a transaction that a CANCEL has ended: one Left, the caller's.
func TestDropCrossesCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		busy := make(chan struct{})
		r.mu.Lock()
		r.onTell = func(_ call.ID, ev call.Event) {
			if _, ok := ev.(call.Arrived); ok {
				<-busy
			}
		}
		r.mu.Unlock()
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Drop(c.id, 0, 503)
		c.send(c.cancel())
		c.canceled()
		close(busy)
		wantOnly487(t, c, 40*time.Second)
		r.wantStory(c.id, "arrived left:0:caller:487")
		r.wantGone()
	})
}

// RFC 3261, 9.2: a CANCEL of nothing gets 481.
func TestUnmatchedCANCEL(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk))
		c.send(c.cancel())
		c.want("SIP/2.0 481")
		c.none(time.Minute)
		if len(r.ids()) != 0 {
			t.Error("it became a call")
		}
	})
}

// RFC 3261, 9.2: INVITE and CANCEL arrive at the same instant. sipgo runs each in a goroutine of its own, so that they can
// pass each other.
func TestCANCELBackToBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		for range 300 {
			c := r.caller(p)
			c.send(c.invite())
			c.send(c.cancel())
			ended(t, r, c, "200")
		}
		r.wantGone()
	})
}

// RFC 3261, 9.2: the network turns INVITE and CANCEL round. The CANCEL finds nothing; the INVITE ends as what it is:
// canceled.
func TestCANCELBeforeItsINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		for i := range 300 {
			c := r.caller(p)
			c.send(c.cancel())
			if i%2 == 0 {
				pass(5 * time.Millisecond)
			}
			c.send(c.invite())
			ended(t, r, c, "481", "200")
		}
		r.wantGone()
	})
}

// ended holds that a call ended as canceled, with one of these codes for the CANCEL.
func ended(t *testing.T, r *rig, c *caller, codes ...string) {
	t.Helper()
	pass(20 * time.Millisecond)
	var terminated, answered int
	for _, m := range c.drain(0) {
		switch {
		case strings.HasSuffix(m.header("CSeq"), "CANCEL"):
			for _, code := range codes {
				if strings.HasPrefix(m.start(), "SIP/2.0 "+code) {
					answered++
				}
			}
		case strings.HasPrefix(m.start(), "SIP/2.0 487"):
			terminated++
		case strings.HasPrefix(m.start(), "SIP/2.0 100"):
		default:
			t.Fatalf("got\n%s", m.text)
		}
	}
	var mine []call.ID
	for _, d := range r.all() {
		if ev, ok := d.event.(call.Arrived); ok && ev.SIPCallID == c.callID {
			mine = append(mine, d.of)
		}
	}
	if len(mine) != 1 || terminated != 1 || answered != 1 {
		t.Fatalf("%d calls arrived, %d times 487, %d times %s to the CANCEL", len(mine), terminated, answered, codes)
	}
	r.wantStory(mine[0], "arrived left:0:caller:487")
	c.ackFinal()
	pass(5 * time.Millisecond)
}
