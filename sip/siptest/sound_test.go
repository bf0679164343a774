package siptest_test

import (
	"testing"

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
