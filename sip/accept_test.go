package sip_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// The whole of a call in mode queue: the dialog kept before the fact is told, 200, ACK, BYE.
func TestCall(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		want := call.Arrived{
			Trunk: "telkom", Called: "112", SIPCallID: c.callID, Caller: call.Caller{Number: "+628115550001", Trust: call.Asserted},
		}
		if diff := cmp.Diff([]call.Event{want}, r.facts(c.id)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		r.line.Answer(c.id, 0)
		ok := c.answered()
		if got := ok.rtp(t); got.Addr().String() != gateway || ok.header("Content-Type") != "application/sdp" {
			t.Errorf("the 200's session is at %s:\n%s", got, ok.text)
		}
		c.ack()
		c.none(20 * time.Second)
		if d := r.dialog(c.id, 0); len(d.Invite) > 0 || !d.Answered {
			t.Errorf("a confirmed dialog is kept with its INVITE: %+v", d)
		}
		c.send(c.request("BYE", 2))
		c.want("SIP/2.0 200")
		pass(0)
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
		r.wantGone()
		var order []string
		for _, d := range r.all() {
			if d.of == c.id {
				order = append(order, strings.TrimSpace(d.what+" "+d.text))
			}
		}
		// Keep precedes Tell, at the arrival and the answer; once more when the ACK has come; what is forgotten is forgotten
		// before Left is told.
		if diff := cmp.Diff([]string{"keep 0", "tell", "keep 0", "tell", "keep 0", "forget 0", "tell"}, order); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// RFC 3261, 17.2.1: 100 where nothing else has gone out for 200 ms; never before, for it would stop the INVITE from coming
// again if the gateway died before the call is durable.
func TestTrying(t *testing.T) {
	for _, answered := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			began := time.Since(r.start)
			c := r.caller(r.peer(trunk)).arrive()
			c.ignore = nil
			if answered {
				r.line.Answer(c.id, 0)
				c.answered()
				c.ack()
				c.none(time.Second)
				return
			}
			if m := c.want("SIP/2.0 100"); m.at-began < 200*time.Millisecond || m.at-began > 210*time.Millisecond {
				t.Errorf("100 came after %s", m.at-began)
			}
		})
	}
}

// RFC 3261, 13.3.1.4: the 200 is repeated at growing intervals up to T2 until the ACK; without one the session ends by BYE
// after 64*T1.
func TestUnacknowledged200(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		first := c.answered()
		var times []string
		for {
			m, ok := c.next(lifetime)
			if !ok {
				break
			}
			times = append(times, fmt.Sprintf("%.1f %s", (m.at-first.at).Seconds(), m.start()[:11]))
			if strings.HasPrefix(m.start(), "BYE") {
				c.reply(m, "200 OK", "")
				break
			}
			if m.text != first.text {
				t.Errorf("a repeated 200 differs:\n%s\n%s", first.text, m.text)
			}
		}
		want := []string{
			"0.5 SIP/2.0 200", "1.5 SIP/2.0 200", "3.5 SIP/2.0 200", "7.5 SIP/2.0 200", "11.5 SIP/2.0 200", "15.5 SIP/2.0 200",
			"19.5 SIP/2.0 200", "23.5 SIP/2.0 200", "27.5 SIP/2.0 200", "31.5 SIP/2.0 200", "32.0 BYE sip:cal",
		}
		if diff := cmp.Diff(want, times); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		c.none(lifetime)
		r.wantStory(c.id, "arrived answered:0 left:0:network:408")
		r.wantGone()
	})
}

// sipgo's trap: peers of RFC 2543 send the ACK in the INVITE's own branch, where it meets the transaction, not the handler.
func TestACKInTheBranchOfItsINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		c.answered()
		c.send(c.requestWith(c.branch, "ACK", c.cseq))
		c.none(20 * time.Second)
		r.line.Drop(c.id, 0, 200)
		c.want("BYE")
	})
}

// An ACK of another dialog confirms nothing.
func TestForeignACK(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		c.answered()
		c.send(c.request("ACK", c.cseq, ";tag="+c.from, ";tag=other"))
		c.wantWithin("SIP/2.0 200", t1+time.Millisecond)
	})
}

// sipgo's trap: a handler that returns kills its transaction, and the repeated INVITE is a second call.
func TestRepeatedINVITE(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		c.send(c.invite())
		r.line.Play(c.id, 0, "")
		ringing := c.want("SIP/2.0 180")
		pass(20 * time.Second)
		c.send(c.invite())
		if again := c.want("SIP/2.0 180"); again.text != ringing.text {
			t.Errorf("180 differs:\n%s\n%s", ringing.text, again.text)
		}
		r.line.Answer(c.id, 0)
		ok := c.answered()
		c.send(c.invite())
		if again := c.want("SIP/2.0 200"); again.text != ok.text {
			t.Errorf("200 differs:\n%s\n%s", ok.text, again.text)
		}
		if ringing.tag("To") != ok.tag("To") || ok.tag("To") == "" {
			t.Errorf("tags %s and %s", ringing.tag("To"), ok.tag("To"))
		}
		c.ack()
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// 180 comes again every minute, so that no proxy gives up (13.3.1.1).
func TestRingingIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Play(c.id, 0, "")
		first := c.want("SIP/2.0 180")
		for i := range 3 {
			m := c.wantWithin("SIP/2.0 180", time.Minute+time.Second)
			if m.at-first.at != time.Duration(i+1)*time.Minute {
				t.Errorf("180 again after %s", m.at-first.at)
			}
		}
	})
}

// RFC 3261, 13.3.1: a caller rings until the INVITE expires, or for an hour where it does not say or says more. Then it
// gets 487, and the leg has left.
func TestExpiredINVITE(t *testing.T) {
	tests := []struct {
		name, expires string
		ringing       int // how many 180 there are
		after         time.Duration
	}{
		{"two seconds", "Expires: 2\n", 1, 2 * time.Second},
		{"between two 180", "Expires: 90\n", 2, 90 * time.Second},
		{"not said", "", 60, time.Hour},
		{"longer than we ring", "Expires: 7200\n", 60, time.Hour},
		{"zero", "Expires: 0\n", 60, time.Hour},
		{"no number", "Expires: soon\n", 60, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.options.Config.SIP.Answer = config.AnswerTaker
				r.open()
				c := r.caller(r.peer(trunk)).arrive("Max-Forwards", tt.expires+"Max-Forwards")
				r.line.Play(c.id, 0, "")
				first := c.want("SIP/2.0 180")
				m := first
				for n := 1; n < tt.ringing; n++ {
					m = c.wantWithin("SIP/2.0 180", time.Minute+time.Second)
					if m.at-first.at != time.Duration(n)*time.Minute {
						t.Errorf("180 again after %s", m.at-first.at)
					}
				}
				r.wantStory(c.id, "arrived")
				if m = c.wantWithin("SIP/2.0 487", time.Minute+time.Second); m.at-first.at != tt.after || m.tag("To") != first.tag("To") {
					t.Errorf("487 after %s, want %s:\n%s", m.at-first.at, tt.after, m.text)
				}
				c.ackFinal()
				c.none(5 * time.Minute)
				r.wantStory(c.id, "arrived left:0:network:487")
				r.wantGone()
			})
		})
	}
}

// RFC 3261, 13.3.1: what the caller hears next does not lengthen that.
func TestExpiryIsNotPutOff(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Max-Forwards", "Expires: 2\nMax-Forwards")
		r.line.Play(c.id, 0, "")
		first := c.want("SIP/2.0 180")
		pass(time.Second)
		r.line.Play(c.id, 0, "waiting")
		c.want("SIP/2.0 183")
		if m := c.want("SIP/2.0 487"); m.at-first.at != 2*time.Second {
			t.Errorf("487 after %s", m.at-first.at)
		}
	})
}

// RFC 3261, 13.3.1: who has been answered is on the line however soon the INVITE would have expired.
func TestAnsweredBeforeItExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Max-Forwards", "Expires: 2\nMax-Forwards")
		r.line.Play(c.id, 0, "")
		c.want("SIP/2.0 180")
		pass(time.Second)
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		c.none(20 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		pairs []string
		code  int
	}{
		{"a number that the trunk does not serve", []string{"INVITE sip:112@", "INVITE sip:110@"}, 404},
		{"a session without audio", []string{"m=audio 4000 RTP/AVP 8", "m=video 4000 RTP/AVP 9"}, 488},
		{"only codecs that we do not have", []string{"RTP/AVP 8 0 101", "RTP/AVP 18 9 96"}, 488},
		{"a session that cannot be read", []string{"v=0\no", "hello\no"}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk))
				c.send(c.invite(tt.pairs...))
				pass(5 * time.Millisecond)
				id := r.ids()[0]
				r.wantStory(id, fmt.Sprint("arrived:", tt.code))
				if r.dialog(id, 0).Answering { // no 200 of ours can be out: after a restart there is nothing to end by BYE
					t.Error("kept as one that may be answered")
				}
				r.line.Drop(id, 0, tt.code)
				c.want(fmt.Sprint("SIP/2.0 ", tt.code))
				c.ackFinal()
				pass(0)
				r.wantStory(id, fmt.Sprintf("arrived:%d left:0:desk:%[1]d", tt.code))
				r.wantGone()
			})
		})
	}
}

// RFC 3261, 21: what the desk says at last counts, also where the line had another refusal in mind.
func TestRefusalWithAnotherCode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("INVITE sip:112@", "INVITE sip:110@")
		r.line.Drop(c.id, 0, 503)
		if m := c.want("SIP/2.0 503"); m.header("Retry-After") == "" {
			t.Errorf("no Retry-After in\n%s", m.text)
		}
	})
}

// RFC 3261, 8.2.2.2: the same request over another way.
func TestMergedRequest(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		c.send(c.invite("branch="+c.branch, "branch="+c.branch+"x"))
		pass(5 * time.Millisecond)
		ids := r.ids()
		if len(ids) != 2 {
			t.Fatalf("%d calls arrived", len(ids))
		}
		r.wantStory(ids[0], "arrived")
		r.wantStory(ids[1], "arrived:482")
		r.line.Drop(ids[1], 0, 482)
		c.want("SIP/2.0 482")
		c.send(c.requestWith(c.branch+"x", "ACK", c.cseq))
		r.line.Answer(ids[0], 0)
		c.answered()
	})
}

// The same names are a new call once the old one has gone: a trunk may try again.
func TestSameINVITEAfterItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Drop(c.id, 0, 486)
		c.want("SIP/2.0 486")
		c.ackFinal()
		pass(lifetime + time.Second)
		c.branch += "again"
		c.arrive()
		r.wantStory(c.id, "arrived")
	})
}

func TestDropBeforeTheAnswer(t *testing.T) {
	for code, want := range map[int]string{
		404: "404 Not Found", 408: "408 Request Timeout", 480: "480 Temporarily Unavailable", 482: "482 Loop Detected",
		486: "486 Busy Here", 487: "487 Request Terminated", 488: "488 Not Acceptable Here", 500: "500 Server Internal Error",
		503: "503 Service Unavailable", 200: "480 Temporarily Unavailable", 0: "480 Temporarily Unavailable",
		499: "480 Temporarily Unavailable", 302: "480 Temporarily Unavailable", // no codes of ours
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive()
				r.line.Drop(c.id, 0, code)
				m := c.want("SIP/2.0 " + want)
				if got := m.header("Retry-After"); (got != "") != (code == 503) {
					t.Errorf("Retry-After %q", got)
				}
				c.ackFinal()
				c.none(time.Minute)
				if got := r.story(c.id); !strings.HasPrefix(got, "arrived left:0:desk") {
					t.Error(got)
				}
				r.wantGone()
			})
		})
	}
}

// A refusal is repeated until its ACK (17.2.1).
func TestUnacknowledgedRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Drop(c.id, 0, 486)
		first := c.want("SIP/2.0 486")
		for _, after := range []time.Duration{500, 1500, 3500, 7500} {
			if m := c.wantWithin("SIP/2.0 486", 5*time.Second); m.at-first.at != after*time.Millisecond {
				t.Errorf("486 again after %s, want %s", m.at-first.at, after*time.Millisecond)
			}
		}
		c.ackFinal()
		c.none(time.Minute)
		r.wantStory(c.id, "arrived left:0:desk:486")
	})
}

func TestNoPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.options.Config.RTP = config.RTP{First: 20000, Last: 20001}
		r.open()
		p := r.peer(trunk)
		a, b := r.caller(p).arrive(), r.caller(p).arrive()
		r.wantStory(a.id, "arrived")
		r.wantStory(b.id, "arrived:503")
		if got := r.texts("alarm"); len(got) != 1 || !strings.HasPrefix(got[0], "rtp-ports: ") {
			t.Errorf("alarms %q", got)
		}
		r.line.Drop(b.id, 0, 503)
		if m := b.want("SIP/2.0 503"); m.header("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		b.ackFinal()
		r.line.Drop(a.id, 0, 480)
		a.want("SIP/2.0 480")
		a.ackFinal()
		pass(time.Second)
		r.wantStory(r.caller(p).arrive().id, "arrived") // the port is free again
	})
}

// The alarm sounds while there is no port, and is silent again with the next one that is found.
func TestAlarmOfPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.options.Config.RTP = config.RTP{First: 20000, Last: 20001}
		var mu sync.Mutex
		var got []string
		r.options.Alarm = func(name string, since time.Time, _ string) {
			mu.Lock()
			defer mu.Unlock()
			if s := fmt.Sprint(name, " ", !since.IsZero()); len(got) == 0 || got[len(got)-1] != s { // it may be said again
				got = append(got, s)
			}
		}
		want := func(when string, alarms ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(alarms, got); diff != "" {
				t.Errorf("%s: alarms (-want +got):\n%s", when, diff)
			}
		}
		r.open()
		p := r.peer(trunk)
		first := r.caller(p).arrive()
		want("a port was free")
		for range 2 {
			c := r.caller(p).arrive()
			r.line.Drop(c.id, 0, 503)
			c.find("SIP/2.0 503", time.Second)
			c.ackFinal()
			pass(10 * time.Millisecond)
			want("no port", "rtp-ports true")
		}
		r.line.Drop(first.id, 0, 480)
		first.find("SIP/2.0 480", time.Second)
		first.ackFinal()
		pass(10 * time.Millisecond)
		for range 2 {
			c := r.caller(p).arrive()
			want("a port again", "rtp-ports true", "rtp-ports false")
			r.line.Drop(c.id, 0, 480)
			c.find("SIP/2.0 480", time.Second)
			c.ackFinal()
			pass(10 * time.Millisecond)
		}
	})
}

// RFC 3261, 18.1.1; sipgo's trap: a message over 1,300 bytes is refused, responses too. Ours copies the caller's many
// hops.
func TestLongResponse(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk))
		var hops strings.Builder
		for i := range 20 {
			fmt.Fprintf(&hops, "Via: SIP/2.0/UDP 10.9.9.%d:5060;branch=z9hG4bK%040d\n", i, i)
			fmt.Fprintf(&hops, "Record-Route: <sip:10.9.8.%d;lr;x=%040d>\n", i, i)
		}
		c.arrive("Max-Forwards", hops.String()+"Max-Forwards")
		r.line.Answer(c.id, 0)
		m := c.answered()
		if len(m.text) < 1500 || len(m.headers("Via")) != 21 || len(m.headers("Record-Route")) != 20 {
			t.Errorf("a 200 of %d bytes:\n%s", len(m.text), m.text)
		}
	})
}
