package media

import (
	"time"

	"github.com/pion/rtp"
)

// maxBehind is how many frames a player that was not scheduled in time sends at once; it leaves out the rest.
const maxBehind = 5

// player is a prompt at work on a stream, in a goroutine of its own.
type player struct {
	s     *Stream
	sound string
	done  chan struct{} // closed by Stream.stop

	at  int // where in the sound
	p   rtp.Packet
	out [headerSize + frameSamples]byte
}

func newPlayer(s *Stream, p *Prompt) *player {
	return &player{s: s, sound: p.sound, done: make(chan struct{})}
}

// run sends a frame every 20 ms. Frames are counted from the start, so that ticks that come late do not add up.
func (y *player) run() {
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	y.p.Payload = make([]byte, frameSamples)
	start, sent := time.Now(), 0
	for {
		due := int(time.Since(start)/frame) + 1
		if late := due - sent - maxBehind; late > 0 {
			sent += late
			y.p.Timestamp += uint32(late * frameSamples)
		}
		for ; sent < due; sent++ {
			y.send()
		}
		select {
		case <-ticker.C:
		case <-y.done:
			return
		}
	}
}

// send is one frame. The place in the sound stays if it cannot be sent; time goes on.
func (y *player) send() {
	copy(y.p.Payload, y.sound[y.at:])
	if n, to := y.s.compose(source{player: y}, &y.p, alaw, y.out[:], time.Now()); n > 0 {
		_ = y.s.wire.write(y.out[:n], to)
		y.at = (y.at + frameSamples) % len(y.sound)
		y.p.SequenceNumber++
	}
	y.p.Timestamp += frameSamples
}
