package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/icholy/digest"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

// A softphone registers by each digest, and then it is known when it did and when it last answered OPTIONS; of one that is
// not there only the account is known.
func TestTakersAreAttested(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	begin := time.Now()
	enroll(t, cfg, "gone")
	enrollWith(t, cfg.Data, account(cfg.SIP.Realm, web.Account{Name: "new", Password: "new-pw", Digest: "SHA-256"}))
	both := account(cfg.SIP.Realm, web.Account{Name: "old", Password: "old-pw"})
	both.HA1["SHA-256"] = strings.Repeat("0", 64) // as earlier versions stored it; not used
	enrollWith(t, cfg.Data, both)
	g := running(t, cfg)
	sha256Phone(t, g.address("UDP"), "new", "new-pw")
	startBaresip(t, g.address("TCP"), "old", "old-pw", "tcp", true, 440)
	g.ready(t, "new", "old")

	takers, err := g.backend().Roster.Takers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[call.TakerID][2]string{"gone": {"MD5", "off"}, "new": {"SHA-256", "ready"}, "old": {"MD5", "ready"}}
	got := map[call.TakerID][2]string{}
	for _, k := range takers {
		got[k.Name] = [2]string{k.Digest, string(k.State)}
		there := k.Registered.After(begin) && !k.Reachable.Before(k.Registered)
		if none := k.Registered.IsZero() && k.Reachable.IsZero(); there == none || none != (k.Name == "gone") {
			t.Errorf("%s registered at %s and answered at %s", k.Name, k.Registered, k.Reachable)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("takers (-want +got):\n%s", diff)
	}
	view, err := g.backend().Desk.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(view.Takers) != 2 || view.Takers[0].Name != "new" || view.Takers[0].Reachable.IsZero() || view.Takers[1].Name != "old" {
		t.Errorf("view: %+v", view.Takers)
	}
}

// sha256Phone is a phone that registers by SHA-256, which few softphones know, and answers OPTIONS.
func sha256Phone(t *testing.T, gateway, user, password string) {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(gatewayIP)}}).DialContext(t.Context(), "udp", gateway)
	if err != nil {
		t.Fatal(err)
	}
	send := func(format string, args ...any) {
		if _, err := conn.Write([]byte(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n"))); err != nil {
			t.Error(err)
		}
	}
	register := func(seq int, authorization string) {
		send(`REGISTER sip:%[1]s SIP/2.0
Via: SIP/2.0/UDP %[2]s;branch=z9hG4bKr%[4]d
From: <sip:%[3]s@%[1]s>;tag=a
To: <sip:%[3]s@%[1]s>
Call-ID: answering
CSeq: %[4]d REGISTER
Contact: <sip:%[3]s@%[2]s>
%[5]sContent-Length: 0

`, gateway, conn.LocalAddr(), user, seq, authorization)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = conn.Close(); wg.Wait() })
	register(1, "")
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			text := strings.ReplaceAll(string(buf[:n]), "\r\n", "\n")
			if _, challenge, ok := strings.Cut(text, "WWW-Authenticate: "); ok {
				register(2, "Authorization: "+proof(t, challenge, user, password)+"\n")
			} else if _, headers, ok := strings.Cut(text, " SIP/2.0\n"); ok {
				send("SIP/2.0 200 OK\n%s", headers)
			}
		}
	})
}

// proof answers the challenge at the beginning of the text, which must name SHA-256.
func proof(t *testing.T, text, user, password string) string {
	t.Helper()
	line, _, _ := strings.Cut(text, "\n")
	challenge, err := digest.ParseChallenge(line)
	if err != nil || challenge.Algorithm != "SHA-256" {
		t.Errorf("challenge %q: %v", line, err)
		return ""
	}
	cred, err := digest.Digest(challenge, digest.Options{Method: "REGISTER", URI: "sip:h", Username: user, Password: password, Count: 1})
	if err != nil {
		t.Error(err)
		return ""
	}
	return cred.String()
}

// enrollWith puts an account into the store of a gateway that does not run.
func enrollWith(t *testing.T, data string, a store.Taker) {
	t.Helper()
	s, err := store.Open(data, store.Options{Alarm: func(string, time.Time, string) {}, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.PutTaker(a), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// Of the password the store has one hash, by the digest that was asked for.
func TestAccountHasOneHash(t *testing.T) {
	for digest, want := range map[string]string{
		"":        "MD5 3d78807defe7de2157e2b0b6573a855f", // RFC 7616, 3.9.1, with its realm in one piece
		"MD5":     "MD5 3d78807defe7de2157e2b0b6573a855f",
		"SHA-256": "SHA-256 7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
	} {
		a := account("http-auth@example.org", web.Account{Name: "Mufasa", Password: "Circle of Life", Digest: digest})
		for algorithm, ha1 := range a.HA1 {
			if got := algorithm + " " + ha1; len(a.HA1) != 1 || got != want {
				t.Errorf("digest %q: %v, want %s", digest, a.HA1, want)
			}
		}
	}
}

// Ages in a list are whole seconds; what never was has none, and a clock that has been set back makes none negative.
func TestAge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, at := range map[string]time.Time{
		"-": {}, "12s ago": now.Add(-12*time.Second - 400*time.Millisecond), "0s ago": now.Add(time.Hour), "1h0m0s ago": now.Add(-time.Hour),
	} {
		if got := age(at, now); got != want {
			t.Errorf("%s: got %q, want %q", at, got, want)
		}
	}
}
