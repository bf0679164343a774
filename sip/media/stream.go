package media

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is the RTP of one leg: what comes from its peer, and what goes to it under an SSRC, sequence numbers and
// timestamps of its own. It plays a prompt, else it sends what other streams receive, else it is silent. All its
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
	from    []*Stream // whom it hears; never changed in place
	player  *player   // nil: no prompt plays
	mixer   *mixer    // of several it hears; nil: one or none
	out     track
	packets uint64
	last    time.Time
}

func newStream(rtp, rtcp net.PacketConn, port uint16, heard func(string), free func()) *Stream {
	s := &Stream{wire: newWire(rtp), rtcp: rtcp, port: port, heard: heard, free: free, out: newTrack()}
	s.tasks.Go(s.receive)
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

// Hear makes the stream send what others receive: none, nothing; one, its packets as they come; several, their sound
// mixed, without keys, in packets of a clock of its own, and none while all are silent. While a prompt plays, the prompt
// goes first and nothing of this is sent. The stream may hear itself: an echo. The order means nothing; nil ones are
// left out. SSRC, sequence numbers and timestamps go on over every change.
func (s *Stream) Hear(from ...*Stream) {
	from = distinct(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || equal(from, s.from) {
		return
	}
	for _, f := range s.from {
		if !slices.Contains(from, f) {
			f.drop(s)
		}
	}
	for _, f := range from {
		if !slices.Contains(s.from, f) {
			f.add(s)
		}
	}
	s.from = from
	switch {
	case len(from) > 1 && s.mixer != nil:
		s.mixer.listen(from)
		return
	case len(from) > 1:
		s.mixer = newMixer(s, from)
		s.tasks.Go(s.mixer.run)
	default:
		s.unmix()
	}
	s.out.run = run{}
}

// distinct is a copy without nil and without doubles.
func distinct(all []*Stream) []*Stream {
	var some []*Stream
	for _, s := range all {
		if s != nil && !slices.Contains(some, s) {
			some = append(some, s)
		}
	}
	return some
}

// equal compares sets.
func equal(a, b []*Stream) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s *Stream) bool { return !slices.Contains(b, s) })
}

// unmix ends the mixer. s.mu is held; what the mixer has in hand is refused by make.
func (s *Stream) unmix() {
	if s.mixer != nil {
		close(s.mixer.done)
		s.mixer = nil
	}
}

// Play plays a prompt from its beginning; nil stops the one that plays. A looped one is played over and over and waits
// where it is while there is nowhere to send. Any other is played once, whether or not there is somewhere to send, and
// when its time is over, over is called, unless it was stopped or another was played before; nil: nobody is told. It
// comes from a goroutine that Close waits for and holds no lock: it must not block, nor Close the stream, but it may
// Play the next. The prompt that plays already goes on, and this over is called for it instead of the one before.
func (s *Stream) Play(p *Prompt, over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return
	case p != nil && s.player != nil && *s.player.prompt == *p:
		s.player.over = over
		return
	}
	s.stop()
	if p != nil {
		s.player = newPlayer(s, p, over)
		s.tasks.Go(s.player.run)
	}
	s.out.run = run{}
}

// stop ends the player. s.mu is held; what the player has in hand is refused by make.
func (s *Stream) stop() {
	if s.player != nil {
		close(s.player.done)
		s.player = nil
	}
}

// finish takes away a player whose prompt is over, and says whom to tell; nobody if it was stopped.
func (s *Stream) finish(y *player) (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.player != y {
		return nil
	}
	s.player = nil
	return y.over
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
	s.unmix()
	for _, f := range s.from {
		f.drop(s)
	}
	s.from = nil
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

// compose makes an outgoing packet of the one that another stream has received; it is empty if none is to be sent now.
func (s *Stream) compose(src source, r *receiver, k kind, now time.Time) (packet []byte, to netip.AddrPort) {
	in := &r.p
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.player != nil:
		return nil, to
	case s.mixer != nil:
		s.mixer.put(src, in, k)
		return nil, to
	case len(s.from) == 0 || s.from[0] != src.stream:
		return nil, to
	}
	to, ok := s.latch.target()
	if !ok {
		s.out.run = run{} // the break is no loss
		return nil, to
	}
	law, payload, span := s.format.Codec.kind(), s.format.payload(), uint32(len(in.Payload))
	switch k {
	case alaw, mulaw:
	case event:
		law, payload, span = event, s.format.Event, 0
	case silence, alien:
		payload = 0
	}
	if k == alien || k == silence || k == event && payload == 0 {
		s.out.skip(src, in.SequenceNumber)
		return nil, to
	}
	h, ok := s.out.place(src, &in.Header, span, now)
	if !ok {
		return nil, to
	}
	h.PayloadType = payload
	packet = r.room(law != k)
	if _, err := h.MarshalTo(packet[:headerSize]); err != nil {
		return nil, to
	}
	convert(packet[headerSize:], law, in.Payload, k)
	return packet, to
}
