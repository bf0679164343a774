package call

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
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
	at := e.At.Round(0).UTC()
	if out, ok := writeEntry(b, e, at, name); ok {
		return out, nil
	}
	out, err := appendLine(b, line[Event]{Of: e.Of, N: e.N, At: at, Event: name, Data: e.Event})
	if err != nil {
		return b, fmt.Errorf("entry %s %d: %w", e.Of, e.N, err)
	}
	return out, nil
}

// ParseEntry reads one line that AppendEntry wrote, with or without its newline. The error wraps ErrFormat; an unknown
// event is an error: a newer version wrote it. The strings of the entry share one copy of the line.
func ParseEntry(b []byte) (Entry, error) { return parseEntry(string(b)) }

func parseEntry(s string) (Entry, error) {
	if e, ok := readEntry(s); ok {
		return e, nil
	}
	var l line[json.RawMessage]
	if err := json.Unmarshal([]byte(s), &l); err != nil {
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
	if out, ok := appendValue(recordCodec, slices.Grow(b, recordSize), r); ok {
		return append(out, '\n'), nil
	}
	out, err := appendLine(b, r)
	if err != nil {
		return b, fmt.Errorf("record %s: %w", r.Of, err)
	}
	return out, nil
}

// ParseRecord reads the record of a sealed body, its first line. The error wraps ErrFormat. The strings of the record
// share one copy of the line.
func ParseRecord(body []byte) (Record, error) {
	return parseRecord(string(body[:bytes.IndexByte(body, '\n')+1]))
}

// parseRecord reads a line with its newline.
func parseRecord(s string) (Record, error) {
	if r, rest := cutValue[Record](recordCodec, s); rest == "\n" {
		return r, nil
	}
	return decodeRecord(s)
}

// ReadRecord is ParseRecord of a line with its newline, for those who read many: r is overwritten, and its strings are parts of
// the line. After an error r is zero.
func ReadRecord(r *Record, line string) (err error) {
	*r = Record{}
	if recordCodec.read(line, reflect.ValueOf(r).Elem()) != "\n" {
		*r, err = decodeRecord(line)
	}
	return err
}

func decodeRecord(s string) (r Record, err error) {
	if !strings.HasSuffix(s, "\n") {
		return Record{}, fmt.Errorf("%w: a body has at least two lines", ErrFormat)
	}
	if err := json.Unmarshal([]byte(s), &r); err != nil {
		return Record{}, fmt.Errorf("%w: record: %w", ErrFormat, err)
	}
	return r, nil
}

// ParseBody splits a sealed body into its record and its entries. The error wraps ErrFormat. Their strings share one copy
// of the body.
func ParseBody(body []byte) (Record, []Entry, error) {
	s := string(body)
	end := strings.IndexByte(s, '\n') + 1
	r, err := parseRecord(s[:end])
	if err != nil {
		return Record{}, nil, err
	}
	es := slices.Grow([]Entry(nil), strings.Count(s[end:], "\n"))
	for l := range strings.Lines(s[end:]) {
		e, err := parseEntry(l)
		if err != nil {
			return r, es, err
		}
		es = append(es, e)
	}
	return r, es, nil
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
	c, ok := eventCodecs[name]
	if !ok {
		return nil, fmt.Errorf("event %q is not known here", name)
	}
	v := reflect.New(c.of)
	if err := json.Unmarshal(data, v.Interface()); err != nil {
		return nil, err
	}
	return v.Elem().Interface().(Event), nil //nolint:forcetypeassert // eventCodecs is made of events
}

// eventCodecs are those of all events by their names.
var eventCodecs = func() map[string]*codec {
	codecs := map[string]*codec{}
	for _, ev := range []Event{
		Arrived{},
		Scored{},
		Queued{},
		Offered{},
		Rang{},
		Answered{},
		RoleSet{},
		Heard{},
		Left{},
		Restored{},
		Ended{},
		Classified{},
		TakerChanged{},
		Acted{},
	} {
		name, err := eventName(ev)
		if err != nil {
			panic(err)
		}
		codecs[name] = codecOf(reflect.TypeOf(ev))
	}
	return codecs
}()

var recordCodec = codecOf(reflect.TypeFor[Record]())

// What most entries and records are shorter than.
const entrySize, recordSize = 256, 640

// writeEntry and readEntry are line's form without encoding/json; the limits are those of wire.
func writeEntry(b []byte, e Entry, at time.Time, name string) (_ []byte, ok bool) {
	b = append(slices.Grow(b, entrySize), `{"of":`...)
	if b, ok = appendText(b, string(e.Of)); !ok {
		return nil, false
	}
	b = strconv.AppendUint(append(b, `,"n":`...), uint64(e.N), 10)
	b, err := at.AppendText(append(b, `,"at":"`...))
	b = append(append(append(b, `","event":"`...), name...), `","data":`...)
	b, ok = eventCodecs[name].write(b, reflect.ValueOf(e.Event))
	return append(b, "}\n"...), ok && err == nil
}

func readEntry(in string) (e Entry, ok bool) {
	of, in := cutText(cut(in, `{"of":`))
	n, in := cutUint(cut(in, `,"n":`))
	at, in := cutText(cut(in, `,"at":`))
	name, in := cutText(cut(in, `,"event":`))
	c, known := eventCodecs[name]
	if !known || n > math.MaxUint32 || e.At.UnmarshalText([]byte(at)) != nil {
		return Entry{}, false
	}
	e.Of, e.N, e.At = ID(of), uint32(n), e.At.UTC()
	e.Event, in = cutValue[Event](c, cut(in, `,"data":`))
	return e, in == "}" || in == "}\n"
}
