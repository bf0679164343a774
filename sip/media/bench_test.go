package media_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/sip/media"
)

// pipe is a connection whose packets come from and go to the benchmark, without a copy of its own.
type pipe struct {
	net.PacketConn
	in, out chan []byte
	from    netip.AddrPort
	done    chan struct{}
}

func newPipe(from netip.AddrPort) *pipe {
	return &pipe{in: make(chan []byte), out: make(chan []byte), from: from, done: make(chan struct{})}
}

func (p *pipe) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-p.in:
		return copy(b, d), p.from, nil
	case <-p.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (p *pipe) ReadFrom([]byte) (int, net.Addr, error) {
	<-p.done
	return 0, nil, net.ErrClosed
}

func (p *pipe) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	p.out <- b
	return len(b), nil
}

func (p *pipe) Close() error {
	close(p.done)
	return nil
}

// BenchmarkRelay is one packet from a peer through two streams to the other peer, without the network.
func BenchmarkRelay(b *testing.B) {
	for _, bm := range []struct {
		name string
		to   media.Format
	}{{"same", pcma}, {"transcoded", pcmu}} {
		b.Run(bm.name, func(b *testing.B) {
			peer := netip.MustParseAddrPort("10.0.0.1:4000")
			var pipes []*pipe
			ports := media.NewPorts(media.Net{ListenPacket: func(string, string) (net.PacketConn, error) {
				pipes = append(pipes, newPipe(peer))
				return pipes[len(pipes)-1], nil
			}}, gateway, 20000, 20003)
			streams := make([]*media.Stream, 2)
			for i := range streams {
				s, err := ports.Open(nil)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				streams[i] = s
			}
			streams[0].Set(pcma, peer)
			streams[1].Set(bm.to, peer)
			streams[1].Hear(streams[0])
			p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 8, SSRC: 1}, Payload: slice(160)}
			buf := make([]byte, 172)
			in, out := pipes[0].in, pipes[2].out // each stream has an RTP and an RTCP socket
			b.SetBytes(160)
			b.ReportAllocs()
			for b.Loop() {
				p.SequenceNumber++
				p.Timestamp += 160
				if _, err := p.MarshalTo(buf); err != nil {
					b.Fatal(err)
				}
				in <- buf
				<-out
			}
		})
	}
}
