package media_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/sip/media"
)

// announced is the built-in announcement as it stands in the repository.
func announced(tb testing.TB) []byte {
	tb.Helper()
	sound, err := os.ReadFile("prompts/waiting.al")
	if err != nil {
		tb.Fatal(err)
	}
	return sound
}

func TestAnnouncement(t *testing.T) {
	sound := announced(t)
	if len(sound)%160 != 0 || len(sound) > 200_000 {
		t.Errorf("%d bytes: neither small nor whole frames", len(sound))
	}
	if got, want := media.Announcement().Duration(), 11400*time.Millisecond; got != want {
		t.Errorf("it lasts %v, want %v", got, want)
	}
	var peak int
	for _, b := range sound {
		peak = max(peak, int(g711.DecodeAlawFrame(b)))
	}
	if peak < 1<<14 {
		t.Errorf("its peak is %d of 32768: too low to be understood", peak)
	}
	for i, b := range sound[len(sound)-2*8000:] {
		if v := g711.DecodeAlawFrame(b); v > 64 || v < -64 {
			t.Fatalf("not silent %d samples into the last 2 s: %d", i, v)
		}
	}
}

// TestPlay listens to a prompt of three frames and a half.
func TestPlay(t *testing.T) {
	sound := slice(560)
	prompt := written(t, "short.al", sound)
	loop := append(bytes.Clone(sound), bytes.Repeat([]byte{0xd5}, 80)...)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		s, p := leg(t, m, newPorts(m), "10.0.0.1:4000", media.Format{Codec: media.PCMU}, nil)
		s.Play(prompt, nil)
		time.Sleep(50 * time.Millisecond)
		s.Play(written(t, "the same.al", sound), nil) // plays already: goes on
		time.Sleep(110*time.Millisecond + time.Millisecond)
		s.Play(nil, nil)
		s.Play(nil, nil)
		time.Sleep(time.Second)
		got := p.got(t)
		wantContinuous(t, got)
		if len(got) != 9 {
			t.Fatalf("%d frames in 160 ms", len(got))
		}
		var heard []byte
		for i, pkt := range got {
			heard = append(heard, pkt.Payload...)
			if pkt.Marker != (i == 0) || pkt.PayloadType != 0 || i > 0 && pkt.Timestamp-got[i-1].Timestamp != 160 {
				t.Errorf("frame %d: %v", i, pkt)
			}
		}
		want := g711.Alaw2Ulaw(append(append(bytes.Clone(loop), loop...), loop[:160]...))
		if !bytes.Equal(want, heard) {
			t.Error("not the prompt over and over")
		}
		s.Play(prompt, nil)
		synctest.Wait()
		if got := p.got(t); len(got) != 1 || !bytes.Equal(got[0].Payload, want[:160]) || !got[0].Marker {
			t.Errorf("played again it does not begin anew: %v", got)
		}
		s.Play(media.Announcement(), nil)
		synctest.Wait()
		if got := p.got(t); len(got) != 1 || !bytes.Equal(got[0].Payload, g711.Alaw2Ulaw(announced(t)[:160])) {
			t.Errorf("another prompt does not begin at once: %v", got)
		}
	})
}

// TestPlayWaits holds the peer amid a prompt: it goes on where it was, later by the time of the hold.
func TestPlayWaits(t *testing.T) {
	sound := slice(1600)
	prompt := written(t, "a.al", sound)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		s, p := leg(t, m, newPorts(m), "10.0.0.1:4000", pcma, nil)
		s.Play(prompt, nil)
		time.Sleep(30 * time.Millisecond)
		s.Set(pcma, netip.AddrPort{})
		time.Sleep(time.Second)
		s.Set(pcma, p.conn.addr)
		time.Sleep(20 * time.Millisecond)
		got := p.got(t)
		wantContinuous(t, got)
		if diff := cmp.Diff([]uint32{160, 8160}, steps(got)); diff != "" {
			t.Errorf("timestamps: -want +got\n%s", diff)
		}
		if len(got) == 3 && !bytes.Equal(got[2].Payload, sound[320:480]) {
			t.Error("after the hold it is not where it was")
		}
	})
}

func slice(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// written is a prompt read from a file of that name and content.
func written(tb testing.TB, name string, content []byte) *media.Prompt {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	p, err := media.ReadPrompt(file)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// wav is a WAV file.
func wav(code, channels uint16, rate uint32, bits uint16, data []byte, chunks ...string) []byte {
	le := binary.LittleEndian
	body := []byte("WAVE")
	for _, name := range chunks {
		body = append(append(body, name...), 3, 0, 0, 0, 1, 2, 3, 0) // of odd length, and its padding
	}
	size := uint32(16)
	if code == 0xfffe {
		size = 40
	}
	body = le.AppendUint32(append(body, "fmt "...), size)
	body = le.AppendUint16(le.AppendUint16(body, code), channels)
	body = le.AppendUint32(le.AppendUint32(body, rate), rate*uint32(channels)*uint32(bits)/8)
	body = le.AppendUint16(le.AppendUint16(body, channels*bits/8), bits)
	if code == 0xfffe {
		body = append(body, 22, 0, byte(bits), 0, 4, 0, 0, 0, 1, 0)
		body = append(body, "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...)
	}
	body = le.AppendUint32(append(body, "data"...), uint32(len(data)))
	body = append(body, data...)
	return append(le.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// played is what a stream plays of a prompt, as A-law.
func played(t *testing.T, p *media.Prompt) []byte {
	t.Helper()
	var sound []byte
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		s, peer := leg(t, m, newPorts(m), "10.0.0.1:4000", pcma, nil)
		s.Play(p, nil)
		time.Sleep(p.Duration() - time.Millisecond)
		s.Play(nil, nil)
		for _, pkt := range peer.got(t) {
			sound = append(sound, pkt.Payload...)
		}
	})
	return sound
}

func TestReadPrompt(t *testing.T) {
	sound := slice(1600)
	linear := g711.DecodeAlaw(sound)
	streamed := wav(6, 1, 8000, 8, sound)
	binary.LittleEndian.PutUint32(streamed[40:], 0xffffffff)
	for name, content := range map[string][]byte{
		"raw.al": sound, "raw.ALAW": sound, "raw.pcma": sound,
		"alaw.wav":       wav(6, 1, 8000, 8, sound),
		"mulaw.wav":      wav(7, 1, 8000, 8, sound),
		"linear.wav":     wav(1, 1, 8000, 16, linear),
		"extensible.wav": wav(0xfffe, 1, 8000, 16, linear),
		"chunks.wav":     wav(1, 1, 8000, 16, linear, "LIST", "fact"),
		"streamed.wav":   streamed,
		"misnamed.al":    wav(6, 1, 8000, 8, sound),
	} {
		t.Run(name, func(t *testing.T) {
			want := sound
			if name == "mulaw.wav" {
				want = g711.Ulaw2Alaw(sound)
			}
			got := played(t, written(t, name, content))
			if name == "linear.wav" || name == "extensible.wav" || name == "chunks.wav" {
				got, want = g711.DecodeAlaw(got), g711.DecodeAlaw(want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +played\n%s", diff)
			}
		})
	}
}

func TestReadPromptRefuses(t *testing.T) {
	good := wav(1, 1, 8000, 16, slice(320))
	for _, tc := range []struct {
		file    string
		content []byte
		want    string
	}{
		{"music.mp3", slice(100), "neither WAV nor"},
		{"fake.wav", slice(100), "neither WAV nor"},
		{"empty.al", nil, "holds no sound"},
		{"empty.wav", wav(1, 1, 8000, 16, nil), "holds no sound"},
		{"long.al", make([]byte, 10*60*8000+1), "longer than 10m0s"},
		{"cd.wav", wav(1, 2, 44100, 16, slice(320)), "44100 Hz and 2 channels"},
		{"wide.wav", wav(1, 1, 16000, 16, slice(320)), "16000 Hz and 1 channels"},
		{"bytes.wav", wav(1, 1, 8000, 8, slice(320)), "format 1 of 8 bits"},
		{"float.wav", wav(3, 1, 8000, 32, slice(320)), "format 3 of 32 bits"},
		{"head.wav", good[:20], "without sound"},
		{"short.wav", good[:9], "no WAV file"},
		{"other.wav", append([]byte("RIFF\x00\x00\x00\x00AVI "), good[12:]...), "no WAV file"},
		{"formless.wav", append([]byte("RIFF\x00\x00\x00\x00WAVEdata\x02\x00\x00\x00"), 1, 2), "without a format"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), tc.file)
			if err := os.WriteFile(file, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := media.ReadPrompt(file)
			if p != nil || err == nil {
				t.Fatalf("%v, %v", p, err)
			}
			for _, part := range []string{file, tc.want, "want raw A-law"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "none.al")
	if _, err := media.ReadPrompt(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := media.ReadPrompt(t.TempDir()); err == nil {
		t.Error("a folder is a prompt")
	}
}
