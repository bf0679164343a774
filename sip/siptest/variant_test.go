package siptest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip/siptest"
)

// TestChallenge: a challenge is answered once, with the strongest algorithm (RFC 8760, 2.4), in the same call with the
// next number (RFC 3261, 22.2).
func TestChallenge(t *testing.T) {
	for code, names := range map[int][2]string{
		401: {"WWW-Authenticate", "Authorization"}, 407: {"Proxy-Authenticate", "Proxy-Authorization"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := siptest.NewNetwork()
			w := newWire(t, n)
			c, d, first := w.call(n, siptest.Invite{})
			ask := []string{
				names[0] + `: Digest realm="r", nonce="a", algorithm=MD5`,
				names[0] + `: Digest realm="r", nonce="b", algorithm=SHA-256, qop="auth"`,
				names[0] + `: Digest realm="r", nonce="c", algorithm=SHA-1`,
			}
			w.answer(first, code, "x", "", ask...)
			w.wantRequest("ACK")
			second := w.wantRequest("INVITE")
			got := value(t, second, names[1])
			if !strings.Contains(got, `nonce="b"`) || !strings.Contains(got, "nc=00000001") || second.CSeq().SeqNo != 2 ||
				second.CallID().Value() != first.CallID().Value() || second.To().Params.Has("tag") {
				t.Errorf("INVITE %s", second)
			}
			w.answer(first, code, "x", "", ask...) // repeated: acknowledged again, and no third INVITE
			w.wantRequest("ACK")
			w.answer(second, code, "y", "", ask...)
			w.wantRequest("ACK")
			<-c.Done()
			if e := d.last(); len(d.words()) != 1 || e.Code != code {
				t.Errorf("saw %v", d.words())
			}
		})
	}
}

// TestACanceledCallIsNotAuthenticated: nobody wants it any more.
func TestACanceledCallIsNotAuthenticated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, invite := w.call(n, siptest.Invite{})
		w.answer(invite, 100, "", "")
		_ = c.Cancel("SIP;cause=487")
		cancel := w.wantRequest("CANCEL")
		if value(t, cancel, "Reason") != "SIP;cause=487" {
			t.Errorf("CANCEL %s", cancel)
		}
		w.answer(cancel, 200, "x", "")
		w.answer(invite, 401, "x", "", `WWW-Authenticate: Digest realm="r", nonce="a"`)
		w.wantRequest("ACK")
		<-c.Done()
		if diff := cmp.Diff([]string{"401"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestNoOfferAtAll: there is nothing to answer in the ACK.
func TestNoOfferAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		_, _, invite := w.call(n, siptest.Invite{NoOffer: true})
		w.answer(invite, 200, "gw", "")
		if ack := w.wantRequest("ACK"); len(ack.Body()) > 0 {
			t.Errorf("ACK %s", ack)
		}
	})
}

// TestOfferInTheAnswer: the ACK answers the offer of the 2xx, whenever that comes (RFC 3261, 13.2.1 and 13.2.2.4).
func TestOfferInTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, _, invite := w.call(n, siptest.Invite{NoOffer: true})
		w.answer(invite, 183, "gw", offer()) // not reliable: no offer yet
		for range 2 {
			w.answer(invite, 200, "gw", directed("sendonly"))
			if ack := w.wantRequest("ACK"); described(ack).Direction != "recvonly" {
				t.Errorf("ACK %s", ack)
			}
		}
		<-c.Up()
	})
}

// TestOldPeer has neither cookie nor tag (RFC 3261, 8.1.1.7 and 12.1.1), and is answered all the same.
func TestOldPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		w := newWire(t, n)
		c, d, invite := w.talk(n, siptest.Invite{Old: true})
		if b := invite.Via().Params.GetOr("branch", "z9hG4bK"); strings.HasPrefix(b, "z9hG4bK") || invite.From().Params.Has("tag") {
			t.Errorf("INVITE %s", invite)
		}
		w.send("", "OPTIONS sip:anna@10.0.1.1:5060 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKo",
			"From: <sip:112@10.0.0.1>;tag=gw", "To: <sip:anna@10.0.0.1>", "Call-ID: "+c.ID, "CSeq: 9 OPTIONS")
		if res := w.wantCode(200); res.To().Params.Has("tag") {
			t.Errorf("response %s", res)
		}
		_ = c.Bye("Q.850;cause=16", `SIP;cause=200;text="a"`)
		bye := w.wantRequest("BYE")
		if bye.From().Params.Has("tag") || len(bye.GetHeaders("Reason")) != 2 {
			t.Errorf("BYE %s", bye)
		}
		if diff := cmp.Diff([]string{"200"}, d.words()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestForms is RFC 3261, 7.3.1 and 7.3.3.
func TestForms(t *testing.T) {
	for form, want := range map[siptest.Form][]string{
		siptest.Compact: {"\r\nv: SIP/2.0/UDP ", "\r\nf: ", "\r\nt: ", "\r\ni: ", "\r\nm: ", "\r\nc: application/sdp", "\r\nx: 90", "\r\nk: timer"},
		siptest.Folded:  {"\r\nVia:\r\n\tSIP/2.0/UDP ", "\r\nFrom:\r\n\t", "\r\nCSeq:\r\n\t1 INVITE"},
	} {
		t.Run(string(form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				w := newWire(t, n)
				p, _ := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna"})
				if _, err := p.Invite(siptest.Invite{Number: "112", Form: form, Timer: siptest.Timer{Expires: 90 * time.Second}}); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 4096)
				size, _, err := w.conn.ReadFrom(buf)
				if err != nil {
					t.Fatal(err)
				}
				head, body, _ := strings.Cut(string(buf[:size]), "\r\n\r\n")
				for _, s := range want {
					if !strings.Contains(head, s) {
						t.Errorf("no %q in %s", s, head)
					}
				}
				if siptest.ReadSDP([]byte(body)).Direction != "sendrecv" {
					t.Errorf("body %s", body)
				}
			})
		})
	}
}

// TestSeveralContacts is RFC 3261, 10.2.1: a call may come to each.
func TestSeveralContacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		f := startFake(t, n, anna)
		p, d := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna", Password: "pw"})
		if err := p.Bind(t.Context(), 5*time.Second, 0); err == nil {
			t.Error("5 s were granted")
		}
		if err := p.Bind(t.Context(), 0, 3); err != nil {
			t.Fatal(err)
		}
		if got := f.contacts(); got != 3 {
			t.Errorf("%d contacts, want 3", got)
		}
		q, _ := openPhone(t, n, "10.0.2.1", siptest.Options{})
		for range 2 {
			invite(t, q)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff([]string{"INVITE", "INVITE"}, d.words()); diff != "" {
			t.Error(diff)
		}
		if err := p.Unregister(t.Context()); err != nil {
			t.Error(err)
		}
		if got := f.contacts(); got != 0 {
			t.Errorf("%d contacts, want none", got)
		}
		p.Close()
		if got := n.Host(p.Addr().Addr()).Open(); got != 0 {
			t.Errorf("%d sockets are left", got)
		}
	})
}
