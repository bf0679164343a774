package media

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"
)

// maxBehind is for how long a maker that was not scheduled in time makes up; it leaves out what is older.
const maxBehind = 5 * frame

// maker sends what a voice makes, packet by packet on a clock of its own, in a goroutine of its own.
type maker struct {
	s    *Stream
	done chan struct{} // closed by Stream, which holds s.mu

	h   rtp.Header // of the next packet, before it has its place on the stream's track
	out [headerSize + maxPacket]byte
}

// voice is a sound made here.
type voice interface {
	// next makes the sound of the next packet, of len(out) samples; s.mu is held. heard: it will be sent, if it sounds.
	// Not sounds: that time is silent. Not more: the sound is over, and that before this packet.
	next(out []byte, c Codec, heard bool) (sounds, more bool)
}

func newMaker(s *Stream) maker { return maker{s: s, done: make(chan struct{})} }

// run sends until the maker is stopped or the voice is over. What is due is counted from the start, so that ticks that
// come late do not add up.
func (m *maker) run(v voice) {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if late := time.Since(due) - maxBehind; late > 0 {
			late = late.Truncate(frame)
			due = due.Add(late)
			m.h.Timestamp += uint32(late / sample)
		}
		for time.Since(due) >= 0 {
			n, to, span := m.s.make(m, v, time.Now())
			if span == 0 {
				return
			}
			if n > 0 {
				_ = m.s.wire.write(m.out[:n], to)
			}
			due = due.Add(span)
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-m.done:
			return
		}
	}
}

// make is the next packet of a maker: n is 0 if none is to be sent, span is for how long it is, 0 if the voice is over.
// A voice that is not the stream's turn goes on unheard.
func (s *Stream) make(m *maker, v voice, now time.Time) (n int, to netip.AddrPort, span time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to, ok := s.latch.target()
	if !ok {
		s.out.run = run{} // the break is no loss
	}
	heard := ok && s.turn() == m
	samples := s.format.samples()
	sounds, more := v.next(m.out[headerSize:][:samples], s.format.Codec, heard)
	if !more {
		return 0, to, 0
	}
	span = time.Duration(samples) * sample
	in := m.h
	m.h.Timestamp += uint32(samples)
	m.h.Marker = !sounds
	if !heard || !sounds {
		return 0, to, span
	}
	m.h.SequenceNumber++
	h, ok := s.out.place(source{maker: m}, &in, uint32(samples), now)
	if !ok {
		return 0, to, span
	}
	h.PayloadType = s.format.payload()
	n, err := h.MarshalTo(m.out[:headerSize])
	if err != nil {
		return 0, to, span
	}
	return n + samples, to, span
}

// turn is the maker whose packets the stream sends: a prompt goes before a mix. s.mu is held.
func (s *Stream) turn() *maker {
	switch {
	case s.player != nil:
		return &s.player.maker
	case s.mixer != nil:
		return &s.mixer.maker
	}
	return nil
}

// player is a prompt at work on a stream.
type player struct {
	maker
	prompt *Prompt
	at     int    // where in the sound
	over   func() // nil: nobody waits for the end
}

func newPlayer(s *Stream, p *Prompt, over func()) *player {
	return &player{maker: newMaker(s), prompt: p, over: over}
}

func (y *player) run() {
	y.maker.run(y)
	if over := y.s.finish(y); over != nil {
		over()
	}
}

// next lets the place in a loop wait for somebody to hear it; a prompt that is played once goes on unheard.
func (y *player) next(out []byte, c Codec, heard bool) (sounds, more bool) {
	p, at := y.prompt, y.at
	if at == len(p.sound) && !p.loop {
		return false, false
	}
	for rest := out; len(rest) > 0; {
		n := copy(rest, p.sound[at:])
		rest, at = rest[n:], at+n
		switch {
		case at < len(p.sound):
		case p.loop:
			at = 0
		default:
			fill(rest, quiet)
			rest = nil
		}
	}
	convert(out, c.kind(), out, alaw)
	if heard || !p.loop {
		y.at = at
	}
	return true, true
}

func fill(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}
