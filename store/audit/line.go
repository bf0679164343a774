package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/siaga112/siaga112/call"
)

// recordLine is a line of records.jsonl.
type recordLine struct {
	Seq    uint64  `json:"seq"`
	Leaf   string  `json:"leaf"`            // hex
	Nonce  string  `json:"nonce,omitempty"` // hex
	Body   *string `json:"body,omitempty"`
	Erased bool    `json:"erased,omitempty"`
}

func appendRecordLine(b []byte, p call.Sealed) ([]byte, error) {
	l := recordLine{Seq: p.Seq, Leaf: hex.EncodeToString(p.Leaf[:]), Erased: len(p.Body) == 0}
	if !l.Erased {
		l.Nonce, l.Body = hex.EncodeToString(p.Nonce[:]), new(string(p.Body))
	}
	var w strings.Builder
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return b, err
	}
	return append(b, w.String()...), nil
}

// parseRecordLine reads a line. Of is as the body says, "" for an erased record. The result shares nothing with the line.
func parseRecordLine(line []byte) (call.Sealed, error) {
	if p, ok := cutRecordLine(line); ok {
		return withSubject(p)
	}
	var l recordLine
	var p call.Sealed
	if err := json.Unmarshal(line, &l); err != nil {
		return p, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	p.Seq = l.Seq
	var ok bool
	if p.Leaf, ok = parseHex(l.Leaf); !ok {
		return p, fmt.Errorf("%w: leaf %q", ErrFormat, l.Leaf)
	}
	switch {
	case l.Erased && (l.Body != nil || l.Nonce != ""):
		return p, fmt.Errorf("%w: it is erased and has a body", ErrFormat)
	case l.Erased:
		return p, nil
	case l.Body == nil || *l.Body == "":
		return p, fmt.Errorf("%w: it has no body and is not erased", ErrFormat)
	}
	if p.Nonce, ok = parseHex(l.Nonce); !ok {
		return p, fmt.Errorf("%w: nonce %q", ErrFormat, l.Nonce)
	}
	p.Body = []byte(*l.Body)
	return withSubject(p)
}

func withSubject(p call.Sealed) (call.Sealed, error) {
	id, ok := BodyOf(p.Body)
	if !ok {
		return p, fmt.Errorf("%w: its subject cannot be read", ErrFormat)
	}
	p.Of = call.ID(id)
	return p, nil
}

// cutRecordLine reads a line that is exactly as appendRecordLine writes it, but for rare escapes: several times as fast as
// JSON is. ok is false for every other line.
func cutRecordLine(line []byte) (p call.Sealed, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	if !ok {
		return p, false
	}
	seq, rest, _ := bytes.Cut(rest, []byte(`,"leaf":"`))
	leaf, rest, _ := bytes.Cut(rest, []byte(`","nonce":"`))
	nonce, rest, _ := bytes.Cut(rest, []byte(`","body":"`))
	text, ok := bytes.CutSuffix(rest, []byte("\"}\n"))
	if !ok {
		return p, false
	}
	var err error
	if p.Seq, err = strconv.ParseUint(string(seq), 10, 64); err != nil || len(seq) > 1 && seq[0] == '0' {
		return p, false
	}
	var okLeaf, okNonce bool
	p.Leaf, okLeaf = parseHex(string(leaf))
	p.Nonce, okNonce = parseHex(string(nonce))
	p.Body, ok = unquote(text)
	return p, ok && okLeaf && okNonce && len(p.Body) > 0
}

// unquote reads the inside of a JSON string; ok is false where there is more to it than \" \\ and \n.
func unquote(text []byte) (b []byte, ok bool) {
	b = make([]byte, 0, len(text))
	for len(text) > 0 {
		plain, rest, escaped := bytes.Cut(text, []byte{'\\'})
		if bytes.ContainsAny(plain, "\"\n") {
			return nil, false
		}
		b = append(b, plain...)
		if !escaped {
			break
		}
		if len(rest) == 0 {
			return nil, false
		}
		switch rest[0] {
		case '"', '\\':
			b = append(b, rest[0])
		case 'n':
			b = append(b, '\n')
		default:
			return nil, false
		}
		text = rest[1:]
	}
	return b, utf8Plain(b)
}

// utf8Plain tells that JSON would keep the bytes as they are.
func utf8Plain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\n' {
			return false
		}
	}
	return utf8.Valid(b)
}
