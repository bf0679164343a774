package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip"
)

// bubbleWith is bubble with something done before the line opens.
func bubbleWith(t *testing.T, before func(*rig), f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		before(r)
		f(t, r.open())
	})
}

// presence is the registered phones in short, times since the start of the test.
func presence(r *rig) []string {
	since := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.Sub(r.start).Round(time.Second).String()
	}
	var out []string
	for _, p := range r.line.Phones() {
		out = append(out, fmt.Sprintf("%s since %s until %s answers %s contacts %d %s", p.Taker, since(p.Registered), since(p.Until), since(p.Answers), p.Contacts, p.Net))
	}
	return out
}

// What is known of a phone through its life: registered, answered OPTIONS, refreshed, silent, restored, gone.
func TestPresence(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		want := func(after string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, presence(r)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", after, diff)
			}
		}
		want("at first")
		p := r.peer(desk)
		p.enroll("x", 1, "Contact: <sip:t1@a>")
		p.ignore = nil
		want("registered", "t1 since 0s until 1h0m0s answers - contacts 1 UDP")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		pass(10 * time.Second)
		want("answered", "t1 since 0s until 1h0m0s answers 0s contacts 1 UDP")
		p.enroll("x", 2, "Contact: <sip:t1@a>;expires=600")
		p.ignore = nil
		p.reply(p.want("OPTIONS"), "404 Not Found", "x")
		pass(10 * time.Second)
		want("refreshed, and not there", "t1 since 0s until 10m10s answers 0s contacts 1 UDP")
		r.line.Kill()
		r.open()
		want("restored", "t1 since 0s until 10m10s answers - contacts 1 UDP")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		tcp, _ := r.tcpPeer(desk2)
		tcp.register("t2", "rahasia", "")
		tcp.ignore = []string{"OPTIONS"}
		pass(10 * time.Second)
		want("two", "t1 since 0s until 10m10s answers 20s contacts 1 UDP", "t2 since 20s until 1h0m20s answers - contacts 1 TCP")
		p.enroll("z", 1, "Contact: <sip:t1@a>") // it has started anew
		want("new Call-ID", "t1 since 30s until 1h0m30s answers 20s contacts 1 UDP", "t2 since 20s until 1h0m20s answers - contacts 1 TCP")
		r.line.Forget("t2")
		p.enroll("z", 2, "Contact: *\nExpires: 0")
		want("gone")
	})
}

// Of several contacts the newest that answers OPTIONS is rung, and when none does, the newest. The desk hears of the first
// that is there, and of the last that is not.
func TestNewestThatAnswersIsRung(t *testing.T) {
	tests := []struct {
		name    string
		answers [3]bool
		rung    int
	}{
		{"all answer", [3]bool{true, true, true}, 2},
		{"the newest does not", [3]bool{true, true, false}, 1},
		{"only the oldest does", [3]bool{true, false, false}, 0},
		{"none does", [3]bool{}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var phones [3]*peer
				for i := range phones {
					phones[i] = r.peerAt(desk, uint16(5060+i))
					phones[i].enroll(fmt.Sprint("x", i), 1, fmt.Sprintf("Contact: <sip:%d@a>", i))
					pass(time.Second)
				}
				for i, p := range phones {
					p.ignore = nil
					if m := p.want("OPTIONS"); tt.answers[i] {
						p.reply(m, "200 OK", "x")
					}
					p.ignore = []string{"OPTIONS"}
				}
				pass(10 * time.Millisecond)
				want := []string{"t1 true"}
				if tt.answers == [3]bool{} {
					want = nil
				}
				if diff := cmp.Diff(want, r.texts("phone")); diff != "" {
					t.Errorf("phones (-want +got):\n%s", diff)
				}
				c := r.caller(r.peer(trunk)).arrive()
				r.line.Ring(c.id, 1, party("t1"), "")
				phones[tt.rung].want(fmt.Sprintf("INVITE sip:%d@a", tt.rung))
				pass(2 * lifetime) // now none answers
				if len(want) > 0 {
					want = append(want, "t1 false")
				}
				if diff := cmp.Diff(want, r.texts("phone")); diff != "" {
					t.Errorf("phones at the end (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A phone that connects anew and registers the same contact stays up all the while: its shift goes on.
func TestPhoneConnectsAnew(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, conn := r.tcpPeer(desk)
		p.register("t1", "rahasia", "")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		pass(time.Second)
		_ = conn.Close()
		pass(time.Second)
		again, _ := r.tcpPeer(desk)
		again.register("t1", "rahasia", "")
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "")
		again.find("INVITE sip:t1@phone.invalid", time.Second)
		if diff := cmp.Diff([]string{"t1 true"}, r.texts("phone")); diff != "" {
			t.Errorf("phones (-want +got):\n%s", diff)
		}
		if got := r.line.Phones(); len(got) != 1 || got[0].Contacts != 1 {
			t.Errorf("phones %+v", got)
		}
	})
}

// A phone that makes up a new contact is still the same phone: it stays up, whether it says that the old one goes or not.
func TestPhoneChangesItsContact(t *testing.T) {
	for _, headers := range []string{"Contact: <sip:b@a>", "Contact: <sip:b@a>, <sip:t1@a>;expires=0", "Contact: <sip:t1@a>;expires=0, <sip:b@a>"} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.peer(desk)
			p.enroll("x", 1, "Contact: <sip:t1@a>")
			p.ignore = nil
			p.reply(p.want("OPTIONS"), "200 OK", "x")
			pass(time.Second)
			if got := p.enroll("x", 2, headers).contacts(); got != "b@a 3600" {
				t.Errorf("%s: contacts %q", headers, got)
			}
			if diff := cmp.Diff([]string{"t1 true"}, r.texts("phone")); diff != "" {
				t.Errorf("%s: phones (-want +got):\n%s", headers, diff)
			}
		})
	}
}

// The answer to an OPTIONS that was sent before the phone registered again starts no second series.
func TestLateAnswerToOPTIONS(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		p.register("t1", "rahasia", "")
		first := p.want("OPTIONS")
		p.register("t1", "rahasia", "")
		second := p.find("OPTIONS", 100*time.Millisecond)
		p.reply(first, "200 OK", "x")
		p.reply(second, "200 OK", "x")
		p.none(29 * time.Second)
		p.reply(p.wantWithin("OPTIONS", 2*time.Second), "200 OK", "x")
		p.none(29 * time.Second)
	})
}

// What an earlier version stored, one contact without its Call-ID, is read; what can't be rung is left out.
func TestBindingsOfAnEarlierVersion(t *testing.T) {
	one := `{"contact":"sip:t1@old","net":"UDP","local":"10.0.0.1:5060","peer":"10.0.1.1:5060","until":"2099-01-01T00:00:00Z"}`
	tests := map[string]struct {
		stored string
		want   []string
	}{
		"one":       {one, []string{"t1 - 1"}},
		"a list":    {"[" + one + "," + strings.Replace(one, "@old", "@new", 1) + "]", []string{"t1 - 2"}},
		"one of it": {"[" + one + "," + strings.Replace(one, "2099", "1999", 1) + `,null,{"contact":"tel:112"},{"contact":"sip:*"}]`, []string{"t1 - 1"}},
		"nothing":   {"[]", nil},
		"no JSON":   {"?", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubbleWith(t, func(r *rig) { r.accounts.bound["t1"] = []byte(tt.stored) }, func(t *testing.T, r *rig) {
				var got []string
				for _, p := range r.line.Phones() {
					age := "-"
					if !p.Registered.IsZero() {
						age = p.Registered.String()
					}
					got = append(got, fmt.Sprint(p.Taker, " ", age, " ", p.Contacts))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if len(tt.want) == 0 {
					return
				}
				p := r.peer(desk)
				if got := p.enroll("x", 1, "Contact: <sip:t1@old>;expires=0").start(); !strings.HasPrefix(got, "SIP/2.0 200") {
					t.Error(got)
				}
			})
		})
	}
}

// All who ask see a picture of their own.
func TestPhonesIsACopy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.taker("t1", desk)
		r.line.Phones()[0] = sip.Phone{}
		if got := r.line.Phones(); got[0].Taker != "t1" {
			t.Errorf("phones %+v", got)
		}
	})
}
