package media

import "github.com/pion/rtp"

// Mix is a mixer without its clock.
type Mix struct{ m *mixer }

func NewMix(from ...*Stream) *Mix { return &Mix{newMixer(nil, from)} }

func (m *Mix) Put(from *Stream, p *rtp.Packet, c Codec) { m.m.put(source{stream: from}, p, c.kind()) }

func (m *Mix) Next(out []byte) bool {
	sounds, _ := m.m.next(out, PCMA, true)
	return sounds
}
