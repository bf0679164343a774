package call

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// ErrFormat is the root of every error about bytes that are not an entry or a record.
var ErrFormat = errors.New("not a journal line")

// line is an entry as it is stored: one JSON object a line, its keys in this order. Data is an Event, or its JSON.
type line[Data any] struct {
	Of    ID        `json:"of"`
	N     uint32    `json:"n"`
	At    time.Time `json:"at"`
	Event string    `json:"event"`
	Data  Data      `json:"data"`
}

// AppendEntry appends the entry to b as one JSON line with its newline. These are the bytes that are hashed: they are
// stored as they stand and never made again from a decoded entry. Text that is not UTF-8 is stored with U+FFFD.
func AppendEntry(b []byte, e Entry) ([]byte, error) {
	name, err := eventName(e.Event)
	if err != nil {
		return b, err
	}
	out, err := appendLine(b, line[Event]{Of: e.Of, N: e.N, At: e.At.Round(0).UTC(), Event: name, Data: e.Event})
	if err != nil {
		return b, fmt.Errorf("entry %s %d: %w", e.Of, e.N, err)
	}
	return out, nil
}

// ParseEntry reads one line that AppendEntry wrote, with or without its newline. The error wraps ErrFormat; an unknown
// event is an error: a newer version wrote it.
func ParseEntry(b []byte) (Entry, error) {
	var l line[json.RawMessage]
	if err := json.Unmarshal(b, &l); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	ev, err := parseEvent(l.Event, l.Data)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: entry %s %d: %w", ErrFormat, l.Of, l.N, err)
	}
	return Entry{Of: l.Of, N: l.N, At: l.At.UTC(), Event: ev}, nil
}

// AppendRecord appends the record to b as one JSON line with its newline: the first line of a sealed body.
func AppendRecord(b []byte, r Record) ([]byte, error) {
	out, err := appendLine(b, r)
	if err != nil {
		return b, fmt.Errorf("record %s: %w", r.Of, err)
	}
	return out, nil
}

// ParseRecord reads the record of a sealed body, its first line. The error wraps ErrFormat.
func ParseRecord(body []byte) (Record, error) {
	first, _, ok := bytes.Cut(body, []byte{'\n'})
	if !ok {
		return Record{}, fmt.Errorf("%w: a body has at least two lines", ErrFormat)
	}
	var r Record
	if err := json.Unmarshal(first, &r); err != nil {
		return Record{}, fmt.Errorf("%w: record: %w", ErrFormat, err)
	}
	return r, nil
}

// ParseBody splits a sealed body into its record and its entries. The error wraps ErrFormat.
func ParseBody(body []byte) (Record, []Entry, error) {
	r, err := ParseRecord(body)
	if err != nil {
		return Record{}, nil, err
	}
	_, rest, _ := bytes.Cut(body, []byte{'\n'})
	var es []Entry
	for l := range lines(rest) {
		e, err := ParseEntry(l)
		if err != nil {
			return r, es, err
		}
		es = append(es, e)
	}
	return r, es, nil
}

func lines(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			l, rest, _ := bytes.Cut(b, []byte{'\n'})
			if !yield(l) {
				return
			}
			b = rest
		}
	}
}

// appendLine appends v as a line of JSON without the escapes that only HTML needs: an auditor reads these bytes.
func appendLine(b []byte, v any) ([]byte, error) {
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return out.Bytes(), err
}

// eventName is the event's word in the journal: part of the stored format.
func eventName(ev Event) (string, error) {
	switch ev.(type) {
	case Arrived:
		return "arrived", nil
	case Scored:
		return "scored", nil
	case Queued:
		return "queued", nil
	case Offered:
		return "offered", nil
	case Rang:
		return "rang", nil
	case Answered:
		return "answered", nil
	case RoleSet:
		return "role", nil
	case Heard:
		return "heard", nil
	case Left:
		return "left", nil
	case Restored:
		return "restored", nil
	case Ended:
		return "ended", nil
	case Classified:
		return "classified", nil
	case TakerChanged:
		return "taker", nil
	case Acted:
		return "acted", nil
	}
	return "", fmt.Errorf("event %T has no name in the journal", ev)
}

func parseEvent(name string, data []byte) (Event, error) {
	switch name {
	case "arrived":
		return decode[Arrived](data)
	case "scored":
		return decode[Scored](data)
	case "queued":
		return decode[Queued](data)
	case "offered":
		return decode[Offered](data)
	case "rang":
		return decode[Rang](data)
	case "answered":
		return decode[Answered](data)
	case "role":
		return decode[RoleSet](data)
	case "heard":
		return decode[Heard](data)
	case "left":
		return decode[Left](data)
	case "restored":
		return decode[Restored](data)
	case "ended":
		return decode[Ended](data)
	case "classified":
		return decode[Classified](data)
	case "taker":
		return decode[TakerChanged](data)
	case "acted":
		return decode[Acted](data)
	}
	return nil, fmt.Errorf("event %q is not known here", name)
}

func decode[E Event](data []byte) (Event, error) {
	var e E
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	return e, nil
}
