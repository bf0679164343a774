package media

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zaf/g711"
)

// waiting holds whole frames.
//
//go:embed prompts/waiting.al
var waiting string

const (
	quiet      = 0xd5 // a sample of silence, A-law
	maxPrompt  = 10 * time.Minute
	maxSamples = int(maxPrompt / sample)
)

// wanted ends the errors of ReadPrompt.
const wanted = "want raw A-law (.al .alaw .pcma) or WAV, 8000 Hz, mono, A-law, mu-law or 16-bit PCM"

// Prompt is a sound that streams play; it never changes.
type Prompt struct {
	sound string // A-law, whole frames
	loop  bool   // over and over; never without sound
}

// Announcement is the built-in waiting announcement, in Indonesian; prompts/README.md says how it was made.
func Announcement() *Prompt { return &Prompt{sound: waiting, loop: true} }

// Duration is the length of the prompt, played once.
func (p *Prompt) Duration() time.Duration { return time.Duration(len(p.sound)) * sample }

// newPrompt fills the last frame with silence.
func newPrompt(sound []byte) *Prompt {
	for len(sound)%frameSamples != 0 {
		sound = append(sound, quiet)
	}
	return &Prompt{sound: string(sound), loop: true}
}

// ReadPrompt reads a sound file of ten minutes at most: raw A-law, or a WAV file of 8,000 Hz mono in A-law, mu-law or
// 16-bit PCM. The prompt is played over and over. Its error names the file, what is wrong, and what would be right.
func ReadPrompt(file string) (*Prompt, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("prompt: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, int64(2*maxSamples+1<<16)))
	if err != nil {
		return nil, fmt.Errorf("prompt: %w", err)
	}
	sound := data
	if strings.HasPrefix(string(data), "RIFF") {
		sound, err = readWAV(data)
	} else if !slices.Contains([]string{".al", ".alaw", ".pcma"}, strings.ToLower(filepath.Ext(file))) {
		err = errors.New("neither WAV nor, by its name, raw A-law")
	}
	switch {
	case err != nil:
	case len(sound) == 0:
		err = errors.New("holds no sound")
	case len(sound) > maxSamples:
		err = fmt.Errorf("is longer than %v", maxPrompt)
	}
	if err != nil {
		return nil, fmt.Errorf("prompt %s: %w; %s", file, err, wanted)
	}
	return newPrompt(sound), nil
}

// The formats of a WAV file.
const (
	wavPCM        = 1
	wavALaw       = 6
	wavMuLaw      = 7
	wavExtensible = 0xfffe // the format proper stands in the extension
)

// readWAV is the sound of a WAV file, as A-law. A file that was cut short, or whose header was written before its
// length was known, is read as far as it goes.
func readWAV(data []byte) ([]byte, error) {
	if len(data) < 12 || string(data[8:12]) != "WAVE" {
		return nil, errors.New("is no WAV file")
	}
	var format []byte
	for rest := data[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		chunk := rest[:min(size, len(rest))]
		rest = rest[min(size+size%2, len(rest)):]
		switch name {
		case "fmt ":
			format = chunk
		case "data":
			return decodeWAV(format, chunk)
		}
	}
	return nil, errors.New("is a WAV file without sound")
}

func decodeWAV(format, data []byte) ([]byte, error) {
	if len(format) < 16 {
		return nil, errors.New("is a WAV file without a format")
	}
	le := binary.LittleEndian
	code, channels, rate, bits := le.Uint16(format), le.Uint16(format[2:]), le.Uint32(format[4:]), le.Uint16(format[14:])
	if code == wavExtensible && len(format) >= 26 {
		code = le.Uint16(format[24:])
	}
	if channels != 1 || rate != 8000 {
		return nil, fmt.Errorf("has %d Hz and %d channels", rate, channels)
	}
	switch {
	case code == wavPCM && bits == 16:
		return g711.EncodeAlaw(data), nil
	case code == wavALaw && bits == 8:
		return slices.Clone(data), nil
	case code == wavMuLaw && bits == 8:
		return g711.Ulaw2Alaw(data), nil
	}
	return nil, fmt.Errorf("has format %d of %d bits", code, bits)
}
