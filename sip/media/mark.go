package media

import (
	"net/netip"
	"time"
)

// Mark is where the sound of a stream stands. Kept, it lets the stream of the next run go on under the same SSRC, so that
// the peer hears a break and not another source. It is a plain value, written as JSON.
type Mark struct {
	SSRC uint32         `json:"ssrc"`          // 0: of no stream
	Seq  uint16         `json:"seq"`           // the newest sequence number sent
	Time uint32         `json:"time"`          // the timestamp that belongs to At
	Span uint32         `json:"span"`          // samples of the newest packet
	At   time.Time      `json:"at"`            // when that was
	From netip.AddrPort `json:"from,omitzero"` // where the peer's packets come from, if that is known
}

// How far sequence numbers go on over a restart: a second more than what may have been sent since the mark, and less than
// half of their range, beyond which a jump forward looks like one backward (RFC 3550 appendix A.1).
const (
	leap     = 50
	farthest = 30_000
)

// Mark is where the stream stands now.
func (s *Stream) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.mark(s.latch.from, time.Now())
}

func (t *track) mark(from netip.AddrPort, now time.Time) Mark {
	m := Mark{SSRC: t.ssrc, Seq: t.seq, Time: t.ts, Span: t.span, At: now.UTC(), From: from}
	if !t.at.IsZero() {
		m.Time += uint32(min(now.Sub(t.at), longest) / sample)
	}
	return m
}

// Resume lets the stream go on from where that of an earlier run stood: timestamps by the time that has passed, sequence
// numbers by as many packets as may have been sent in it, so that both only grow. It comes before the first Set; a zero
// mark changes nothing.
func (s *Stream) Resume(m Mark) {
	if m.SSRC == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = resumed(m, time.Now())
	s.latch.before = m.From
}

// longest is how long a break is counted at most.
const longest = 24 * time.Hour

func resumed(m Mark, now time.Time) track {
	gone := min(max(now.Sub(m.At), 0), longest)
	span := m.Span
	if span == 0 {
		span = frameSamples
	}
	sent := int64(gone / (time.Duration(span) * sample))
	return track{
		ssrc: m.SSRC, seq: m.Seq + uint16(min(sent+leap, farthest)), ts: m.Time + uint32(gone/sample), span: span, at: now,
	}
}
