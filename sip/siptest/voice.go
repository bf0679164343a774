package siptest

import (
	"math"

	"github.com/zaf/g711"
)

// Voice is what somebody sounds like: a chord of two tones that survives G.711 in both laws. Numbers from 1 to Voices
// are people; each phone gets one of its own, so that whoever hears it knows who speaks. Above them are several people
// who speak at once: Mix.
type Voice int64

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

// mixed marks a Voice whose other bits are tones, the lowest one first.
const mixed Voice = 1 << 62

// Mix is what is heard when these people speak at the same time. They are told apart as long as no two share a tone:
// Apart gives such voices.
func Mix(people ...Voice) Voice {
	if len(people) == 1 {
		return people[0]
	}
	all := mixed
	for _, v := range people {
		all |= v.tones()
	}
	return all
}

// tones are the bits of a voice in a mix.
func (v Voice) tones() Voice {
	if v >= mixed {
		return v &^ mixed
	}
	low, high := v.chord()
	return 1<<(low-lowest) | 1<<(high-lowest)
}

// In tells whether somebody is heard in a mix.
func (v Voice) In(mix Voice) bool { return v > 0 && mix > mixed && v.tones()&^mix == 0 }

// Apart is the nth voice, from 0: the first 24 share no tone, and are told apart when they speak at once.
func Apart(n int) Voice {
	const most = tones / 2
	if n < most {
		return voiceOf(lowest+n, lowest+most+n)
	}
	v := Voice(1)
	for n -= most; v.mirrored() || n > 0; v++ {
		if !v.mirrored() {
			n--
		}
	}
	return v
}

// mirrored tells whether the voice is one of the first of Apart.
func (v Voice) mirrored() bool {
	low, high := v.chord()
	return high-low == tones/2
}

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

// loudest finds the tones that hold nearly all the energy: two of one voice, or as many pairs as there are people.
func loudest(x *[samples]float64, energy float64) Voice {
	var low, high, count int
	sum, most := 0.0, 0.0
	all := mixed
	for k := lowest; k <= highest; k++ {
		share := goertzel(x, k) / energy
		if share < faintest {
			continue
		}
		if count == 0 {
			low = k
		}
		high, count, sum, most = k, count+1, sum+share, max(most, share)
		all |= 1 << (k - lowest)
	}
	switch {
	case sum < 0.9 || count%2 != 0:
		return Prompt
	case count == 2 && sum-most >= 0.3:
		return voiceOf(low, high)
	case count > 2 && count <= 2*mostAtOnce:
		return all
	}
	return Prompt
}

const (
	faintest   = 0.04 // share of the energy above which a tone is heard
	mostAtOnce = 4    // people who are told apart
)

// goertzel is the energy of the tone of k periods in x.
func goertzel(x *[samples]float64, k int) float64 {
	c := 2 * math.Cos(2*math.Pi*float64(k)/samples)
	var s1, s2 float64
	for _, v := range x {
		s1, s2 = v+c*s1-s2, s1
	}
	return (s1*s1 + s2*s2 - c*s1*s2) * 2 / samples
}
