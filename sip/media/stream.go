package media

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

// Stream is the RTP of one leg: what comes from its peer, and what goes to it under an SSRC, sequence numbers and
// timestamps of its own. It plays a prompt, else it sends on what another stream receives, else it is silent. All its
// methods are safe for concurrent use, and none but Close waits for anything.
type Stream struct {
	wire    wire
	rtcp    net.PacketConn
	port    uint16
	heard   func(what string)
	free    func()
	tasks   sync.WaitGroup
	hearers atomic.Pointer[[]*Stream] // those that send on what is received here; copied when it changes

	mu      sync.Mutex // never held over I/O
	closed  bool
	format  Format
	latch   latch
	from    *Stream
	player  *player
	out     track
	packets uint64
	last    time.Time
}

func newStream(rtp, rtcp net.PacketConn, port uint16, heard func(string), free func()) *Stream {
	s := &Stream{wire: newWire(rtp), rtcp: rtcp, port: port, heard: heard, free: free, out: newTrack()}
	s.tasks.Go(s.receive)
	s.tasks.Go(s.discard)
	return s
}

// Port is where the stream receives RTP: an even port.
func (s *Stream) Port() uint16 { return s.port }

// Set says what was negotiated; it may be said again. An unspecified address or port 0 is a hold: packets are taken
// from where they came before, nothing is sent. Any other address that differs from the one before is waited for anew.
func (s *Stream) Set(f Format, remote netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.format = f
	s.latch.expect(unmap(remote), time.Now())
}

// Hear makes the stream send what from receives; nil: nothing. While a prompt plays, the prompt goes first and nothing
// of this is sent. from may be the stream itself: an echo.
func (s *Stream) Hear(from *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || from == s.from {
		return
	}
	if s.from != nil {
		s.from.drop(s)
	}
	if from != nil {
		from.add(s)
	}
	s.from, s.out.run = from, run{}
}

// Play plays a prompt from its beginning, over and over; nil stops it. The prompt that plays already goes on. A prompt
// waits where it is while there is nowhere to send.
func (s *Stream) Play(p *Prompt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p != nil && s.player != nil && s.player.sound == p.sound {
		return
	}
	s.stop()
	if p != nil && p.sound != "" {
		playing := newPlayer(s, p)
		s.player = playing
		s.tasks.Go(playing.run)
	}
	s.out.run = run{}
}

// stop ends the player. s.mu is held; what the player has in hand is refused by compose.
func (s *Stream) stop() {
	if s.player != nil {
		close(s.player.done)
		s.player = nil
	}
}

// Received is the number of RTP packets that were taken from the peer so far, comfort noise and empty ones too, and
// when the last of them came; zero if none did.
func (s *Stream) Received() (packets uint64, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets, s.last
}

// Close frees the port and waits until the stream's goroutines have ended: nothing is heard or sent after it. Those
// who hear the stream hear nothing. It may be called again, but not from within heard.
func (s *Stream) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.stop()
	if s.from != nil {
		s.from.drop(s)
		s.from = nil
	}
	s.mu.Unlock()
	if first {
		s.hearers.Store(nil)
		_ = s.wire.Close() // it only ends the reading
		_ = s.rtcp.Close()
	}
	s.tasks.Wait()
	if first {
		s.free()
	}
}

func (s *Stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// add and drop keep the list of hearers; they take no lock.
func (s *Stream) add(h *Stream) { s.change(func(all []*Stream) []*Stream { return append(all, h) }) }

func (s *Stream) drop(h *Stream) { s.change(func(all []*Stream) []*Stream { return without(all, h) }) }

func (s *Stream) change(f func([]*Stream) []*Stream) {
	for {
		old := s.hearers.Load()
		var all []*Stream
		if old != nil {
			all = slices.Clone(*old)
		}
		all = f(all)
		if s.hearers.CompareAndSwap(old, &all) {
			return
		}
	}
}

func without(all []*Stream, h *Stream) []*Stream {
	return slices.DeleteFunc(all, func(s *Stream) bool { return s == h })
}

// discard reads the RTCP that peers send: nothing is made of it.
func (s *Stream) discard() {
	buf := make([]byte, maxDatagram)
	untilClosed(s, func() error {
		_, _, err := s.rtcp.ReadFrom(buf)
		return err
	})
}

// untilClosed repeats a read until the stream is closed. A datagram socket's error is one packet's affair; only a
// socket that has nothing but errors is given up. Its stream then receives nothing more, as from a dead peer.
func untilClosed(s *Stream, read func() error) {
	const enough = 100
	for failed := 0; failed < enough; failed++ {
		switch err := read(); {
		case err == nil:
			failed = -1
		case errors.Is(err, net.ErrClosed) || s.isClosed():
			return
		}
	}
}

// compose makes an outgoing packet of one that a source has; n is 0 if none is to be sent. out has room for headerSize
// and the payload.
func (s *Stream) compose(src source, in *rtp.Packet, k kind, out []byte, now time.Time) (n int, to netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.player != src.player || s.player == nil && (s.from == nil || s.from != src.stream) {
		return 0, to
	}
	to, ok := s.latch.target()
	if !ok {
		s.out.run = run{} // the break is no loss
		return 0, to
	}
	payload, span := s.format.payload(), uint32(len(in.Payload))
	switch k {
	case alaw, mulaw:
	case event:
		payload, span = s.format.Event, 0
	case silence, alien:
		payload = 0
	}
	if k == alien || k == silence || k == event && payload == 0 {
		s.out.skip(src, in.SequenceNumber)
		return 0, to
	}
	h, ok := s.out.place(src, &in.Header, span, now)
	if !ok {
		return 0, to
	}
	h.PayloadType = payload
	n, err := h.MarshalTo(out[:headerSize])
	if err != nil {
		return 0, to
	}
	convert(out[n:], s.format.Codec.kind(), in.Payload, k)
	return n + len(in.Payload), to
}
