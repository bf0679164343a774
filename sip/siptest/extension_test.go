package siptest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip/siptest"
)

// TestReliableAnswersAreAcknowledged is the caller's side of RFC 3262, 4: in order, once, with the answer where the
// response made the offer (5).
func TestReliableAnswersAreAcknowledged(t *testing.T) {
	for name, c := range map[string]struct {
		offers bool // the INVITE
		want   string
	}{"offer in the INVITE": {true, ""}, "offer in the response": {false, "sendrecv"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				w := newWire(t, n)
				call, d, invite := w.call(n, siptest.Invite{Reliable: "required", NoOffer: !c.offers})
				if value(t, invite, "Require") != "100rel" || (len(invite.Body()) > 0) != c.offers {
					t.Errorf("INVITE %s", invite)
				}
				progress := func(code int, seq, body string) {
					w.answer(invite, code, "gw", body, "Require: 100rel", "RSeq: "+seq, "Contact: <sip:gw@10.0.0.1:5060>")
				}
				progress(183, "41", offer())
				prack := w.wantRequest("PRACK")
				if value(t, prack, "RAck") != "41 1 INVITE" || prack.CSeq().SeqNo != 2 || prack.Recipient.User != "gw" ||
					described(prack).Direction != c.want {
					t.Errorf("PRACK %s", prack)
				}
				w.answer(prack, 200, "", "")
				progress(183, "41", offer()) // repeated
				progress(180, "43", "")      // before its turn
				progress(180, "42", "")
				if prack := w.wantRequest("PRACK"); value(t, prack, "RAck") != "42 1 INVITE" || len(prack.Body()) > 0 {
					t.Errorf("PRACK %s", prack)
				} else {
					w.answer(prack, 481, "", "")
				}
				w.answer(invite, 200, "gw", "")
				if ack := w.wantRequest("ACK"); ack.CSeq().SeqNo != 1 || len(ack.Body()) > 0 {
					t.Errorf("ACK %s", ack)
				}
				<-call.Up()
				if diff := cmp.Diff([]string{"183", "180", "481", "200"}, d.words()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestReliableAnswersAreRepeated is the called side: at 0, 0.5, 1.5, 3.5 … s until the PRACK (RFC 3262, 3).
func TestReliableAnswersAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.request("INVITE", "plain", 1, "", offer())
		w.wantCode(100)
		synctest.Wait()
		if err := d.last().Call.Respond(siptest.Response{Code: 180, Reliable: true}); !errors.Is(err, siptest.ErrState) {
			t.Errorf("reliable without 100rel: %v, want ErrState", err)
		}
		_ = d.last().Call.Answer(486)
		w.wantCode(486)
		w.request("ACK", "plain", 1, "", "")
		time.Sleep(3 * time.Minute)

		w.request("INVITE", "rel", 1, "", "", "Supported: timer, 100rel")
		w.wantCode(100)
		synctest.Wait()
		c := d.last().Call
		_ = c.Respond(siptest.Response{Code: 183, Reliable: true, Described: true})
		first := w.wantCode(183)
		tag := tagOf(first)
		if value(t, first, "Require") != "100rel" || value(t, first, "RSeq") != "1" || described(first).Direction != "sendrecv" {
			t.Errorf("response %s", first)
		}
		begin := time.Now()
		for _, at := range []time.Duration{500, 1500, 3500, 7500} {
			w.wantCode(183)
			if got := time.Since(begin).Round(100 * time.Millisecond); got != at*time.Millisecond {
				t.Errorf("repeated at %s, want %s", got, at*time.Millisecond)
			}
		}
		if err := c.Respond(siptest.Response{Code: 180, Reliable: true}); !errors.Is(err, siptest.ErrState) {
			t.Errorf("a second one before the PRACK: %v, want ErrState", err)
		}
		w.request("PRACK", "wrong", 2, tag, "", "RAck: 9 1 INVITE")
		w.wantCode(481)
		answer, _, err := siptest.AnswerSDP(first.Body(), soundAddr)
		if err != nil {
			t.Fatal(err)
		}
		w.request("PRACK", "right", 3, tag, string(answer), "RAck: 1 1 INVITE")
		w.wantCode(200)
		_ = c.Respond(siptest.Response{Code: 180, Reliable: true})
		if second := w.wantCode(180); value(t, second, "RSeq") != "2" {
			t.Errorf("response %s", second)
		}
		_ = c.Answer(200)
		if ok := w.wantCode(200); len(ok.Body()) > 0 { // all was said (RFC 3262, 5)
			t.Errorf("response %s", ok)
		}
		w.request("ACK", "rel-ack", 1, tag, "")
		<-c.Up()
		if diff := cmp.Diff([]string{"INVITE", "INVITE", "PRACK"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNoPrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.request("INVITE", "rel", 1, "", offer(), "Require: 100rel")
		w.wantCode(100)
		synctest.Wait()
		_ = d.last().Call.Respond(siptest.Response{Code: 180, Reliable: true})
		time.Sleep(40 * time.Second)
		if diff := cmp.Diff([]string{"INVITE", "no-prack"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTimers is RFC 4028: what is asked and granted, who refreshes and when, and who hangs up.
func TestTimers(t *testing.T) {
	for name, c := range map[string]struct {
		asked   siptest.Timer
		granted string
		want    string // the phone's next request
		at      time.Duration
		timer   string // in it
		seen    []string
	}{
		"refreshes by re-INVITE": {
			siptest.Timer{Expires: 90 * time.Second, Min: 90 * time.Second, Refresher: "uac"},
			"90;refresher=uac",
			"INVITE", 45 * time.Second, "90;refresher=uac",
			[]string{"200"},
		},
		"refreshes by UPDATE": {
			siptest.Timer{Extension: "required", Update: true}, "120 ;refresher=uac", "UPDATE", 60 * time.Second, "120;refresher=uac", []string{"200"},
		},
		"is not refreshed": {
			siptest.Timer{Expires: 90 * time.Second}, "90;refresher=uas", "BYE", 60 * time.Second, "", []string{"200", "expired"},
		},
		"is not refreshed, long": {
			siptest.Timer{Expires: 1800 * time.Second}, "1800;refresher=uas", "BYE", 1768 * time.Second, "", []string{"200", "expired"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				w := newWire(t, n)
				call, d, invite := w.talk(n, siptest.Invite{Timer: c.asked}, "Session-Expires: "+c.granted, "Require: timer")
				how := "Supported"
				if c.asked.Extension == "required" {
					how = "Require"
				}
				if value(t, invite, how) != "timer" || (value(t, invite, "Min-SE") == "90") != (c.asked.Min > 0) ||
					(value(t, invite, "Session-Expires") == "") != (c.asked.Expires == 0) {
					t.Errorf("INVITE %s", invite)
				}
				begin := time.Now()
				time.Sleep(c.at - time.Second)
				req := w.wantRequest(c.want)
				if got := time.Since(begin).Round(100 * time.Millisecond); got != c.at || value(t, req, "Session-Expires") != c.timer {
					t.Errorf("after %s: %s", got, req)
				}
				w.answer(req, 200, "", "")
				if c.want == "INVITE" {
					w.wantRequest("ACK")
				}
				if c.want == "BYE" {
					<-call.Done()
				}
				if diff := cmp.Diff(c.seen, d.words()); diff != "" {
					t.Error(diff)
				}
				time.Sleep(10 * time.Minute) // the answer granted no timer any more
				if got := receive(t, w.conn); len(got) != 0 {
					t.Errorf("then %v", got)
				}
			})
		})
	}
}

// TestRefreshesOfTheGateway: each one is agreed to and begins the time anew (RFC 4028, 9); a phone without a timer says
// nothing of it.
func TestRefreshesOfTheGateway(t *testing.T) {
	for name, c := range map[string]struct {
		granted []string
		want    string
	}{
		"with a timer":    {[]string{"Session-Expires: 90;refresher=uas"}, "100;refresher=uac"},
		"without a timer": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				w := newWire(t, n)
				call, d, _ := w.talk(n, siptest.Invite{}, c.granted...)
				for i := range 3 {
					time.Sleep(50 * time.Second)
					w.within(call, "UPDATE", string(rune('a'+i)), 10+i, "", "Session-Expires: 100;refresher=uac", "Supported: timer")
					if res := w.wantCode(200); value(t, res, "Session-Expires") != c.want || (value(t, res, "Require") == "timer") != (c.want != "") {
						t.Errorf("response %s", res)
					}
				}
				if diff := cmp.Diff([]string{"200", "UPDATE", "UPDATE", "UPDATE"}, d.words()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestARefreshIsRepeatedAfterGlare: by itself, and unseen (RFC 3261, 14.1).
func TestARefreshIsRepeatedAfterGlare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d, _ := w.talk(n, siptest.Invite{Timer: siptest.Timer{Expires: 90 * time.Second}}, "Session-Expires: 90;refresher=uac")
		w.answer(w.wantRequest("INVITE"), 491, "", "")
		w.wantRequest("ACK")
		begin := time.Now()
		w.answer(w.wantRequest("INVITE"), 200, "", offer(), "Session-Expires: 90;refresher=uac")
		w.wantRequest("ACK")
		if got := time.Since(begin).Round(time.Second); got != 3*time.Second {
			t.Errorf("again after %s, want 3s", got)
		}
		if diff := cmp.Diff([]string{"200"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestGrantedByThePhone is a taker's 2xx with a timer: RFC 4028, 9.
func TestGrantedByThePhone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.request("INVITE", "a", 1, "", offer(), "Supported: timer")
		w.wantCode(100)
		synctest.Wait()
		_ = d.last().Call.Respond(siptest.Response{Code: 200, Timer: siptest.Timer{Expires: 90 * time.Second, Refresher: "uas"}})
		ok := w.wantCode(200)
		if value(t, ok, "Session-Expires") != "90;refresher=uas" || value(t, ok, "Require") != "" {
			t.Errorf("response %s", ok)
		}
		w.request("ACK", "a-ack", 1, tagOf(ok), "")
		begin := time.Now()
		refresh := w.wantRequest("INVITE")
		if got := time.Since(begin).Round(time.Second); got != 45*time.Second || value(t, refresh, "Session-Expires") != "90;refresher=uac" {
			t.Errorf("after %s: %s", got, refresh)
		}
		w.answer(refresh, 481, "", "")
		w.wantRequest("ACK")
		if diff := cmp.Diff([]string{"INVITE", "481"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRefer is RFC 3515, and RFC 3891 for the call that is to be replaced.
func TestRefer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, _ := w.talk(n, siptest.Invite{})
		if err := c.Refer("0811", nil); err != nil {
			t.Fatal(err)
		}
		req := w.wantRequest("REFER")
		if value(t, req, "Refer-To") != "<sip:0811@10.0.0.1:5060>" || value(t, req, "Referred-By") != "<sip:anna@10.0.0.1:5060>" ||
			req.To().Params.GetOr("tag", "") != "gw" {
			t.Errorf("REFER %s", req)
		}
		notify := func(branch string, seq int, body, event, state string, code int) {
			w.within(c, "NOTIFY", branch, seq, body, "Event: "+event, "Subscription-State: "+state)
			w.wantCode(code)
		}
		notify("early", 10, "SIP/2.0 100 Trying\r\n", "refer;id=2", "active", 200) // before the 202
		w.answer(req, 202, "", "")
		notify("other", 11, "", "message-summary", "active", 200)
		_ = c.Bye()
		w.answer(w.wantRequest("BYE"), 200, "", "")
		<-c.Done()
		notify("late", 12, "SIP/2.0 486 Busy Here\r\n", "refer", "terminated;reason=noresource", 200)
		notify("later", 13, "SIP/2.0 200 OK\r\n", "refer", "terminated", 481)
		if diff := cmp.Diff([]string{"200", "NOTIFY=100", "202", "NOTIFY=486"}, d.words()); diff != "" {
			t.Error(diff)
		}
		if err := c.Refer("0811", nil); !errors.Is(err, siptest.ErrState) {
			t.Errorf("REFER after the end: %v, want ErrState", err)
		}
	})
}

func TestReferReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, _ := w.talk(n, siptest.Invite{})
		if err := c.Refer("t2", c); err != nil {
			t.Fatal(err)
		}
		req := w.wantRequest("REFER")
		want := "<sip:t2@10.0.0.1:5060?Replaces=" + c.ID + "%3Bto-tag%3Dgw%3Bfrom-tag%3D" + siptest.LocalTag(c) + ">"
		if got := value(t, req, "Refer-To"); got != want {
			t.Errorf("Refer-To %s, want %s", got, want)
		}
		w.answer(req, 403, "", "")
		w.within(c, "NOTIFY", "n", 10, "SIP/2.0 200 OK\r\n", "Event: refer", "Subscription-State: active")
		w.wantCode(200)
		if diff := cmp.Diff([]string{"200", "403"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}
