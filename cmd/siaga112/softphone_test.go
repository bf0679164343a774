package main

import (
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// transports are how softphones come, and the listeners that they come to.
var transports = map[string]string{"udp": "UDP", "tcp": "TCP"}

// event waits until the journal of any call, or of a shift, has an entry that is wanted.
func (g *gateway) event(t *testing.T, what string, wanted func(call.Event) bool) {
	t.Helper()
	eventually(t, what+" is in the journal", func() bool {
		all, err := entriesOf(t.Context(), g.store)
		if err != nil {
			t.Fatal(err)
		}
		for _, es := range all {
			for _, e := range es {
				if wanted(e.Event) {
					return true
				}
			}
		}
		return false
	})
}

// role waits until the leg has had the role last.
func (g *gateway) role(t *testing.T, n call.Leg, role call.Role) {
	t.Helper()
	eventually(t, "a role is set", func() bool {
		all, err := entriesOf(t.Context(), g.store)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			return false
		}
		var last call.Event
		for _, e := range all[len(all)-1] {
			if r, ok := e.Event.(call.RoleSet); ok && r.Leg == n {
				last = r
			}
		}
		return last == call.RoleSet{Leg: n, Role: role}
	})
}

// A softphone over UDP and over TCP holds, resumes and hangs up; the caller stays on the line until then.
func TestSoftphoneHolds(t *testing.T) {
	for transport, network := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, t.TempDir(), "queue", "longest-idle")
			enroll(t, cfg, "t1")
			g := running(t, cfg)
			phone := startBaresip(t, g.address(network), "t1", "t1-pw", transport, true, 440)
			g.ready(t, "t1")
			caller := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550002", "-m", "1", "-rtp_echo")
			phone.sees(t, "CALL_ESTABLISHED")
			g.role(t, 0, call.Talking)
			phone.do(t, "hold")
			g.role(t, 0, call.Waiting)
			phone.do(t, "resume")
			g.role(t, 0, call.Talking)
			phone.do(t, "sndcode 7")
			g.event(t, "the key", func(e call.Event) bool { return e == call.Heard{Leg: 1, What: "dtmf:7"} })
			phone.do(t, "hangup")
			caller.wait(t, 20*time.Second)
			g.live(t, 0)
		})
	}
}

// A blind transfer (REFER): the second softphone has the caller, the first is free.
func TestSoftphoneTransfers(t *testing.T) {
	for transport, network := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, t.TempDir(), "queue", "longest-idle")
			enroll(t, cfg, "t1", "t2")
			g := running(t, cfg)
			first := startBaresip(t, g.address(network), "t1", "t1-pw", transport, true, 440)
			g.ready(t, "t1")
			caller := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550002", "-m", "1", "-rtp_echo")
			first.sees(t, "CALL_ESTABLISHED")
			second := startBaresip(t, g.address(network), "t2", "t2-pw", transport, true, 880)
			g.ready(t, "t2")
			first.do(t, "transfer sip:t2@"+g.address(network))
			second.sees(t, "CALL_ESTABLISHED")
			first.sees(t, "CALL_CLOSED")
			g.role(t, 2, call.Talking)
			time.Sleep(time.Second) // they talk
			second.do(t, "hangup")
			caller.wait(t, 20*time.Second)
			g.live(t, 0)
			if share := second.heard(t, 880); share < 0.5 {
				t.Errorf("only %.0f %% of what the second softphone heard was its own tone", 100*share)
			}
			rs := g.records(t)
			if len(rs) != 1 || rs[0].Outcome != call.WasAnswered || rs[0].Taker != "t1" {
				t.Errorf("records: %+v", rs)
			}
		})
	}
}

// A softphone that vanishes in the middle of a call, its machine unplugged, is noticed within 20 s: the caller keeps the place
// and talks to the next one.
func TestSoftphoneVanishes(t *testing.T) {
	t.Parallel()
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	enroll(t, cfg, "t1", "t2")
	g := running(t, cfg)
	first := startBaresip(t, g.address("UDP"), "t1", "t1-pw", "udp", true, 440)
	g.ready(t, "t1")
	caller := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550002", "-m", "1", "-rtp_echo")
	first.sees(t, "CALL_ESTABLISHED")
	second := startBaresip(t, g.address("UDP"), "t2", "t2-pw", "udp", true, 880)
	g.ready(t, "t2")
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second.sees(t, "CALL_ESTABLISHED") // which waits 20 s
	g.event(t, "the loss", func(e call.Event) bool {
		l, ok := e.(call.Left)
		return ok && l.Leg == 1 && l.By == "network"
	})
	second.do(t, "hangup")
	caller.wait(t, 20*time.Second)
	g.live(t, 0)
}

// A softphone rejects: the next one is rung, and the caller keeps the place.
func TestSoftphoneRejects(t *testing.T) {
	for transport, network := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, t.TempDir(), "queue", "longest-idle")
			enroll(t, cfg, "t1", "t2")
			g := running(t, cfg)
			first := startBaresip(t, g.address(network), "t1", "t1-pw", transport, false, 440)
			g.ready(t, "t1")
			caller := sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550002", "-m", "1")
			first.sees(t, "CALL_INCOMING")
			second := startBaresip(t, g.address(network), "t2", "t2-pw", transport, true, 880)
			g.ready(t, "t2")
			first.do(t, "hangup")
			g.event(t, "the rejection", func(e call.Event) bool {
				l, ok := e.(call.Left)
				return ok && l.Leg == 1 && l.By == "taker" && l.Code == 486
			})
			second.sees(t, "CALL_ESTABLISHED")
			second.do(t, "hangup")
			caller.wait(t, 20*time.Second)
			g.live(t, 0)
		})
	}
}

// Feature codes: the last call is classified, the taker pauses and is ready again, each confirmed by a prompt and a BYE.
func TestSoftphoneDialsFeatureCodes(t *testing.T) {
	for transport, network := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, t.TempDir(), "queue", "longest-idle")
			enroll(t, cfg, "t1")
			g := running(t, cfg)
			phone := startBaresip(t, g.address(network), "t1", "t1-pw", transport, true, 440)
			g.ready(t, "t1")
			caller := sipp(t, g.address("UDP"), "hangs_up", "+628115550002", "-m", "1", "-d", "500")
			phone.sees(t, "CALL_CLOSED")
			caller.wait(t, 20*time.Second)
			dial := func(code string) {
				phone.do(t, "dial sip:"+code+"@"+g.address(network))
				phone.sees(t, "CALL_ESTABLISHED")
				phone.sees(t, "CALL_CLOSED")
			}
			dial("*4")
			if rs := g.records(t); len(rs) != 1 || rs[0].Kind != call.Prank || rs[0].KindBy != "t1" {
				t.Errorf("records: %+v", rs)
			}
			dial("*0")
			eventually(t, "the taker is paused", func() bool { return g.state("t1") == call.Paused })
			dial("*00")
			g.ready(t, "t1")
			dial("*9")
			phone.do(t, "dial sip:08115550001@"+g.address(network)) // no toll fraud
			phone.sees(t, "CALL_CLOSED")
			g.act(t, "call-refused")
		})
	}
}

// state is what a call taker is doing.
func (g *gateway) state(taker call.TakerID) call.TakerState {
	for _, k := range g.desk.View().Takers {
		if k.ID == taker {
			return k.State
		}
	}
	return call.Off
}

// act waits until the ledger has an act of that name.
func (g *gateway) act(t *testing.T, what string) {
	t.Helper()
	eventually(t, what+" is in the ledger", func() bool {
		for piece, err := range g.store.Scan(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if r, err := call.ParseRecord(piece.Body); err == nil && r.Act != nil && r.Act.What == what {
				return true
			}
		}
		return false
	})
}

// What operators' switches do that gateways get wrong first: no offer in the INVITE, 100rel, session timers, hold.
func TestCallersOfAllKinds(t *testing.T) {
	for scenario, mode := range map[string]string{
		"without_offer": "queue", "reliable": "early", "refreshes": "queue", "is_refreshed": "queue", "holds": "queue",
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, t.TempDir(), mode, "longest-idle")
			enroll(t, cfg, "t1")
			g := running(t, cfg)
			phone := startBaresip(t, g.address("UDP"), "t1", "t1-pw", "udp", true, 440)
			g.ready(t, "t1")
			caller := sipp(t, g.address("UDP"), scenario, "+628115550002", "-m", "1", "-d", "1500", "-rtp_echo", "-aa")
			phone.sees(t, "CALL_ESTABLISHED")
			caller.wait(t, 90*time.Second)
			g.live(t, 0)
			rs := g.records(t)
			if len(rs) != 1 || rs[0].Outcome != call.WasAnswered {
				t.Errorf("records: %+v", rs)
			}
		})
	}
}
