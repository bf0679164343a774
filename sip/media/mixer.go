package media

import (
	"math"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// mixer is what several streams receive, at work on a stream that hears them all. All of it but run is called under the
// stream's lock.
type mixer struct {
	maker
	ears []*ear
}

func newMixer(s *Stream, from []*Stream) *mixer {
	m := &mixer{maker: newMaker(s)}
	m.listen(from)
	return m
}

func (m *mixer) run() { m.maker.run(m) }

// listen changes whom is heard; those who were heard before stay as they are.
func (m *mixer) listen(from []*Stream) {
	ears := make([]*ear, 0, len(from))
	for _, s := range from {
		e := m.ear(s)
		if e == nil {
			e = &ear{stream: s}
		}
		ears = append(ears, e)
	}
	m.ears = ears
}

func (m *mixer) ear(s *Stream) *ear {
	for _, e := range m.ears {
		if e.stream == s {
			return e
		}
	}
	return nil
}

// put takes a packet for the mix. Only sound can be mixed.
func (m *mixer) put(src source, p *rtp.Packet, k kind) {
	if e := m.ear(src.stream); e != nil && (k == alaw || k == mulaw) {
		e.put(src.ssrc, p.Timestamp, p.Payload, k)
	}
}

// next is the sum of what all sources have for this packet's time.
func (m *mixer) next(out []byte, c Codec, _ bool) (sounds, more bool) {
	var sum [maxPacket]int32
	for _, e := range m.ears {
		sounds = e.add(sum[:len(out)]) || sounds
	}
	if !sounds {
		return false, true
	}
	encode := g711.EncodeAlawFrame
	if c == PCMU {
		encode = g711.EncodeUlawFrame
	}
	for i := range out {
		out[i] = encode(int16(min(max(sum[i], math.MinInt16), math.MaxInt16)))
	}
	return true, true
}

// How much of a source's sound waits to be mixed, in samples.
const (
	primed   = 320  // is there, or has been waited for, before it begins: a packet may then be late by a frame
	maxHeld  = 800  // of more, only primed is kept: a mix lags 100 ms at most
	ringSize = 1024 // holds maxHeld; a power of two, as its indices are timestamps
	maxLate  = 8000 // what is further back is a new beginning
)

// ear is a source of a mix: its sound by RTP timestamps, so that packets may overtake each other and a lost one leaves
// its time silent.
type ear struct {
	stream *Stream
	begun  bool
	ssrc   uint32
	head   uint32 // timestamp of the sample that is mixed next
	end    uint32 // after the newest sample; head: there is none
	plays  bool
	waited int             // samples that passed since it was there and did not play yet
	ring   [ringSize]int16 // zero where there is nothing
}

// put takes a packet's sound. What is late is left out.
func (e *ear) put(ssrc, ts uint32, payload []byte, k kind) {
	if early := int32(ts - e.head); !e.begun || ssrc != e.ssrc || early < -maxLate {
		*e = ear{stream: e.stream, begun: true, ssrc: ssrc, head: ts, end: ts}
	} else if e.head == e.end && early > 0 {
		e.head, e.end = ts, ts
	}
	end := ts + uint32(len(payload))
	if int32(end-e.head) > maxHeld {
		e.pass(end - primed)
	}
	late := int(int32(e.head - ts))
	if late >= len(payload) {
		return
	}
	if late > 0 {
		payload, ts = payload[late:], e.head
	}
	decode := g711.DecodeAlawFrame
	if k == mulaw {
		decode = g711.DecodeUlawFrame
	}
	for i, b := range payload {
		e.ring[(ts+uint32(i))%ringSize] = decode(b)
	}
	if int32(end-e.end) > 0 {
		e.end = end
	}
}

// pass leaves out what is before a timestamp.
func (e *ear) pass(to uint32) {
	for ; e.head != to && e.head != e.end; e.head++ {
		e.ring[e.head%ringSize] = 0
	}
	if e.head != to {
		e.head, e.end = to, to
	}
}

// add adds the next samples to a sum; sounds is false if there are none.
func (e *ear) add(sum []int32) (sounds bool) {
	held := int(e.end - e.head)
	switch {
	case held == 0:
		e.plays, e.waited = false, 0
	case !e.plays && held < primed && e.waited < primed:
		e.waited += len(sum)
	default:
		n := min(held, len(sum))
		for i := range n {
			sample := &e.ring[(e.head+uint32(i))%ringSize]
			sum[i] += int32(*sample)
			*sample = 0
		}
		e.head += uint32(n)
		e.plays, e.waited = true, 0
		return true
	}
	return false
}
