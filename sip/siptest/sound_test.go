package siptest_test

import (
	"slices"
	"testing"

	"github.com/zaf/g711"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/sip/siptest"
)

// TestVoicesAreToldApart: each voice is recognized, in both laws, and no other.
func TestVoicesAreToldApart(t *testing.T) {
	for v := siptest.Voice(1); v <= siptest.Voices; v++ {
		for _, law := range []uint8{0, 8} {
			if got, ok := siptest.Recognize(law, siptest.Packet(v, law)); !ok || got != v {
				t.Fatalf("voice %d in payload type %d is heard as %d, %t", v, law, got, ok)
			}
		}
	}
}

// TestVoicesAtOnce: up to four people who speak at once are told apart, in both laws, whatever part of a period of the
// others each one is in; nobody else is heard in it.
func TestVoicesAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		who := rapid.SliceOfNDistinct(rapid.IntRange(0, 23), 2, 4, rapid.ID).Draw(t, "who")
		var voices []siptest.Voice
		var packets [][]byte
		for _, n := range who {
			v := siptest.Apart(n)
			shift := rapid.IntRange(0, 159).Draw(t, "shift")
			p := siptest.Packet(v, 8)
			voices = append(voices, v)
			packets = append(packets, append(slices.Clone(p[shift:]), p[:shift]...))
		}
		want := siptest.Mix(voices...)
		for law, packet := range map[uint8][]byte{8: sum(packets...), 0: g711.Alaw2Ulaw(sum(packets...))} {
			if got, ok := siptest.Recognize(law, packet); !ok || got != want {
				t.Fatalf("%v in payload type %d is heard as %x, want %x", who, law, got, want)
			}
		}
		for n := range 24 {
			if got := siptest.Apart(n).In(want); got != slices.Contains(who, n) {
				t.Fatalf("%d in a mix of %v: %t", n, who, got)
			}
		}
	})
}

// TestApart: everybody has another voice, and the first share no tone with each other.
func TestApart(t *testing.T) {
	seen := map[siptest.Voice]int{}
	for n := range 1000 {
		v := siptest.Apart(n)
		if before, ok := seen[v]; ok || v < 1 || v > siptest.Voices {
			t.Fatalf("voice %d of %d is that of %d", v, n, before)
		}
		seen[v] = n
	}
	if got := siptest.Mix(siptest.Apart(3)); got != siptest.Apart(3) {
		t.Errorf("a mix of one is %d", got)
	}
}

func TestNoiseIsAPrompt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 160, 160).Draw(t, "payload")
		if got, ok := siptest.Recognize(8, b); !ok || got > 0 {
			t.Fatalf("noise is heard as %d, %t", got, ok)
		}
	})
}

func TestSilence(t *testing.T) {
	quiet := make([]byte, 160)
	for i := range quiet {
		quiet[i] = 0xD5
	}
	if got, ok := siptest.Recognize(8, quiet); !ok || got != siptest.Nobody {
		t.Errorf("silence is heard as %d, %t", got, ok)
	}
	if _, ok := siptest.Recognize(101, quiet); ok {
		t.Error("a telephone-event is heard as sound")
	}
	if _, ok := siptest.Recognize(8, quiet[:4]); ok {
		t.Error("half a millisecond is heard as sound")
	}
}

func BenchmarkRecognize(b *testing.B) {
	packet := siptest.Packet(77, 8)
	for b.Loop() {
		siptest.Recognize(8, packet)
	}
}
