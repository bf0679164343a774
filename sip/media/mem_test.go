package media_test

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/sip/media"
)

// BenchmarkStreams is the memory of an open stream on the system's network, which has received a packet and sent it on.
func BenchmarkStreams(b *testing.B) {
	const many = 1000
	loopback := netip.MustParseAddr("127.0.0.1")
	ports := media.NewPorts(media.System(), loopback, 10000, 10000+2*many+999)
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: loopback.AsSlice()})
	if err != nil {
		b.Fatal(err)
	}
	defer peer.Close() //nolint:errcheck // only a test's
	said, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 8}, Payload: tone(1)}).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1500)
	for b.Loop() {
		before := inUse()
		streams := make([]*media.Stream, many)
		for i := range streams {
			s, err := ports.Open(nil)
			if err != nil {
				b.Fatal(err)
			}
			streams[i] = s
			s.Set(pcma, peer.LocalAddr().(*net.UDPAddr).AddrPort())
			s.Hear(s)
			_ = peer.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := peer.WriteToUDPAddrPort(said, netip.AddrPortFrom(loopback, s.Port())); err != nil {
				b.Fatal(err)
			}
			if _, err := peer.Read(buf); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(inUse()-before)/many, "B/stream")
		for _, s := range streams {
			s.Close()
		}
	}
}

// inUse is what the heap and the goroutines' stacks hold.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
