package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrFormat is the root of every error about text that is no checkpoint, proof or bundle.
var ErrFormat = errors.New("not in the format")

// Why a checkpoint was made.
const (
	WhyMinute = "minute" // a minute with something new was over
	WhyExport = "export" // records leave the house
	WhyAsked  = "asked"  // somebody wanted one
)

// Checkpoint is the head of the ledger's tree at one moment.
type Checkpoint struct {
	Origin  string // which ledger: OriginOf(node)
	Size    uint64 // records in the tree
	Root    tlog.Hash
	Time    time.Time // UTC, whole seconds
	Arrived uint64    // calls
	Ended   uint64    // calls with a sealed record among the Size first records
	Why     string    // one of the words above
}

// OriginOf is the name of a node's ledger and of its key.
func OriginOf(node string) string { return "siaga112/" + node }

// Text is what is signed, in six lines, as docs/audit.md says.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\ntime %s\ncalls %d arrived %d ended\nwhy %s\n",
		c.Origin, c.Size, c.Root, c.Time.UTC().Format(time.RFC3339), c.Arrived, c.Ended, c.Why)
}

// Sign is the checkpoint as a signed note.
func (c Checkpoint) Sign(key note.Signer) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: c.Text()}, key)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return b, nil
}

// OpenCheckpoint reads a signed checkpoint and verifies its signature. The error wraps ErrFormat, or is note's own where
// the signature is missing or wrong.
func OpenCheckpoint(b []byte, key note.Verifier) (Checkpoint, error) {
	text, err := open(b, key)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return parseCheckpoint(text)
}

// PeekCheckpoint reads a signed checkpoint whose signature it does not verify: for one's own. The error wraps ErrFormat.
func PeekCheckpoint(signed []byte) (Checkpoint, error) {
	text, _, _ := strings.Cut(string(signed), "\n\n")
	return parseCheckpoint(text + "\n")
}

// parseCheckpoint reads the text of a checkpoint; only what Text writes passes.
func parseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) != 7 {
		return c, fmt.Errorf("checkpoint: %w: it has %d lines, want 6", ErrFormat, len(lines)-1)
	}
	c.Origin = lines[0]
	var ok bool
	if c.Size, ok = number(lines[1]); !ok {
		return c, fmt.Errorf("checkpoint: %w: size %q", ErrFormat, lines[1])
	}
	var err error
	if c.Root, err = parseHash(lines[2]); err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	at, _ := strings.CutPrefix(lines[3], "time ")
	if c.Time, err = time.Parse(time.RFC3339, at); err != nil {
		return c, fmt.Errorf("checkpoint: %w: %w", ErrFormat, err)
	}
	if words := strings.Split(lines[4], " "); len(words) == 5 {
		c.Arrived, _ = number(words[1])
		c.Ended, _ = number(words[3])
	}
	c.Why, _ = strings.CutPrefix(lines[5], "why ")
	if c.Text() != text {
		return c, fmt.Errorf("checkpoint: %w: one of its lines is not as this program writes it", ErrFormat)
	}
	return c, nil
}

func parseHash(s string) (h tlog.Hash, err error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != tlog.HashSize || base64.StdEncoding.EncodeToString(b) != s {
		return h, fmt.Errorf("%w: hash %q", ErrFormat, s)
	}
	return tlog.Hash(b), nil
}

// NewKey makes an Ed25519 key for a ledger. secret is note's form of it; only the ledger's owner may ever have it.
func NewKey(origin string) (secret string, err error) {
	secret, _, err = note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", fmt.Errorf("make the key of the checkpoints: %w", err)
	}
	return secret, nil
}

// PublicKey is the verifier's key of a secret one, in note's form: "NAME+HASH+BASE64".
func PublicKey(secret string) (string, error) {
	s, err := note.NewSigner(secret)
	if err != nil {
		return "", fmt.Errorf("the key of the checkpoints: %w", err)
	}
	// note has no way from a signer to its verifier: the secret's last part is the algorithm and the seed.
	parts := strings.SplitN(secret, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil {
		return "", fmt.Errorf("the key of the checkpoints: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed[1:]) // NewSigner has looked at its length
	return note.NewEd25519VerifierKey(s.Name(), private.Public().(ed25519.PublicKey))
}

// OpenKey reads a verifier's key as PublicKey prints it.
func OpenKey(text string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("key %q: %w: want one line as siaga112 cdr key prints it", strings.TrimSpace(text), err)
	}
	return v, nil
}

// open verifies a note that has been signed by the key, and perhaps by others. Bytes that mean nothing are a fault: each
// signature is written in the one way that there is.
func open(b []byte, key note.Verifier) (text string, err error) {
	n, err := note.Open(b, note.VerifierList(key))
	if err != nil {
		return "", err
	}
	_, tail, _ := strings.Cut(string(b)[len(n.Text):], "\n")
	for line := range strings.Lines(tail) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		raw, err := base64.StdEncoding.DecodeString(words[len(words)-1])
		if err != nil || len(words) != 3 || base64.StdEncoding.EncodeToString(raw) != words[2] {
			return "", fmt.Errorf("%w: signature %q", ErrFormat, line)
		}
	}
	// note.Open drops a second signature by the same key: there is one of each key.
	if strings.Count(tail, "\n") != len(n.Sigs)+len(n.UnverifiedSigs) {
		return "", fmt.Errorf("%w: a signature stands there twice", ErrFormat)
	}
	return n.Text, nil
}
