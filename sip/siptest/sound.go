package siptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/sip/media"
)

const (
	ptime = 20 * time.Millisecond
	// pause between two packets of one voice above which it is heard anew.
	pause = 500 * time.Millisecond
)

// Heard is one voice that was heard without a break.
type Heard struct {
	Voice       Voice
	First, Last time.Time
	Packets     int
}

// sound is the RTP side of one call: one socket, a reader, and a sender while it speaks.
type sound struct {
	net    media.Net
	packet []byte // 20 ms of the own voice
	stop   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	conn     net.PacketConn
	next     net.PacketConn // where it is going to be
	closed   bool
	mute     bool // the gateway wants no sound, or has no right to it
	remote   netip.AddrPort
	payload  uint8
	event    uint8     // payload type of telephone-event; 0: none
	until    time.Time // speaks until then
	keys     []keypress
	speaking bool // there is a sender
	received uint64
	sent     uint64
	heard    []Heard
	odd      Voice // heard in one packet only so far
	oddAt    time.Time
	changed  chan struct{} // closed when a voice begins, while somebody waits
}

// ear is what the reader of one socket heard last.
type ear struct {
	last      []byte
	lastType  uint8
	lastVoice Voice
	lastOK    bool
}

func newSound(n media.Net, ip netip.Addr, v Voice) (*sound, error) {
	conn, err := n.ListenPacket("udp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return nil, err
	}
	s := &sound{net: n, conn: conn, stop: make(chan struct{}), payload: payloadPCMA}
	if v > 0 {
		s.packet = v.packet()
	}
	s.wg.Go(func() { s.read(conn) })
	return s, nil
}

func (s *sound) port() uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return portOf(s.conn)
}

func portOf(conn net.PacketConn) uint16 {
	if a, err := addrPort(conn.LocalAddr()); err == nil {
		return a.Port()
	}
	return 0
}

// set says where to send, in which codec, and whether at all.
func (s *sound) set(remote netip.AddrPort, payload, event uint8, sends bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote, s.payload, s.event, s.mute = remote, payload, event, !sends
}

// move hears at another port too from now on, and tells which. settle says whether the phone goes on there.
func (s *sound) move(ip netip.Addr) (uint16, error) {
	conn, err := s.net.ListenPacket("udp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.next != nil {
		_ = conn.Close()
		return 0, net.ErrClosed
	}
	s.next = conn
	s.wg.Go(func() { s.read(conn) })
	return portOf(conn), nil
}

// settle ends a move: at the new port, or back at the old one.
func (s *sound) settle(there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		return
	}
	old := s.next
	if there {
		s.conn, old = s.next, s.conn
	}
	s.next = nil
	_ = old.Close()
}

// close frees the port and waits for reader and sender.
func (s *sound) close() {
	s.mu.Lock()
	was, conn, next := s.closed, s.conn, s.next
	s.closed = true
	s.mu.Unlock()
	if !was {
		close(s.stop)
		_ = conn.Close()
		if next != nil {
			_ = next.Close()
		}
	}
	s.wg.Wait()
}

func (s *sound) read(conn net.PacketConn) {
	buf := make([]byte, 1500)
	var p rtp.Packet
	var e ear
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if p.Unmarshal(buf[:n]) != nil || p.Version != 2 {
			continue
		}
		if v, ok := e.recognize(p.PayloadType, p.Payload); ok {
			s.note(v, time.Now())
		}
	}
}

// recognize remembers the last packet: those of one voice are all equal.
func (e *ear) recognize(payloadType uint8, payload []byte) (Voice, bool) {
	if payloadType != e.lastType || !bytes.Equal(payload, e.last) {
		e.last, e.lastType = append(e.last[:0], payload...), payloadType
		e.lastVoice, e.lastOK = recognize(payloadType, payload)
	}
	return e.lastVoice, e.lastOK
}

// note counts a packet in which v was heard. Another voice than before begins with its second packet in a row: one alone
// may be a splice of two.
func (s *sound) note(v Voice, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received++
	if v == Nobody {
		s.odd = Nobody
		return
	}
	if n := len(s.heard); n > 0 && s.heard[n-1].Voice == v && now.Sub(s.heard[n-1].Last) <= pause {
		s.heard[n-1].Last = now
		s.heard[n-1].Packets++
		s.odd = Nobody
		return
	}
	if s.odd != v || now.Sub(s.oddAt) > pause {
		s.odd, s.oddAt = v, now
		return
	}
	s.heard = append(s.heard, Heard{Voice: v, First: s.oddAt, Last: now, Packets: 2})
	s.odd = Nobody
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// all is what was heard so far.
func (s *sound) all() []Heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

func (s *sound) counts() (sent, received uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.received
}

// await waits until a voice is heard that want accepts, and returns it.
func (s *sound) await(ctx context.Context, want func(Voice) bool) (Voice, error) {
	for {
		s.mu.Lock()
		for _, h := range s.heard {
			if want(h.Voice) {
				s.mu.Unlock()
				return h.Voice, nil
			}
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-s.stop:
			return Nobody, net.ErrClosed
		case <-ctx.Done():
			return Nobody, context.Cause(ctx)
		}
	}
}

// say speaks for d from now; said while speaking, it goes on until the later end.
func (s *sound) say(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.packet == nil {
		return
	}
	if end := time.Now().Add(d); end.After(s.until) {
		s.until = end
	}
	if !s.speaking {
		s.speaking = true
		s.wg.Go(s.speak)
	}
}

// press presses a key once what was pressed before is over.
func (s *sound) press(key byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.event == 0 {
		return fmt.Errorf("key %c: the gateway takes no telephone-event: %w", key, ErrState)
	}
	s.keys = append(s.keys, keypress{code: byte(strings.IndexByte(keys, key))})
	if !s.speaking {
		s.speaking = true
		s.wg.Go(s.speak)
	}
	return nil
}

// keys are the events of RFC 4733, table 3, in their order.
const keys = "0123456789*#ABCD"

// keypress is a key that is being pressed.
type keypress struct {
	code  byte
	sent  int    // packets so far
	start uint32 // their timestamp
}

const (
	keyPackets = 5 // 100 ms
	keyEnds    = 3 // the end is said three times (RFC 4733, 2.5.1.4)
)

// next is the payload of the key's next packet.
func (k *keypress) next() []byte {
	k.sent++
	b := []byte{k.code, 10, 0, 0} // 10: -10 dBm0
	binary.BigEndian.PutUint16(b[2:], uint16(min(k.sent, keyPackets)*samples))
	if k.sent > keyPackets {
		b[1] |= 0x80
	}
	return b
}

// speak sends a packet every 20 ms until it has said enough.
func (s *sound) speak() {
	var seed [10]byte
	_, _ = rand.Read(seed[:]) // never fails
	p := rtp.Packet{Header: rtp.Header{
		Version: 2, SSRC: binary.BigEndian.Uint32(seed[:]), SequenceNumber: binary.BigEndian.Uint16(seed[4:]),
	}}
	clock := binary.BigEndian.Uint32(seed[6:])
	tick := time.NewTicker(ptime)
	defer tick.Stop()
	for first := true; ; first = false {
		conn, to, ok := s.due(&p, clock, first)
		if !ok {
			return
		}
		if b, err := p.Marshal(); err == nil && to.IsValid() {
			_, _ = conn.WriteTo(b, net.UDPAddrFromAddrPort(to)) // a lost packet is RTP's daily bread
		}
		p.SequenceNumber++
		clock += samples
		select {
		case <-tick.C:
		case <-s.stop:
			return
		}
	}
}

// due prepares the packet that is due, and tells from where to where; nowhere while the phone is mute. Not ok ends the
// sender.
func (s *sound) due(p *rtp.Packet, clock uint32, first bool) (conn net.PacketConn, to netip.AddrPort, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Marker, p.Timestamp = first, clock
	switch {
	case s.closed:
		return nil, netip.AddrPort{}, false
	case len(s.keys) > 0:
		k := &s.keys[0]
		if p.Marker = k.sent == 0; p.Marker {
			k.start = clock
		}
		p.PayloadType, p.Payload, p.Timestamp = s.event, k.next(), k.start
		if k.sent == keyPackets+keyEnds {
			s.keys = s.keys[1:]
		}
	case time.Now().Before(s.until):
		p.PayloadType, p.Payload = s.payload, s.packet
		if s.payload == payloadPCMU {
			p.Payload = g711.Alaw2Ulaw(s.packet)
		}
	default:
		s.speaking = false
		return nil, netip.AddrPort{}, false
	}
	if s.mute {
		return nil, netip.AddrPort{}, true
	}
	s.sent++
	return s.conn, s.remote, true
}
