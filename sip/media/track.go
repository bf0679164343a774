package media

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
)

// How far a source's sequence number may jump before it counts as a new beginning (RFC 3550 appendix A.1).
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// source is where outgoing packets come from: a stream's peer, by its SSRC, or a maker. The zero source is none.
type source struct {
	stream *Stream
	maker  *maker
	ssrc   uint32
}

// track is the RTP that a stream sends: one SSRC, whose sequence numbers and timestamps go on over all its sources.
type track struct {
	ssrc uint32
	seq  uint16    // the newest sent
	ts   uint32    // the newest sent
	span uint32    // samples of the packet with that timestamp
	at   time.Time // when it was sent; zero: nothing sent yet
	run  run
}

// run is one source at work on a track. Its numbers are shifted, never counted anew, so that the receiver sees what
// was lost or came late on the way to us.
type run struct {
	source   source
	newest   int64 // sequence number of the source, extended beyond 16 bits
	first    int64 // what is older belongs to nobody any more
	seqShift uint16
	tsShift  uint32
}

// newTrack begins at random numbers (RFC 3550 section 5.1).
func newTrack() track {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return track{
		ssrc: binary.BigEndian.Uint32(b[0:]), ts: binary.BigEndian.Uint32(b[4:]), seq: binary.BigEndian.Uint16(b[8:]),
	}
}

// place gives a source's packet of so many samples its header on the track, without payload type. The first packet of
// a source follows the last one sent, by as much time as has passed, and carries the marker. ok is false if the packet
// is older than that.
func (t *track) place(src source, in *rtp.Header, span uint32, now time.Time) (h rtp.Header, ok bool) {
	n, known := t.run.extend(src, in.SequenceNumber)
	if !known {
		t.begin(src, in, now)
		n = t.run.newest
	}
	if n < t.run.first {
		return rtp.Header{}, false
	}
	h = rtp.Header{
		Version: 2, SSRC: t.ssrc, Marker: in.Marker || !known,
		SequenceNumber: in.SequenceNumber + t.run.seqShift, Timestamp: in.Timestamp + t.run.tsShift,
	}
	if n >= t.run.newest {
		t.run.newest, t.seq = n, h.SequenceNumber
	}
	if t.at.IsZero() || !known || int32(h.Timestamp-t.ts) > 0 {
		t.ts, t.span, t.at = h.Timestamp, span, now
	}
	return h, true
}

// skip takes a packet of the source out of the track without leaving a gap. Packets older than it are given up.
func (t *track) skip(src source, seq uint16) {
	n, known := t.run.extend(src, seq)
	if known && n > t.run.newest {
		t.run.newest, t.run.first = n, n+1
		t.run.seqShift--
	}
}

// extend is a sequence number of the run's source beyond 16 bits; known is false if the packet begins a new run.
func (r *run) extend(src source, seq uint16) (n int64, known bool) {
	jump := int16(seq - uint16(r.newest))
	return r.newest + int64(jump), src == r.source && -maxMisorder <= jump && jump <= maxDropout
}

func (t *track) begin(src source, in *rtp.Header, now time.Time) {
	step := t.span
	if !t.at.IsZero() {
		step = max(step, uint32(min(now.Sub(t.at), longest)/sample))
	}
	n := int64(in.SequenceNumber)
	t.run = run{
		source: src, newest: n, first: n,
		seqShift: t.seq + 1 - in.SequenceNumber, tsShift: t.ts + step - in.Timestamp,
	}
}
