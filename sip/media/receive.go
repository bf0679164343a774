package media

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"
)

// receiver is the state of a stream's reading goroutine; nothing in it is shared.
type receiver struct {
	s    *Stream
	in   [maxDatagram + 1]byte // one more than is taken: a longer datagram is seen as one
	p    rtp.Packet            // its payload lies in in
	out  *converted            // nil: none was needed yet
	keys keys
}

// converted is room for a packet in the other law.
type converted [headerSize + maxDatagram]byte

// receive reads the stream's socket until the stream is closed.
func (s *Stream) receive() {
	r := &receiver{s: s}
	untilClosed(s, func() error {
		n, src, err := s.wire.read(r.in[:])
		if err == nil && n <= maxDatagram {
			r.take(r.in[:n], src)
		}
		return err
	})
}

// take is one datagram's way: parsed, admitted, told if it is a key, and sent on to those who hear the stream.
func (r *receiver) take(datagram []byte, src netip.AddrPort) {
	p := &r.p
	if p.Unmarshal(datagram) != nil || p.Version != 2 {
		return
	}
	now := time.Now()
	k := r.admit(src, now)
	switch k {
	case alien:
		return
	case event:
		p.Payload = p.Payload[:eventSize]
		if name, ok := r.keys.hear(p, now); ok && r.s.heard != nil {
			r.s.heard(name)
		}
	case silence, alaw, mulaw:
	}
	hearers := r.s.hearers.Load()
	if hearers == nil {
		return
	}
	source := source{stream: r.s, ssrc: p.SSRC}
	for _, h := range *hearers {
		if packet, to := h.compose(source, r, k, now); len(packet) > 0 {
			_ = h.wire.write(packet, to) // lost, as on any network
		}
	}
}

// room is where a packet of the payload goes out from: as it lies here, with room for a header before it, or, if it is
// to be converted, elsewhere.
func (r *receiver) room(convert bool) []byte {
	size := headerSize + len(r.p.Payload)
	if convert {
		if r.out == nil {
			r.out = new(converted)
		}
		return r.out[:size]
	}
	at := cap(r.in[:]) - cap(r.p.Payload) - headerSize
	return r.in[at:][:size]
}

// admit says what the packet is; alien if it is not to be taken.
func (r *receiver) admit(src netip.AddrPort, now time.Time) kind {
	s, p := r.s, &r.p
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.format.kind(p.PayloadType)
	switch {
	case k == event && (len(p.Payload) < eventSize || int(p.Payload[0]) >= len(keyNames)):
		k = silence // an event that was not agreed on
	case len(p.Payload) == 0 && k != alien:
		k = silence
	}
	if k == alien || !s.latch.admit(src, now) {
		return alien
	}
	s.packets++
	s.last = now
	return k
}
