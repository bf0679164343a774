package main

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// A caller whose phone says back what it hears: the softphone hears its own tone through both legs, and hang-up works
// from either side.
func TestSoftphoneTalksWithTrunk(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	enroll(t, cfg, "t1")
	g := running(t, cfg)
	phone := startBaresip(t, g.address("UDP"), "t1", "t1-pw", "udp", true, 440)
	g.ready(t, "t1")

	t.Run("the caller hangs up", func(t *testing.T) {
		g.echoed(t, phone, g.address("UDP"))
	})
	t.Run("the taker hangs up", func(t *testing.T) {
		g.ready(t, "t1")
		caller := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550002", "-m", "1", "-rtp_echo")
		phone.sees(t, "CALL_ESTABLISHED")
		time.Sleep(1500 * time.Millisecond) // they talk
		phone.do(t, "sndcode 5")
		eventually(t, "the key is in the journal", func() bool { return g.heardKey(t, "dtmf:5") })
		phone.do(t, "hangup")
		caller.wait(t, 20*time.Second)
		g.live(t, 0)
	})
	rs := g.records(t)
	if len(rs) != 2 {
		t.Fatalf("%d records, want 2", len(rs))
	}
	for _, r := range rs {
		if r.Outcome != call.WasAnswered || r.Taker != "t1" || r.Dept != "PMI" || r.Caller.Trust != call.Asserted || r.Talk < time.Second {
			t.Errorf("record: %+v", r)
		}
	}
}

// The same over TCP: the INVITE goes back over the connection that the softphone opened.
func TestSoftphoneOverTCP(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	enroll(t, cfg, "t1")
	g := running(t, cfg)
	phone := startBaresip(t, g.address("TCP"), "t1", "t1-pw", "tcp", true, 440)
	g.ready(t, "t1")
	g.echoed(t, phone, g.address("TCP"), "-t", "t1")
}

// echoed makes a call whose caller says back what it hears, and hangs up after a while: most of what the softphone heard is
// then its own tone.
func (g *gateway) echoed(t *testing.T, phone *baresip, address string, more ...string) {
	t.Helper()
	caller := sipp(t, address, "hangs_up", "+628115550001", append(more, "-m", "1", "-d", "2000", "-rtp_echo")...)
	phone.sees(t, "CALL_ESTABLISHED")
	phone.sees(t, "CALL_CLOSED")
	caller.wait(t, 20*time.Second)
	g.live(t, 0)
	if share := phone.heard(t, 440); share < 0.7 {
		t.Errorf("only %.0f %% of what the softphone heard was its own tone", 100*share)
	}
}

// In mode taker a caller hears ringing, and may give up: nobody answered, so it is no answer.
func TestCallerGivesUp(t *testing.T) {
	cfg := settings(t, t.TempDir(), "taker", "longest-idle")
	g := running(t, cfg)
	sipp(t, g.address("UDP"), "gives_up", "+628115550003", "-m", "1", "-d", "700").wait(t, 20*time.Second)
	g.live(t, 0)
	rs := g.records(t)
	if len(rs) != 1 || rs[0].Outcome != call.WasAbandoned || rs[0].Code != 487 {
		t.Errorf("records: %+v", rs)
	}
}

// In mode taker the caller gives up while the softphone rings: it gets a CANCEL and is free for the next call.
func TestCallerGivesUpWhileItRings(t *testing.T) {
	cfg := settings(t, t.TempDir(), "taker", "longest-idle")
	enroll(t, cfg, "t1")
	g := running(t, cfg)
	phone := startBaresip(t, g.address("UDP"), "t1", "t1-pw", "udp", false, 440)
	g.ready(t, "t1")
	caller := sipp(t, g.address("UDP"), "gives_up", "+628115550003", "-m", "1", "-d", "1000")
	phone.sees(t, "CALL_INCOMING")
	phone.sees(t, "CALL_CLOSED")
	caller.wait(t, 20*time.Second)
	g.live(t, 0)
	g.ready(t, "t1")
	next := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550004", "-m", "1")
	phone.sees(t, "CALL_INCOMING")
	phone.do(t, "accept")
	phone.sees(t, "CALL_ESTABLISHED")
	phone.do(t, "hangup")
	next.wait(t, 20*time.Second)
}

// Twenty callers in line and one who talks are all told goodbye when the gateway stops, within its five seconds.
func TestStopSaysGoodbye(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	enroll(t, cfg, "t1")
	g := running(t, cfg)
	phone := startBaresip(t, g.address("UDP"), "t1", "t1-pw", "udp", true, 440)
	g.ready(t, "t1")
	callers := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550005", "-m", "21", "-r", "50")
	phone.sees(t, "CALL_ESTABLISHED")
	g.live(t, 21)
	begin := time.Now()
	if err := g.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %s", time.Since(begin))
	callers.wait(t, 20*time.Second)
	phone.sees(t, "CALL_CLOSED")
	if r := balanced(t, cfg); r.Arrived != 21 {
		t.Errorf("%d arrived, want 21", r.Arrived)
	}
}

// A gateway that listens on all addresses names the advertised one: Via, Contact and SDP lead back to it.
func TestListensEverywhere(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	all := netip.MustParseAddrPort("0.0.0.0:0")
	cfg.SIP.Listen = []config.Listen{{Network: "udp", Addr: all}, {Network: "tcp", Addr: all}}
	cfg.SIP.Advertise = netip.MustParseAddr(gatewayIP)
	enroll(t, cfg, "t1")
	g := running(t, cfg)
	at := func(network string) string {
		return netip.AddrPortFrom(cfg.SIP.Advertise, g.line.Addr(network).Port()).String()
	}
	phone := startBaresip(t, at("TCP"), "t1", "t1-pw", "tcp", true, 440)
	g.ready(t, "t1")
	g.echoed(t, phone, at("UDP"))
}
