package media_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/sip/media"
)

// clip is a built-in prompt as it stands in the repository.
func clip(tb testing.TB, name string) []byte {
	tb.Helper()
	file := "prompts/id/" + name + ".al"
	if name == "waiting" || name == "music" {
		file = "prompts/" + name + ".al"
	}
	sound, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return sound
}

func TestNames(t *testing.T) {
	want := strings.Fields(`waiting music emergency complaint information prank silent wrong-number disconnected test
		paused ready wrap-up status waiting-calls many no-call unknown-code`)
	for n := range 21 {
		want = append(want, fmt.Sprintf("number-%d", n))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, media.NewLibrary(nil, nil).Names()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestClips looks at how the built-in prompts sound: loud enough, none much louder than another, and none long.
func TestClips(t *testing.T) {
	var size int
	for _, name := range media.NewLibrary(nil, nil).Names() {
		sound := clip(t, name)
		p := media.NewLibrary(nil, nil).Prompt(name)
		if got := p.Duration(); got != time.Duration(len(sound))*time.Second/8000 || len(sound)%160 != 0 {
			t.Errorf("%s: %v of %d samples, which must be whole frames", name, got, len(sound))
		}
		shortest, longest := 400*time.Millisecond, 3*time.Second
		switch name {
		case "waiting", "music":
			longest = 30 * time.Second
		default:
			size += len(sound)
		}
		if d := p.Duration(); d < shortest || d > longest {
			t.Errorf("%s lasts %v", name, d)
		}
		level, peak, speaks := loudness(sound)
		if level < -26 || level > -20 || peak > -0.5 || speaks < 300*time.Millisecond {
			t.Errorf("%s: %.1f dB, its peak at %.1f dB, sound for %v", name, level, peak, speaks)
		}
	}
	if size > 400_000 || len(clip(t, "music")) > 250_000 {
		t.Errorf("%d bytes of clips", size)
	}
}

// loudness is the level in dB of full scale, without silent frames, the highest sample's, and for how long it is not
// silent.
func loudness(sound []byte) (level, peak float64, speaks time.Duration) {
	const silent = 100 * 100
	var sum, highest float64
	var n int
	for frame := range slices.Chunk(sound, 160) {
		var power float64
		for _, b := range frame {
			v := float64(g711.DecodeAlawFrame(b))
			power, highest = power+v*v, max(highest, math.Abs(v))
		}
		if power/160 > silent {
			sum, n = sum+power, n+1
		}
	}
	return 10 * math.Log10(sum/float64(160*max(n, 1))/(1<<30)), 20 * math.Log10(highest/(1<<15)), time.Duration(n) * 20 * time.Millisecond
}

// TestMusicIsSeamless: where it begins again nothing jumps, and it is never silent.
func TestMusicIsSeamless(t *testing.T) {
	sound := clip(t, "music")
	var steepest int
	for i := 1; i < len(sound); i++ {
		steepest = max(steepest, step(sound[i-1], sound[i]))
	}
	if seam := step(sound[len(sound)-1], sound[0]); seam > steepest/2 {
		t.Errorf("it jumps by %d; the steepest step in it is %d", seam, steepest)
	}
	for i := 0; i < len(sound); i += 8000 {
		if level, _, _ := loudness(sound[i:][:8000]); level < -30 || level > -18 {
			t.Errorf("second %d has a level of %.1f dB", i/8000, level)
		}
	}
}

func step(a, b byte) int {
	return max(int(g711.DecodeAlawFrame(a))-int(g711.DecodeAlawFrame(b)), int(g711.DecodeAlawFrame(b))-int(g711.DecodeAlawFrame(a)))
}

func TestLibrary(t *testing.T) {
	own := slice(480)
	l := media.NewLibrary(written(t, "own.al", own), nil)
	for _, tc := range []struct {
		words string
		want  []byte // nil: no prompt
		loops bool
	}{
		{"waiting", own, true},
		{"music", clip(t, "music"), true},
		{"emergency", clip(t, "emergency"), false},
		{" number-12 ", clip(t, "number-12"), false},
		{"ready  number-3 waiting-calls", slices.Concat(clip(t, "ready"), clip(t, "number-3"), clip(t, "waiting-calls")), false},
		{"waiting", own, true},
		{"waiting status waiting", slices.Concat(own, clip(t, "status"), own), false},
		{"", nil, false},
		{" ", nil, false},
		{"nonsense", nil, false},
		{"ready nonsense", nil, false},
		{"READY", nil, false},
		{"../waiting", nil, false},
		{"id/ready", nil, false},
		{"ready.al", nil, false},
	} {
		t.Run(tc.words, func(t *testing.T) {
			p := l.Prompt(tc.words)
			if p == nil || tc.want == nil {
				if p != nil || tc.want != nil {
					t.Fatalf("a prompt: %v", p != nil)
				}
				return
			}
			if got, want := p.Duration(), time.Duration(len(tc.want))*time.Second/8000; got != want {
				t.Errorf("it lasts %v instead of %v", got, want)
			}
			if diff := cmp.Diff(tc.want, played(t, p)); diff != "" {
				t.Errorf("-want +played\n%s", diff)
			}
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(true)
				s, peer := leg(t, m, newPorts(m), "10.0.0.1:4000", pcma, nil)
				s.Play(p, nil)
				time.Sleep(p.Duration() + 90*time.Millisecond)
				frames := int(p.Duration() / (20 * time.Millisecond))
				if got := len(peer.got(t)); got != frames && !tc.loops || got != frames+5 && tc.loops {
					t.Errorf("%d of %d frames, looped: %v", got, frames, tc.loops)
				}
			})
		})
	}
}

// TestLibraryOfOthers takes whatever prompts it is given as loops.
func TestLibraryOfOthers(t *testing.T) {
	clip := media.NewLibrary(nil, nil).Prompt("status")
	l := media.NewLibrary(&media.Prompt{}, clip)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		s, peer := leg(t, m, newPorts(m), "10.0.0.1:4000", pcma, nil)
		s.Play(l.Prompt("waiting"), nil) // without sound
		time.Sleep(time.Second)
		if got := peer.got(t); len(got) > 0 {
			t.Errorf("%d frames of nothing", len(got))
		}
		s.Play(l.Prompt("music"), func() { t.Error("a loop is over") })
		time.Sleep(3*time.Second - time.Millisecond)
		if got := len(peer.got(t)); got != 150 {
			t.Errorf("%d frames in 3 s", got)
		}
	})
}
