package siptest_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/sdp/v3"

	"github.com/siaga112/siaga112/sip/siptest"
)

// directed is the wire's description with another direction.
func directed(direction string) string {
	return strings.Replace(offer(), "a=sendrecv", "a="+direction, 1)
}

// TestChanges: what a change says (RFC 3261, 14.1; RFC 3311; RFC 3264, 8), and what follows from its answer.
func TestChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change siptest.Change
		answer string
		want   string // in its description
		silent bool   // the phone does not send then
	}{
		"sendonly":    {siptest.Change{Hold: "sendonly"}, directed("recvonly"), "a=sendonly\r\n", false},
		"inactive":    {siptest.Change{Hold: "inactive"}, directed("inactive"), "a=inactive\r\n", true},
		"zero":        {siptest.Change{Hold: "zero"}, offer(), "c=IN IP4 0.0.0.0\r\n", true},
		"port":        {siptest.Change{Port: true}, offer(), "m=audio 40001 ", false},
		"address":     {siptest.Change{Addr: netip.MustParseAddr("10.0.1.77")}, offer(), "c=IN IP4 10.0.1.77\r\n", false},
		"event":       {siptest.Change{Event: 96}, offer(), "a=rtpmap:96 telephone-event/8000\r\n", false},
		"they hold":   {siptest.Change{}, directed("sendonly"), "a=sendrecv\r\n", true},
		"by UPDATE":   {siptest.Change{Update: true, Hold: "inactive"}, directed("inactive"), "a=inactive\r\n", true},
		"their codec": {siptest.Change{}, strings.Replace(offer(), "AVP 8 0 101", "AVP 0 8 101", 1), "a=sendrecv\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				w := newWire(t, n)
				rtp := listen(t, n, soundAddr.String())
				call, d, invite := w.talk(n, siptest.Invite{})
				if err := call.Modify(c.change); err != nil {
					t.Fatal(err)
				}
				if err := call.Modify(c.change); !errors.Is(err, siptest.ErrState) {
					t.Errorf("a second change at once: %v, want ErrState", err)
				}
				req, ok := w.next().(*sip.Request)
				if !ok || (req.Method == sip.UPDATE) != c.change.Update || req.Contact() == nil || req.CSeq().SeqNo != 2 {
					t.Fatalf("got %s", req)
				}
				if !strings.Contains(string(req.Body()), c.want) {
					t.Errorf("want %q in %s", c.want, req.Body())
				}
				wantVersion(t, invite.Body(), req.Body())
				w.answer(req, 200, "", c.answer)
				if req.Method == sip.INVITE {
					if ack := w.wantRequest("ACK"); ack.CSeq().SeqNo != 2 || len(ack.Body()) > 0 {
						t.Errorf("ACK %s", ack)
					}
				}
				time.Sleep(10 * time.Millisecond)
				call.Say(20 * time.Millisecond)
				if got := len(receive(t, rtp)); (got == 0) != c.silent {
					t.Errorf("%d packets, want none: %t", got, c.silent)
				}
				if diff := cmp.Diff([]string{"200", "200"}, d.words()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// wantVersion: the version in o= goes up with each difference, by one (RFC 3264, 8); another reader understands both.
func wantVersion(t *testing.T, first, second []byte) {
	t.Helper()
	var a, b pion.SessionDescription
	if err := errors.Join(a.Unmarshal(first), b.Unmarshal(second)); err != nil {
		t.Fatal(err)
	}
	differs := uint64(0)
	if string(first) != string(second) {
		differs = 1
	}
	if a.Origin.SessionID != b.Origin.SessionID || b.Origin.SessionVersion != a.Origin.SessionVersion+differs {
		t.Errorf("origin %v after %v", b.Origin, a.Origin)
	}
}

// TestARefusedChangeIsNone: the description is as before (RFC 3261, 14.1), its version is not used twice.
func TestARefusedChangeIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		rtp := listen(t, n, soundAddr.String())
		c, d, invite := w.talk(n, siptest.Invite{})
		_ = c.Modify(siptest.Change{Hold: "inactive", Port: true, Event: 96})
		refused := w.wantRequest("INVITE")
		w.answer(refused, 491, "", "")
		ack := w.wantRequest("ACK")
		if ack.Via().Params.GetOr("branch", "") != refused.Via().Params.GetOr("branch", "") || ack.To().Params.GetOr("tag", "") != "gw" {
			t.Errorf("ACK %s", ack)
		}
		c.Say(20 * time.Millisecond)
		if got := len(receive(t, rtp)); got != 1 {
			t.Errorf("%d packets after the refusal, want 1", got)
		}
		_ = c.Modify(siptest.Change{})
		again := w.wantRequest("INVITE")
		var a, b pion.SessionDescription
		if err := errors.Join(a.Unmarshal(refused.Body()), b.Unmarshal(again.Body())); err != nil {
			t.Fatal(err)
		}
		if described(again) != described(invite) || b.Origin.SessionVersion <= a.Origin.SessionVersion {
			t.Errorf("after the refusal: %s", again.Body())
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"200", "491", "no-answer"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestReinviteWithoutOffer: the 2xx makes the offer, its ACK answers, each time (RFC 3261, 14.1 and 13.2.2.4).
func TestReinviteWithoutOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, _ := w.talk(n, siptest.Invite{})
		_ = c.Modify(siptest.Change{NoOffer: true})
		req := w.wantRequest("INVITE")
		if len(req.Body()) > 0 {
			t.Errorf("an offer: %s", req.Body())
		}
		for range 2 {
			w.answer(req, 200, "", directed("sendonly"), "Contact: <sip:moved@10.0.0.1:5060>")
			ack := w.wantRequest("ACK")
			if described(ack).Direction != "recvonly" || ack.Recipient.User != "moved" { // target refresh: RFC 3261, 12.2.1.2
				t.Errorf("ACK %s", ack)
			}
		}
		if diff := cmp.Diff([]string{"200", "200"}, d.words()); diff != "" {
			t.Error(diff)
		}
		if e := d.last(); e.Media.Direction != "sendonly" {
			t.Errorf("seen %+v", e)
		}
	})
}

// TestChangesOfTheGateway: what a phone says to re-INVITE (RFC 3261, 14.2) and UPDATE (RFC 3311, 5.2).
func TestChangesOfTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		rtp := listen(t, n, soundAddr.String())
		c, d, _ := w.talk(n, siptest.Invite{})
		w.within(c, "INVITE", "hold", 10, directed("sendonly"))
		w.wantCode(100)
		if got := described(w.wantCode(200)).Direction; got != "recvonly" {
			t.Errorf("answer %s to sendonly", got)
		}
		w.within(c, "ACK", "hold-ack", 10, "")
		c.Say(20 * time.Millisecond)
		if got := receive(t, rtp); len(got) != 0 {
			t.Errorf("%d packets on hold", len(got))
		}
		w.within(c, "UPDATE", "resume", 11, offer())
		w.wantCode(200)
		w.within(c, "UPDATE", "refresh", 12, "")
		if res := w.wantCode(200); len(res.Body()) > 0 {
			t.Errorf("a description in %s", res)
		}
		w.within(c, "INVITE", "bad", 13, "v=0")
		w.wantCode(100)
		w.wantCode(488)
		w.within(c, "ACK", "bad", 13, "")
		w.within(c, "INVITE", "empty", 14, "")
		w.wantCode(100)
		answer, _, err := siptest.AnswerSDP(w.wantCode(200).Body(), soundAddr)
		if err != nil {
			t.Fatal(err)
		}
		w.within(c, "ACK", "empty-ack", 14, string(answer))
		c.Say(20 * time.Millisecond)
		if got := receive(t, rtp); len(got) != 1 {
			t.Errorf("%d packets, want 1", len(got))
		}
		c.Prepare("INVITE", 491)
		w.within(c, "INVITE", "prepared", 15, offer())
		w.wantCode(491)
		w.within(c, "ACK", "prepared", 15, "")
		want := []string{"200", "reINVITE", "UPDATE", "UPDATE", "reINVITE", "reINVITE", "reINVITE"}
		if diff := cmp.Diff(want, d.words()); diff != "" {
			t.Error(diff)
		}
		if got := receive(t, w.conn); len(got) != 0 {
			t.Errorf("repeated: %v", got)
		}
	})
}

// TestGlare: a change that crosses ours is 491 (RFC 3261, 14.2; RFC 3311, 5.2); one without a description is not.
func TestGlare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, _ := w.talk(n, siptest.Invite{})
		_ = c.Hold()
		ours := w.wantRequest("INVITE")
		w.within(c, "INVITE", "a", 10, offer())
		w.wantCode(100)
		w.wantCode(491)
		w.within(c, "ACK", "a", 10, "")
		w.within(c, "UPDATE", "b", 11, offer())
		w.wantCode(491)
		w.within(c, "UPDATE", "c", 12, "")
		w.wantCode(200)
		w.answer(ours, 200, "", directed("recvonly"))
		w.wantRequest("ACK")
		w.within(c, "INVITE", "d", 13, offer())
		w.wantCode(100)
		if got := described(w.wantCode(200)).Direction; got != "sendonly" {
			t.Errorf("a phone that holds answers %s", got)
		}
		if diff := cmp.Diff([]string{"200", "reINVITE", "UPDATE", "UPDATE", "200", "reINVITE"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAnotherContact: the phone lives at the Contact of its last change (RFC 3261, 12.2), and nowhere else.
func TestAnotherContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, _ := w.talk(n, siptest.Invite{})
		_ = c.Modify(siptest.Change{Contact: true})
		req := w.wantRequest("INVITE")
		port := req.Contact().Address.Port
		if port == 5060 || req.Via().Port != port {
			t.Errorf("moved to %d, Via %d", port, req.Via().Port)
		}
		w.phone = netip.AddrPortFrom(w.phone.Addr(), uint16(port))
		w.answer(req, 200, "", offer())
		w.wantRequest("ACK")
		w.phone = netip.AddrPortFrom(w.phone.Addr(), 5060)
		w.within(c, "BYE", "old", 10, "")
		if got := receive(t, w.conn); len(got) != 0 {
			t.Errorf("an answer at the old contact: %v", got)
		}
		w.phone = netip.AddrPortFrom(w.phone.Addr(), uint16(port))
		w.within(c, "BYE", "new", 11, "")
		w.wantCode(200)
		if diff := cmp.Diff([]string{"200", "200", "BYE"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestChangesBeforeTheAnswer are too early: 500 with Retry-After (RFC 3261, 14.2; RFC 3311, 5.2).
func TestChangesBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
		w.request("INVITE", "a", 1, "", offer())
		w.wantCode(100)
		synctest.Wait()
		c := d.last().Call
		_ = c.Answer(180)
		tag := tagOf(w.wantCode(180))
		w.request("INVITE", "b", 2, tag, offer())
		if res := w.wantCode(500); value(t, res, "Retry-After") == "" {
			t.Errorf("response %s", res)
		}
		w.request("ACK", "b", 2, tag, "")
		w.request("UPDATE", "c", 3, tag, offer())
		if res := w.wantCode(500); value(t, res, "Retry-After") == "" {
			t.Errorf("response %s", res)
		}
		if err := c.Modify(siptest.Change{}); !errors.Is(err, siptest.ErrState) {
			t.Errorf("re-INVITE before the answer: %v, want ErrState", err)
		}
		_ = c.Modify(siptest.Change{Update: true, NoOffer: true})
		w.answer(w.wantRequest("UPDATE"), 200, "", "")
		synctest.Wait()
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"INVITE", "reINVITE", "UPDATE", "200"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}
