package media_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip/media"
)

// spoken is a packet from an address, and where the stream sends afterwards.
type spoken struct {
	after time.Duration // since the step before
	from  string
	taken bool
	to    string
}

// TestSource names the SDP's address 10.0.0.1:4000 at the start.
func TestSource(t *testing.T) {
	const (
		named, port, moved = "10.0.0.1:4000", "10.0.0.1:4002", "10.0.0.1:4004"
		nat, nat2, thief   = "203.0.113.9:61000", "203.0.113.9:62000", "198.51.100.66:666"
		ms                 = time.Millisecond
	)
	for _, tc := range []struct {
		name  string
		steps []spoken
	}{
		{"nobody has spoken", []spoken{{0, "", false, named}}},
		{"the named source", []spoken{{0, named, true, named}, {20 * ms, named, true, named}}},
		{"a stranger at once", []spoken{{0, thief, false, named}, {1900 * ms, thief, false, named}}},
		{"a stranger beside the named source", []spoken{
			{0, named, true, named}, {3 * time.Second, thief, false, named}, {time.Hour, thief, false, named},
		}},
		{"another port of the named address", []spoken{{0, port, true, port}, {20 * ms, port, true, port}}},
		{"the named port takes over from another", []spoken{
			{0, port, true, port}, {20 * ms, named, true, named}, {20 * ms, port, false, named},
		}},
		{"a neighbor waits until the other has been silent", []spoken{
			{0, port, true, port},
			{1900 * ms, moved, false, port},
			{200 * ms, moved, true, moved},
			{20 * ms, port, false, moved},
			{20 * ms, named, true, named},
			{3 * time.Second, port, true, port},
		}},
		{"behind a NAT", []spoken{
			{500 * ms, nat, false, named},
			{1500 * ms, nat, true, nat},
			{20 * ms, nat, true, nat},
			{20 * ms, thief, false, nat},
			{time.Hour, thief, false, nat},
			{0, nat, true, nat},
		}},
		{"the named address takes over from a stranger", []spoken{
			{3 * time.Second, thief, true, thief},
			{20 * ms, named, true, named},
			{20 * ms, thief, false, named},
			{time.Hour, thief, false, named},
		}},
		{"its neighbor takes over from a stranger", []spoken{{3 * time.Second, thief, true, thief}, {20 * ms, port, true, port}}},
		{"the NAT's other port is a neighbor of nobody", []spoken{{3 * time.Second, nat, true, nat}, {20 * ms, nat2, false, nat}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, fast := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					n := newNeighborhood(t, fast)
					n.s.Set(pcma, netip.MustParseAddrPort(named))
					n.follow(tc.steps)
				})
			}
		})
	}
}

func TestSourceAfterSet(t *testing.T) {
	const (
		named, changed, elsewhere = "10.0.0.1:4000", "10.0.0.1:4002", "10.0.0.2:4000"
		nat, nat2, thief          = "203.0.113.9:61000", "203.0.113.9:62000", "198.51.100.66:666"
	)
	set := func(n *neighborhood, addr string) { n.s.Set(pcma, netip.MustParseAddrPort(addr)) }
	synctest.Test(t, func(t *testing.T) {
		n := newNeighborhood(t, true)
		set(n, named)
		n.follow([]spoken{{2 * time.Second, nat, true, nat}})
		set(n, named) // says nothing new
		n.follow([]spoken{{0, nat, true, nat}})
		set(n, "0.0.0.0:4000") // a hold and its end
		set(n, named)
		n.follow([]spoken{{0, nat, true, nat}})
		set(n, changed) // another port of a peer behind the same NAT: known by its address
		n.follow([]spoken{{0, "", false, changed}, {0, thief, false, changed}, {0, nat2, true, nat2}, {0, changed, true, changed}})
		set(n, elsewhere) // another machine
		n.follow([]spoken{{0, changed, false, elsewhere}, {0, nat2, false, elsewhere}, {0, elsewhere, true, elsewhere}})
		set(n, "[::ffff:10.0.0.1]:4000") // an IPv4 address in other dress
		n.follow([]spoken{{0, named, true, named}})
	})
}

// neighborhood is a stream that hears itself, among sources everywhere.
type neighborhood struct {
	t     *testing.T
	m     *memory
	s     *media.Stream
	peers map[string]*peer
}

func newNeighborhood(t *testing.T, fast bool) *neighborhood {
	t.Helper()
	m := newMemory(fast)
	ports := newPorts(m)
	s, err := ports.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Hear(s)
	return &neighborhood{t: t, m: m, s: s, peers: make(map[string]*peer)}
}

func (n *neighborhood) at(addr string) *peer {
	if n.peers[addr] == nil {
		n.peers[addr] = n.m.peer(n.t, addr, n.s)
		n.peers[addr].PayloadType = uint8(media.PCMA)
	}
	return n.peers[addr]
}

func (n *neighborhood) follow(steps []spoken) {
	n.t.Helper()
	for i, step := range steps {
		time.Sleep(step.after)
		before, _ := n.s.Received()
		if step.from != "" {
			n.at(step.from).say(n.t, tone(1)...)
			synctest.Wait()
		}
		if after, _ := n.s.Received(); after-before == 1 != step.taken {
			n.t.Errorf("step %d: %d packets taken from %s", i, after-before, step.from)
		}
		n.drain()
		n.at(step.to)
		n.s.Play(media.Announcement(), nil) // one frame, to see where it goes
		synctest.Wait()
		n.s.Play(nil, nil)
		if diff := cmp.Diff([]string{step.to}, n.drain()); diff != "" {
			n.t.Errorf("step %d: it sends to -want +got\n%s", i, diff)
		}
	}
}

// drain is where packets have arrived.
func (n *neighborhood) drain() []string {
	var at []string
	for addr, p := range n.peers {
		if len(p.got(n.t)) > 0 {
			at = append(at, addr)
		}
	}
	return at
}
