package media_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/sip/media"
)

// memory is a network in memory: datagrams arrive at once and in order.
type memory struct {
	fast bool // its connections know the functions that allocate nothing

	mu    sync.Mutex
	conns map[netip.AddrPort]*memConn
}

type datagram struct {
	body []byte
	from netip.AddrPort
}

type memConn struct {
	net  *memory
	addr netip.AddrPort
	in   chan datagram
	done chan struct{}
	once sync.Once
}

// fastConn is a memConn with the functions of net.UDPConn that allocate nothing.
type fastConn struct{ *memConn }

func newMemory(fast bool) *memory {
	return &memory{fast: fast, conns: make(map[netip.AddrPort]*memConn)}
}

func (m *memory) Net() media.Net {
	return media.Net{ListenPacket: func(_, addr string) (net.PacketConn, error) {
		at, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		c, err := m.listen(at)
		if err != nil {
			return nil, err
		}
		if m.fast {
			return fastConn{c}, nil
		}
		return c, nil
	}}
}

func (m *memory) listen(at netip.AddrPort) (*memConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns[at] != nil {
		return nil, syscall.EADDRINUSE
	}
	c := &memConn{net: m, addr: at, in: make(chan datagram, 4096), done: make(chan struct{})}
	m.conns[at] = c
	return c, nil
}

func (m *memory) send(b []byte, from, to netip.AddrPort) {
	m.mu.Lock()
	c := m.conns[to]
	m.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.in <- datagram{bytes.Clone(b), from}:
	default: // full: lost
	}
}

func (c *memConn) read(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-c.in:
		return copy(b, d.body), d.from, nil
	case <-c.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (c *memConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.read(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

func (c *memConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("no UDP address")
	}
	c.net.send(b, c.addr, addr.AddrPort())
	return len(b), nil
}

func (c *memConn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		delete(c.net.conns, c.addr)
	})
	return nil
}

func (c *memConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }

func (c fastConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) { return c.read(b) }

func (c fastConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.net.send(b, c.addr, to)
	return len(b), nil
}

// peer is the other end of a stream.
type peer struct {
	net  *memory
	conn *memConn
	to   netip.AddrPort // the stream's
	rtp.Header
}

// gateway is where streams are opened in these tests.
var gateway = netip.MustParseAddr("192.0.2.1")

func newPorts(m *memory) *media.Ports { return media.NewPorts(m.Net(), gateway, 20000, 20099) }

// leg is a stream that has been told of a new peer at an address.
func leg(t *testing.T, m *memory, ports *media.Ports, at string, f media.Format, heard func(string)) (*media.Stream, *peer) {
	t.Helper()
	s, err := ports.Open(heard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p := m.peer(t, at, s)
	p.PayloadType = uint8(f.Codec)
	s.Set(f, p.conn.addr)
	return s, p
}

func (m *memory) peer(t *testing.T, at string, s *media.Stream) *peer {
	t.Helper()
	conn, err := m.listen(netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{net: m, conn: conn, to: netip.AddrPortFrom(gateway, s.Port())}
	p.Header = rtp.Header{Version: 2, SSRC: 0xabc, SequenceNumber: 65530, Timestamp: 0xffffff00}
	return p
}

// say sends the next packet; a packet without sound takes no time.
func (p *peer) say(t *testing.T, payload ...byte) {
	t.Helper()
	p.send(t, p.Header, payload)
	p.SequenceNumber++
	p.Timestamp += uint32(len(payload))
	p.Marker = false
}

// tone is a frame of 20 ms.
func tone(b byte) []byte { return bytes.Repeat([]byte{b}, 160) }

func (p *peer) send(t *testing.T, h rtp.Header, payload []byte) {
	t.Helper()
	b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	p.net.send(b, p.conn.addr, p.to)
}

// got is what has arrived since the last time.
func (p *peer) got(t *testing.T) []*rtp.Packet {
	t.Helper()
	var all []*rtp.Packet
	for {
		select {
		case d := <-p.conn.in:
			var got rtp.Packet
			if err := got.Unmarshal(d.body); err != nil {
				t.Fatal(err)
			}
			if d.from != p.to {
				t.Errorf("a packet comes from %v instead of %v", d.from, p.to)
			}
			all = append(all, &got)
		default:
			return all
		}
	}
}

func (c *memConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *memConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *memConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
