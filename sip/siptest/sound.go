package siptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
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
	conn   net.PacketConn
	packet []byte // 20 ms of the own voice
	stop   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	remote   netip.AddrPort
	payload  uint8
	event    uint8     // payload type of telephone-event; 0: none
	until    time.Time // speaks until then
	keys     []keypress
	speaking bool // there is a sender
	received uint64
	sent     uint64
	heard    []Heard
	odd      Voice         // heard in one packet only so far
	oddAt    time.Time     //
	changed  chan struct{} // closed when a voice begins, while somebody waits

	// Owned by the reader.
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
	s := &sound{conn: conn, stop: make(chan struct{}), payload: payloadPCMA}
	if v > 0 {
		s.packet = v.packet()
	}
	s.wg.Go(s.read)
	return s, nil
}

func (s *sound) port() uint16 {
	if a, err := addrPort(s.conn.LocalAddr()); err == nil {
		return a.Port()
	}
	return 0
}

// set says where to send and in which codec.
func (s *sound) set(remote netip.AddrPort, payload, event uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote, s.payload, s.event = remote, payload, event
}

// close frees the port and waits for reader and sender.
func (s *sound) close() {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		close(s.stop)
		_ = s.conn.Close()
	}
	s.wg.Wait()
}

func (s *sound) read() {
	buf := make([]byte, 1500)
	var p rtp.Packet
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if p.Unmarshal(buf[:n]) != nil || p.Version != 2 {
			continue
		}
		if v, ok := s.recognize(p.PayloadType, p.Payload); ok {
			s.note(v, time.Now())
		}
	}
}

// recognize remembers the last packet: those of one voice are all equal.
func (s *sound) recognize(payloadType uint8, payload []byte) (Voice, bool) {
	if payloadType != s.lastType || !bytes.Equal(payload, s.last) {
		s.last, s.lastType = append(s.last[:0], payload...), payloadType
		s.lastVoice, s.lastOK = recognize(payloadType, payload)
	}
	return s.lastVoice, s.lastOK
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
		to, ok := s.next(&p, clock, first)
		if !ok {
			return
		}
		if b, err := p.Marshal(); err == nil && to.IsValid() {
			_, _ = s.conn.WriteTo(b, net.UDPAddrFromAddrPort(to)) // a lost packet is RTP's daily bread
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

// next prepares the packet that is due; not ok ends the sender.
func (s *sound) next(p *rtp.Packet, clock uint32, first bool) (to netip.AddrPort, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Marker, p.Timestamp = first, clock
	switch {
	case s.closed:
		return netip.AddrPort{}, false
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
		return netip.AddrPort{}, false
	}
	s.sent++
	return s.remote, true
}

// Voice is what somebody sounds like: a chord of two tones that survives G.711 in both laws. Numbers from 1 to Voices
// are people; each phone gets one of its own, so that whoever hears it knows who speaks.
type Voice int

// What is heard when it is nobody's voice.
const (
	Nobody Voice = 0  // silence
	Prompt Voice = -1 // any other sound: an announcement
)

const (
	// samples in a packet: 20 ms at 8 kHz. Tones are multiples of 50 Hz, so that each packet holds whole periods: all
	// packets of a voice are equal, and they are told apart without leakage.
	samples  = 160
	lowest   = 20 // 1,000 Hz: above most of the energy of speech
	highest  = 67 // 3,350 Hz: below the end of the telephone band
	apart    = 3  // at least, between the two tones of a chord
	tones    = highest - lowest + 1
	volume   = 6000 // of 32,767, each tone
	quietest = 150  // root mean square below which it is silence
)

// Voices is how many voices can be told apart.
const Voices Voice = (tones - apart) * (tones - apart + 1) / 2

// chord is the voice's two tones, in multiples of 50 Hz.
func (v Voice) chord() (low, high int) {
	n := (int(v) - 1) % int(Voices)
	for low = lowest; ; low++ {
		row := highest - low - apart + 1
		if n < row {
			return low, low + apart + n
		}
		n -= row
	}
}

// voiceOf is the inverse of chord; Prompt where no voice has that chord.
func voiceOf(low, high int) Voice {
	if high-low < apart {
		return Prompt
	}
	n := 0
	for l := lowest; l < low; l++ {
		n += highest - l - apart + 1
	}
	return Voice(n + high - low - apart + 1)
}

// packet is 20 ms of the voice in A-law.
func (v Voice) packet() []byte {
	b := make([]byte, samples)
	low, high := v.chord()
	for i := range b {
		at := 2 * math.Pi * float64(i) / samples
		b[i] = g711.EncodeAlawFrame(int16(volume * (math.Sin(at*float64(low)) + math.Sin(at*float64(high)))))
	}
	return b
}

// The static payload types of G.711 (RFC 3551, table 4).
const (
	payloadPCMU = 0
	payloadPCMA = 8
)

// recognize tells who is heard in a packet; ok is false for what is no sound of at least 20 ms.
func recognize(payloadType uint8, payload []byte) (v Voice, ok bool) {
	var decode func(uint8) int16
	switch payloadType {
	case payloadPCMA:
		decode = g711.DecodeAlawFrame
	case payloadPCMU:
		decode = g711.DecodeUlawFrame
	default:
		return Nobody, false
	}
	if len(payload) < samples {
		return Nobody, false
	}
	var x [samples]float64
	energy := 0.0
	for i := range x {
		x[i] = float64(decode(payload[i]))
		energy += x[i] * x[i]
	}
	if energy < samples*quietest*quietest {
		return Nobody, true
	}
	return loudest(&x, energy), true
}

// loudest finds the two tones that hold nearly all the energy.
func loudest(x *[samples]float64, energy float64) Voice {
	var first, second float64
	var at, at2 int
	for k := lowest; k <= highest; k++ {
		switch share := goertzel(x, k) / energy; {
		case share > first:
			first, at, second, at2 = share, k, first, at
		case share > second:
			second, at2 = share, k
		}
	}
	if first+second < 0.9 || second < 0.3 {
		return Prompt
	}
	return voiceOf(min(at, at2), max(at, at2))
}

// goertzel is the energy of the tone of k periods in x.
func goertzel(x *[samples]float64, k int) float64 {
	c := 2 * math.Cos(2*math.Pi*float64(k)/samples)
	var s1, s2 float64
	for _, v := range x {
		s1, s2 = v+c*s1-s2, s1
	}
	return (s1*s1 + s2*s2 - c*s1*s2) * 2 / samples
}
