package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// registration is a REGISTER as text.
func (p *peer) registration(user, more string) string {
	calls++
	via := "UDP"
	if p.to == nil {
		via = "TCP"
	}
	return fmt.Sprintf(`REGISTER sip:%s SIP/2.0
Via: SIP/2.0/%s %s;branch=z9hG4bKg%d;rport
Max-Forwards: 70
From: <sip:%[5]s@siaga112>;tag=r%[4]d
To: <sip:%[5]s@siaga112>
Call-ID: reg@%[3]s
CSeq: %[4]d REGISTER
Contact: <sip:%[5]s@phone.invalid>
Expires: 3600
%[6]sContent-Length: 0

`, gateway, via, p.addr, calls, user, more)
}

// register registers a phone through a challenge and is the 200; more is replaced as in strings.NewReplacer.
func (p *peer) register(user, password, more string, pairs ...string) message {
	p.tb.Helper()
	return p.try(user, password, more, pairs...)("SIP/2.0 200", time.Second)
}

// try sends a REGISTER, answers the challenge, and is what takes the answer.
func (p *peer) try(user, password, more string, pairs ...string) func(start string, d time.Duration) message {
	p.tb.Helper()
	change := strings.NewReplacer(pairs...)
	p.send(change.Replace(p.registration(user, more)))
	challenge := p.want("SIP/2.0 401").header("WWW-Authenticate")
	p.send(change.Replace(p.registration(user, "Authorization: "+authorization(p.tb, challenge, user, password)+"\n"+more)))
	return p.wantPast
}

// RFC 3261, 10.2 and 10.3: the way of a registration.
func TestRegister(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.send(p.registration("t1", ""))
		m := p.want("SIP/2.0 401")
		for _, want := range []string{`realm="siaga112"`, "algorithm=MD5", `qop="auth"`} {
			if !strings.Contains(m.header("WWW-Authenticate"), want) {
				t.Errorf("the challenge lacks %s: %s", want, m.header("WWW-Authenticate"))
			}
		}
		if strings.Contains(m.header("WWW-Authenticate"), "stale=true") {
			t.Error("the first challenge says stale")
		}
		ok := p.register("t1", "rahasia", "")
		if got := ok.header("Contact"); got != "<sip:t1@phone.invalid>;expires=3600" {
			t.Errorf("Contact: %s", got)
		}
		options := p.want("OPTIONS sip:t1@phone.invalid")
		if len(r.texts("phone")) != 0 {
			t.Error("up before its OPTIONS")
		}
		p.reply(options, "200 OK", "x")
		pass(10 * time.Millisecond)
		if diff := cmp.Diff([]string{"t1 true"}, r.texts("phone")); diff != "" {
			t.Error(diff)
		}
		if got := r.accounts.contact(t, "t1"); got != "sip:t1@phone.invalid" {
			t.Errorf("stored contact %q", got)
		}
	})
}

// RFC 3261, 10.3: a query changes nothing.
func TestRegistrationQuery(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ph := r.taker("t1", desk)
		pass(10 * time.Minute)
		m := ph.register("t1", "rahasia", "", "Contact: <sip:t1@phone.invalid>\n", "")
		if got := m.header("Contact"); got != "<sip:t1@phone.invalid>;expires=3000" {
			t.Errorf("Contact: %q", got)
		}
	})
}

// A wrong password costs time, more with each: half a second, doubled, at most half a minute.
func TestWrongPassword(t *testing.T) {
	for _, user := range []string{"t1", "nobody"} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.peer(desk)
			var pauses []string
			for range 8 {
				answer := p.try(user, "salah", "")
				began := time.Since(r.start)
				pauses = append(pauses, (answer("SIP/2.0 403", time.Minute).at - began).Round(time.Millisecond*10).String())
			}
			if diff := cmp.Diff([]string{"500ms", "1s", "2s", "4s", "8s", "16s", "30s", "30s"}, pauses); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			other := r.peer(desk2) // another phone does not pay for it
			other.register("t2", "rahasia", "")
			if user == "t1" {
				p.ignore = []string{"OPTIONS"}
				p.register("t1", "rahasia", "") // and the right password ends it
				answer := p.try("t1", "salah", "")
				answer("SIP/2.0 403", 510*time.Millisecond)
			}
			if len(r.texts("phone")) != 0 {
				t.Errorf("phones %q", r.texts("phone"))
			}
		})
	}
}

// A REGISTER that is repeated during the pause is the same one.
func TestRepeatedREGISTERInThePause(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.send(p.registration("t1", ""))
		text := p.registration("t1", "Authorization: "+authorization(t, p.want("SIP/2.0 401").header("WWW-Authenticate"), "t1", "salah")+"\n")
		p.send(text)
		pass(100 * time.Millisecond)
		p.send(text)
		p.want("SIP/2.0 403")
		p.none(20 * time.Second)
	})
}

// RFC 7616, 3.3: a nonce that is too old is stale, not wrong.
func TestStaleNonce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.send(p.registration("t1", ""))
		challenge := p.want("SIP/2.0 401").header("WWW-Authenticate")
		pass(6 * time.Minute)
		p.send(p.registration("t1", "Authorization: "+authorization(t, challenge, "t1", "rahasia")+"\n"))
		m := p.want("SIP/2.0 401")
		if !strings.Contains(m.header("WWW-Authenticate"), "stale=true") {
			t.Errorf("not stale: %s", m.header("WWW-Authenticate"))
		}
		p.send(p.registration("t1", "Authorization: "+authorization(t, m.header("WWW-Authenticate"), "t1", "rahasia")+"\n"))
		p.wantPast("SIP/2.0 200", time.Second)
	})
}

// RFC 7616, 3.4: an Authorization counts once. Whoever has listened and sends it again, with a Contact of his own, is asked
// for a password like anybody; the phone itself may use its nonce again with a higher count.
func TestReplayedAuthorization(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, thief := r.peer(desk), r.peer(desk2)
		p.send(p.registration("t1", ""))
		challenge := p.want("SIP/2.0 401").header("WWW-Authenticate")
		header := func(n int) string {
			return "Authorization: " + authorizationAgain(t, challenge, "t1", "rahasia", n) + "\n"
		}
		first, second := header(1), header(2)
		refused := func(authorization string) {
			t.Helper()
			thief.send(strings.ReplaceAll(thief.registration("t1", authorization), "phone.invalid", "thief.invalid"))
			m := thief.want("SIP/2.0 401")
			if got := m.header("WWW-Authenticate"); !strings.Contains(got, "stale=true") || got == challenge {
				t.Errorf("not a new nonce: %s", got)
			}
			if got := r.accounts.contact(t, "t1"); got != "sip:t1@phone.invalid" {
				t.Errorf("stored contact %q", got)
			}
		}
		p.send(p.registration("t1", first))
		p.wantPast("SIP/2.0 200", time.Second)
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		refused(first)
		p.send(p.registration("t1", second))
		p.wantPast("SIP/2.0 200", time.Second)
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		refused(second)
		refused(first)
		thief.none(time.Minute) // no OPTIONS: it is nobody's phone
		if got := r.texts("bind"); len(got) != 2 {
			t.Errorf("bound %q, want twice", got)
		}
	})
}

// RFC 3261, 10.3, step 4: nobody registers for another.
func TestThirdPartyRegistration(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.try("t1", "rahasia", "", "To: <sip:t1@", "To: <sip:t2@")("SIP/2.0 403", time.Minute)
		if got := r.texts("bind"); len(got) != 0 {
			t.Errorf("bound %q", got)
		}
	})
}

func TestREGISTERFromElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		p.send(p.registration("t1", ""))
		p.want("SIP/2.0 403")
		x := r.peer(stranger)
		x.send(x.registration("t1", ""))
		x.none(time.Minute)
	})
}

// RFC 3261, 10.2.2: a registration is taken back.
func TestUnregister(t *testing.T) {
	tests := []struct {
		name  string
		pairs []string
		code  string
	}{
		{"Expires: 0", []string{"Expires: 3600", "Expires: 0"}, "200"},
		{"the contact's own parameter wins", []string{"invalid>", "invalid>;expires=0"}, "200"},
		{"all contacts", []string{"<sip:t1@phone.invalid>", "*", "Expires: 3600", "Expires: 0"}, "200"},
		{"all contacts, but not at once (10.3, 6)", []string{"<sip:t1@phone.invalid>", "*"}, "400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ph := r.taker("t1", desk)
				ph.try("t1", "rahasia", "", tt.pairs...)("SIP/2.0 "+tt.code, time.Second)
				pass(0)
				want, contact := []string{"t1 true", "t1 false"}, ""
				if tt.code != "200" {
					want, contact = want[:1], "sip:t1@phone.invalid"
				}
				if diff := cmp.Diff(want, r.texts("phone")); diff != "" {
					t.Error(diff)
				}
				if got := r.accounts.contact(t, "t1"); got != contact {
					t.Errorf("stored contact %q, want %q", got, contact)
				}
				if tt.code == "200" {
					ph.ignore = nil
					ph.none(5 * time.Minute) // no OPTIONS any more
				}
			})
		})
	}
}

// Longer than an hour is not granted; a REGISTER without a time, or with one that is none (20.10), gets the longest.
func TestGrantedTime(t *testing.T) {
	for asked, want := range map[string]string{"7200": "3600", "60": "60", "": "3600", "soon": "3600", "-1": "3600", "99999999999": "3600"} {
		bubble(t, func(t *testing.T, r *rig) {
			line := "Expires: " + asked + "\n"
			if asked == "" {
				line = ""
			}
			m := r.peer(desk).register("t1", "rahasia", "", "Expires: 3600\n", line)
			if got := param(m.header("Contact"), "expires"); got != want {
				t.Errorf("asked for %q, got %s, want %s", asked, got, want)
			}
		})
	}
}

// The same contact from another place: it is asked and rung there, and no more where it was.
func TestNewerContact(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		old := r.taker("t1", desk)
		young := r.taker("t1", desk2)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "")
		young.want("INVITE")
		old.ignore = nil
		old.none(5 * time.Minute)
	})
}

// A phone takes only its own contact away when it unregisters; with * it says that it means all (10.2.2).
func TestOneOfTwoPhonesUnregisters(t *testing.T) {
	for contact, gone := range map[string]bool{"<sip:t1@old.invalid>": false, "*": true} {
		bubble(t, func(t *testing.T, r *rig) {
			old := r.peer(desk)
			old.register("t1", "rahasia", "", "phone.invalid", "old.invalid")
			old.ignore = []string{"OPTIONS"}
			pass(10 * time.Millisecond)
			r.taker("t1", desk2)
			m := old.register("t1", "rahasia", "", "<sip:t1@phone.invalid>", contact, "Expires: 3600", "Expires: 0")
			pass(0)
			want, stored, told := []string{"t1 true"}, "sip:t1@phone.invalid", "<sip:t1@phone.invalid>;expires=3600"
			if gone {
				want, stored, told = append(want, "t1 false"), "", ""
			}
			if diff := cmp.Diff(want, r.texts("phone")); diff != "" {
				t.Errorf("Contact: %s: phones (-want +got):\n%s", contact, diff)
			}
			if got := r.accounts.contact(t, "t1"); got != stored {
				t.Errorf("Contact: %s: stored contact %q, want %q", contact, got, stored)
			}
			if got := m.header("Contact"); got != told {
				t.Errorf("Contact: %s: told %q, want %q", contact, got, told)
			}
		})
	}
}

func TestRegistrationExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.register("t1", "rahasia", "", "Expires: 3600", "Expires: 70")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		p.reply(p.wantWithin("OPTIONS", 31*time.Second), "200 OK", "x")
		p.reply(p.wantWithin("OPTIONS", 31*time.Second), "200 OK", "x")
		pass(9 * time.Second)
		want := []string{"t1 true"}
		if diff := cmp.Diff(want, r.texts("phone")); diff != "" {
			t.Errorf("phones before its end (-want +got):\n%s", diff)
		}
		pass(2 * time.Second)
		if diff := cmp.Diff(append(want, "t1 false"), r.texts("phone")); diff != "" {
			t.Errorf("phones (-want +got):\n%s", diff)
		}
		if r.accounts.contact(t, "t1") != "" {
			t.Error("its contact is still stored")
		}
		p.none(5 * time.Minute)
	})
}

// RFC 3261, 11: OPTIONS every half minute. A phone that is silent is down after 64*T1, and up with its next answer.
func TestOPTIONS(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.register("t1", "rahasia", "")
		first := p.want("OPTIONS")
		p.reply(first, "200 OK", "x")
		second := p.wantWithin("OPTIONS", time.Minute)
		if d := second.at - first.at; d < 30*time.Second || d > 30*time.Second+10*time.Millisecond {
			t.Errorf("OPTIONS again after %s", d)
		}
		pass(lifetime - 100*time.Millisecond)
		if got := r.texts("phone"); got[len(got)-1] != "t1 true" {
			t.Errorf("down before 64*T1: %q", got)
		}
		pass(200 * time.Millisecond)
		if got := r.texts("phone"); got[len(got)-1] != "t1 false" {
			t.Errorf("not down after 64*T1: %q", got)
		}
		p.drain(time.Second)
		third := p.wantWithin("OPTIONS", 31*time.Second)
		p.reply(third, "486 Busy Here", "x") // whatever it says, it is there
		pass(10 * time.Millisecond)
		if got := r.texts("phone"); got[len(got)-1] != "t1 true" {
			t.Errorf("not up again: %q", got)
		}
	})
}

// Whatever a phone answers it is there, unless it says that it is not, or that it knows nobody of that name.
func TestAnswersToOPTIONS(t *testing.T) {
	for status, up := range map[string]bool{
		"404 Not Found": false, "408 Request Timeout": false, "480 Temporarily Unavailable": false, "503 Service Unavailable": false,
		"405 Method Not Allowed": true, "486 Busy Here": true, "500 Oops": true, "603 Decline": true,
	} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.peer(desk)
			p.register("t1", "rahasia", "")
			for _, answer := range []struct {
				status string
				up     bool
			}{{"200 OK", true}, {status, up}, {"200 OK", true}} {
				p.reply(p.wantWithin("OPTIONS", 31*time.Second), answer.status, "x")
				pass(10 * time.Millisecond)
				if got, want := r.texts("phone"), fmt.Sprint("t1 ", answer.up); len(got) == 0 || got[len(got)-1] != want {
					t.Errorf("after %s: phones %q, want %s last", answer.status, got, want)
				}
			}
		})
	}
}

// A restart forgets no registration: the phone counts as there until its OPTIONS fails.
func TestRestoredRegistration(t *testing.T) {
	for _, alive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t).open()
			p := r.peer(desk)
			p.register("t1", "rahasia", "")
			p.reply(p.want("OPTIONS"), "200 OK", "x")
			pass(time.Second)
			r.line.Kill()
			before := len(r.texts("phone"))
			r.open()
			if got := r.texts("phone")[before:]; len(got) != 1 || got[0] != "t1 true" {
				t.Errorf("at Open: %q", got)
			}
			options := p.want("OPTIONS")
			if alive {
				p.reply(options, "200 OK", "x")
			}
			pass(lifetime - time.Second)
			p.drain(0)
			pass(2 * time.Second)
			got := r.texts("phone")
			if want := fmt.Sprint("t1 ", alive); got[len(got)-1] != want {
				t.Errorf("%q, want %s last", got, want)
			}
		})
	}
}

// What is stored is not believed blindly: an expired contact, a taker who is no more, bytes that are none.
func TestStaleStoredRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.accounts.bound["t1"] = []byte(`{"contact":"sip:t1@10.0.1.1","net":"UDP","local":"10.0.0.1:5060","peer":"10.0.1.1:5060","until":"1999-01-01T00:00:00Z"}`)
		r.accounts.bound["t9"] = []byte(`{"contact":"sip:t9@10.0.1.1","net":"UDP","local":"10.0.0.1:5060","peer":"10.0.1.1:5060","until":"2099-01-01T00:00:00Z"}`)
		r.accounts.bound["t2"] = []byte(`[{"contact":"tel:112","net":"UDP","until":"2099-01-01T00:00:00Z"}]`)
		r.open()
		pass(time.Minute)
		if len(r.texts("phone")) != 0 || len(r.accounts.bound) != 0 {
			t.Errorf("phones %q, bound %v", r.texts("phone"), r.accounts.bound)
		}
	})
}
