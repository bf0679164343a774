package media_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/siaga112/siaga112/sip/media"
)

func open(t *testing.T, p *media.Ports) *media.Stream {
	t.Helper()
	s, err := p.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestPortRanges(t *testing.T) {
	for _, tc := range []struct {
		first, last uint16
		want        []uint16
	}{
		{20000, 20005, []uint16{20000, 20002, 20004}},
		{20000, 20004, []uint16{20000, 20002}},
		{20001, 20005, []uint16{20002, 20004}},
		{20000, 20001, []uint16{20000}},
		{20000, 20000, nil},
		{20001, 20002, nil},
		{30000, 20000, nil},
		{0, 3, []uint16{2}},
		{65532, 65535, []uint16{65532, 65534}},
		{65535, 65535, nil},
	} {
		t.Run(fmt.Sprintf("%d-%d", tc.first, tc.last), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(true)
				p := media.NewPorts(m.Net(), gateway, tc.first, tc.last)
				var got []uint16
				for {
					s, err := p.Open(nil)
					if err != nil {
						if !errors.Is(err, media.ErrNoPort) || s != nil {
							t.Errorf("%v, %v", s, err)
						}
						break
					}
					defer s.Close()
					got = append(got, s.Port())
				}
				if diff := cmp.Diff(tc.want, got); diff != "" || p.InUse() != len(tc.want) || len(m.conns) != 2*len(tc.want) {
					t.Errorf("%d in use, %d sockets; -want +got\n%s", p.InUse(), len(m.conns), diff)
				}
			})
		})
	}
}

func TestPortsRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		p := media.NewPorts(m.Net(), gateway, 20000, 20007)
		var got []uint16
		for range 6 {
			s := open(t, p)
			got = append(got, s.Port())
			s.Close()
			s.Close()
		}
		kept := open(t, p) // 20004
		for range 4 {
			s := open(t, p)
			got = append(got, s.Port())
			s.Close()
		}
		want := []uint16{20000, 20002, 20004, 20006, 20000, 20002, 20006, 20000, 20002, 20006}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if p.InUse() != 1 || len(m.conns) != 2 || kept.Port() != 20004 {
			t.Errorf("%d in use, %d sockets, %d kept", p.InUse(), len(m.conns), kept.Port())
		}
	})
}

// TestPortsOfOthers lets other programs hold an even and an odd port.
func TestPortsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(false)
		for _, port := range []uint16{20000, 20003} {
			if _, err := m.listen(netip.AddrPortFrom(gateway, port)); err != nil {
				t.Fatal(err)
			}
		}
		p := media.NewPorts(m.Net(), gateway, 20000, 20005)
		if s := open(t, p); s.Port() != 20004 || p.InUse() != 1 || len(m.conns) != 4 {
			t.Errorf("port %d, %d in use, %d sockets", s.Port(), p.InUse(), len(m.conns))
		}
		_, err := p.Open(nil)
		if !errors.Is(err, media.ErrNoPort) || !errors.Is(err, syscall.EADDRINUSE) || p.InUse() != 1 || len(m.conns) != 4 {
			t.Errorf("%v, %d in use, %d sockets", err, p.InUse(), len(m.conns))
		}
	})
}

func TestSocketThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := media.Net{ListenPacket: func(_, addr string) (net.PacketConn, error) {
			if strings.HasSuffix(addr, ":20000") {
				return brokenConn{}, nil
			}
			return newMemory(false).listen(netip.MustParseAddrPort(addr))
		}}
		s := open(t, media.NewPorts(broken, gateway, 20000, 20001))
		synctest.Wait() // its reader has given up, instead of running hot
		s.Set(pcma, netip.MustParseAddrPort("10.0.0.1:4000"))
		s.Play(media.Announcement(), nil)
		time.Sleep(time.Second)
	})
}

type brokenConn struct{ net.PacketConn }

func (brokenConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, syscall.EIO }
func (brokenConn) WriteTo([]byte, net.Addr) (int, error)  { return 0, syscall.EIO }
func (brokenConn) Close() error                           { return syscall.EIO }

// TestCloseWhileBusy opens and closes streams while others hear them, alone and mixed, play and receive.
func TestCloseWhileBusy(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := newMemory(true)
	ports := newPorts(m)
	a, pa := leg(t, m, ports, "10.0.0.1:4000", pcma, func(string) {})
	prompt, clip := media.Announcement(), media.NewLibrary(nil, nil).Prompt("status")
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for range 50 {
				s, err := ports.Open(nil)
				if err != nil {
					t.Error(err)
					return
				}
				s.Set(pcmu, netip.MustParseAddrPort("10.0.0.9:4000"))
				s.Hear(a)
				a.Hear(s)
				s.Hear(a, s)
				a.Hear(s, a)
				s.Play(clip, func() { s.Play(prompt, nil) })
				s.Play(prompt, nil)
				pa.send(t, rtp.Header{Version: 2, PayloadType: 8}, tone(1))
				s.Play(nil, nil)
				s.Received()
				busy.Go(s.Close)
				s.Close()
				s.Hear(a)
				s.Hear(a, s)
				s.Play(clip, func() { t.Error("played after Close") })
			}
		})
	}
	busy.Wait()
	a.Close()
	_ = pa.conn.Close()
	if ports.InUse() != 0 || len(m.conns) != 0 {
		t.Errorf("%d in use, %d sockets", ports.InUse(), len(m.conns))
	}
}

// TestSystem relays over real sockets of the loopback interface.
func TestSystem(t *testing.T) {
	defer goleak.VerifyNone(t)
	loopback := netip.MustParseAddr("127.0.0.1")
	ports := media.NewPorts(media.System(), loopback, 12000, 13999)
	ends := make([]net.PacketConn, 2)
	streams := make([]*media.Stream, 2)
	for i := range ends {
		conn, err := media.System().ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ends[i], streams[i] = conn, open(t, ports)
		streams[i].Set(pcma, conn.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	streams[1].Hear(streams[0])
	said := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 8, SSRC: 5}, Payload: slice(160)}
	body, err := said.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ends[0].WriteTo(body, net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, streams[0].Port()))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	n, from, err := ends[1].ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	var heard rtp.Packet
	if err := heard.Unmarshal(buf[:n]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said.Payload, heard.Payload); diff != "" || from.(*net.UDPAddr).Port != int(streams[1].Port()) {
		t.Errorf("from %v: -said +heard\n%s", from, diff)
	}
	rtcp := net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, streams[0].Port()+1))
	for range 1000 { // nobody reads them, and nobody says so
		if _, err := ends[0].WriteTo([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, rtcp); err != nil {
			t.Fatalf("its report: %v", err)
		}
	}
	for _, s := range streams {
		s.Close()
	}
	if ports.InUse() != 0 {
		t.Errorf("%d in use", ports.InUse())
	}
	again, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", streams[0].Port()))
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	_ = again.Close()
}
