package siptest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/siptest"
)

func takers(n int, addr func(i int) netip.Addr) []siptest.Taker {
	var all []siptest.Taker
	for i := range n {
		all = append(all, siptest.Taker{ID: call.TakerID(fmt.Sprintf("t%d", i)), Password: "pw", Addr: addr(i)})
	}
	return all
}

func inBubble(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 1)}) }

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		all := takers(4, inBubble)
		f := startFake(t, n, all...)
		begin := time.Now()
		sum, err := siptest.Traffic{
			Net: n.Net(), Gateway: gatewayAddr,
			Callers: netip.MustParseAddr("10.0.2.1"), Takers: all, Calls: 30, PrankShare: 0.4, Seed: 7,
		}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v in %s", sum, time.Since(begin))
		if took := time.Since(begin); took > 25*time.Second {
			t.Errorf("30 calls took %s", took)
		}
		if sum.Attempted != 30 || sum.Answered+sum.Abandoned != 30 || sum.Abandoned == 0 || sum.Redialed == 0 || sum.Lost != 0 {
			t.Errorf("%+v", sum)
		}
		if sum.HeardBack == 0 || sum.HeardBack >= sum.Answered {
			t.Errorf("%d heard back of %d answered", sum.HeardBack, sum.Answered)
		}
		counts, err := f.Check(t.Context())
		if err != nil || counts.Arrived != 30 || counts.Live != 0 {
			t.Errorf("the gateway counts %+v, %v", counts, err)
		}
		if open := n.Host(netip.MustParseAddr("10.0.2.1")).Open(); open != 0 {
			t.Errorf("%d sockets are left", open)
		}
	})
}

func TestTrafficEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		all := takers(2, inBubble)
		f := startFake(t, n, all...)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		sum, err := siptest.Traffic{
			Net: n.Net(), Gateway: gatewayAddr,
			Callers: netip.MustParseAddr("10.0.2.1"), Takers: all, Seed: 1, Rate: 3,
		}.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("ended %s after the context", took-10*time.Second)
		}
		if sum.Attempted < 15 || sum.Answered+sum.Abandoned+sum.Lost != sum.Attempted {
			t.Errorf("%+v", sum)
		}
		if counts, _ := f.Check(t.Context()); counts.Arrived != sum.Attempted || counts.Live != 0 {
			t.Errorf("the gateway counts %+v", counts)
		}
	})
}

func TestTrafficIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		startFake(t, n)
		traffic := siptest.Traffic{
			Net: n.Net(), Gateway: gatewayAddr, Called: "911",
			Callers: netip.MustParseAddr("10.0.2.1"), Calls: 3,
		}
		sum, err := traffic.Run(t.Context())
		if diff := cmp.Diff(siptest.Summary{Attempted: 3, Refused: map[int]int{404: 3}}, sum); diff != "" || err != nil {
			t.Error(diff, err)
		}
		traffic.Takers = takers(1, inBubble) // nobody's account
		var refused *siptest.Refused
		if _, err := traffic.Run(t.Context()); !errors.As(err, &refused) || refused.Code != 403 {
			t.Errorf("Run with an unknown taker: %v, want 403", err)
		}
	})
}

// TestTrafficWithoutAGateway: who calls in vain comes to an end.
func TestTrafficWithoutAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		sum, err := siptest.Traffic{
			Net: n.Net(), Gateway: gatewayAddr,
			Callers: netip.MustParseAddr("10.0.2.1"), Calls: 3, Seed: 3,
		}.Run(t.Context())
		if diff := cmp.Diff(siptest.Summary{Attempted: 3, Lost: 3, Refused: map[int]int{}}, sum); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
}

// TestTrafficOverRealSockets is a short one on loopback.
func TestTrafficOverRealSockets(t *testing.T) {
	lo := netip.MustParseAddr("127.0.0.1")
	all := takers(2, func(int) netip.Addr { return lo })
	probe, err := media.System().ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	addr := netip.MustParseAddrPort(probe.LocalAddr().String())
	_ = probe.Close()
	f, err := newFake(media.System(), addr, all)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Kill()
	sum, err := siptest.Traffic{
		Gateway: addr, Callers: netip.MustParseAddr("127.0.0.2"), Takers: all, Calls: 4, Rate: 20, Seed: 5,
		Talk: 300 * time.Millisecond, Answer: 100 * time.Millisecond,
	}.Run(t.Context())
	if err != nil || sum.Attempted != 4 || sum.Answered+sum.Abandoned != 4 || sum.Answered == 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestPlanIsTheSameForTheSameSeed(t *testing.T) {
	traffic := siptest.Traffic{Calls: 200, Seed: 7, PrankShare: 0.5}
	plan := siptest.Plan(traffic)
	if diff := cmp.Diff(plan, siptest.Plan(traffic)); diff != "" {
		t.Error(diff)
	}
	traffic.Seed = 8
	if slices.Equal(plan, siptest.Plan(traffic)) {
		t.Error("another seed plans the same")
	}
	pranks, redials, last := 0, 0, time.Duration(0)
	for _, a := range plan {
		if a.At < last {
			t.Fatalf("%s after %s", a.At, last)
		}
		last = a.At
		if a.Profile == siptest.Prankster {
			pranks++
		}
		if a.Redial {
			redials++
		}
	}
	if len(plan) != 200 || pranks < 70 || pranks > 130 || redials < 8 {
		t.Errorf("%d attempts, %d by pranksters, %d redials", len(plan), pranks, redials)
	}
	if last < 70*time.Second || last > 130*time.Second { // 2 a second
		t.Errorf("the last one is at %s", last)
	}
}
