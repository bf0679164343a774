package call_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
)

// line is an entry as encoding/json stores it, which is the law.
type line[Data any] struct {
	Of    call.ID   `json:"of"`
	N     uint32    `json:"n"`
	At    time.Time `json:"at"`
	Event string    `json:"event"`
	Data  Data      `json:"data"`
}

var eventNames = map[reflect.Type]string{
	reflect.TypeFor[call.Arrived](): "arrived", reflect.TypeFor[call.Scored](): "scored", reflect.TypeFor[call.Queued](): "queued",
	reflect.TypeFor[call.Offered](): "offered", reflect.TypeFor[call.Rang](): "rang", reflect.TypeFor[call.Answered](): "answered",
	reflect.TypeFor[call.RoleSet](): "role", reflect.TypeFor[call.Heard](): "heard", reflect.TypeFor[call.Left](): "left",
	reflect.TypeFor[call.Restored](): "restored", reflect.TypeFor[call.Ended](): "ended", reflect.TypeFor[call.Classified](): "classified",
	reflect.TypeFor[call.TakerChanged](): "taker", reflect.TypeFor[call.Acted](): "acted",
}

func lawfulLine(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return out.Bytes(), err
}

func lawfulEntry(e call.Entry) ([]byte, error) {
	return lawfulLine(line[call.Event]{e.Of, e.N, e.At.Round(0).UTC(), eventNames[reflect.TypeOf(e.Event)], e.Event})
}

func lawfulParse(b []byte) (call.Entry, error) {
	var l line[json.RawMessage]
	if err := json.Unmarshal(b, &l); err != nil {
		return call.Entry{}, err
	}
	for t, name := range eventNames {
		if name == l.Event {
			v := reflect.New(t)
			err := json.Unmarshal(l.Data, v.Interface())
			ev, _ := reflect.TypeAssert[call.Event](v.Elem())
			return call.Entry{Of: l.Of, N: l.N, At: l.At.UTC(), Event: ev}, err
		}
	}
	return call.Entry{}, errors.New("not known")
}

// drawValue fills v with anything that its type can hold, the odd ones often.
func drawValue(t *rapid.T, v reflect.Value) {
	kind := v.Type().String()
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		zone := rapid.SampledFrom([]*time.Location{time.UTC, time.UTC, time.UTC, time.FixedZone("WIB", 7*3600), time.FixedZone("odd", 86400)}).Draw(t, "zone")
		*p = time.Unix(rapid.Int64Range(-62135596801, 253402300801).Draw(t, "unix"), rapid.SampledFrom([]int64{0, 1, 10, 1e6, 999999999}).Draw(t, "ns")).In(zone)
		if rapid.IntRange(0, 3).Draw(t, "zero") == 0 {
			*p = time.Time{}
		}
		return
	case *float64:
		*p = rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), -1, 0.75, 1e-6, 9.9e-7, 1e20, 1e21, math.NaN(), math.Inf(1), math.SmallestNonzeroFloat64, math.MaxFloat64,
		})).Draw(t, kind)
		return
	case *call.Role:
		*p = call.Role(rapid.SampledFrom([]uint8{0, 1, 1, 1, 2, 255}).Draw(t, kind))
		return
	}
	switch v.Kind() { //nolint:exhaustive // the default is the point
	case reflect.Struct:
		for _, f := range v.Fields() {
			drawValue(t, f)
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 2).Draw(t, kind); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			drawValue(t, v.Index(i))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, kind) {
			v.Set(reflect.New(v.Type().Elem()))
			drawValue(t, v.Elem())
		}
	case reflect.String:
		v.SetString(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "Delta Pawan", `"`, `\`, "<&>", "é", "\u2028", "\u2029", "\x7f", "\x00", "\n", "\xff", "\xe2\x80", "�", "😀", "/",
		}), 0, 3).Draw(t, kind), ""))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, kind))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 999)).Draw(t, kind))
	default:
		v.SetUint(rapid.Uint64().Draw(t, kind))
	}
}

func drawEntry(t *rapid.T) call.Entry {
	ev := reflect.New(reflect.TypeOf(rapid.SampledFrom(everything).Draw(t, "event").Event)).Elem()
	drawValue(t, ev)
	var e call.Entry
	drawValue(t, reflect.ValueOf(&e.Of).Elem())
	drawValue(t, reflect.ValueOf(&e.N).Elem())
	drawValue(t, reflect.ValueOf(&e.At).Elem())
	e.Event, _ = reflect.TypeAssert[call.Event](ev)
	return e
}

// same fails if one of them is an error and the other is none, or if they have read another value.
func same[T any](t *rapid.T, what []byte, got, want T, gotErr, wantErr error) {
	t.Helper()
	switch {
	case (gotErr == nil) != (wantErr == nil):
		t.Fatalf("%q: error %v, encoding/json: %v", what, gotErr, wantErr)
	case wantErr == nil && !reflect.DeepEqual(got, want):
		t.Fatalf("%q: %+v, encoding/json: %+v", what, got, want)
	}
}

// damage is b with a byte or two changed: what no AppendEntry wrote, but encoding/json may well read.
func damage(t *rapid.T, b []byte) []byte {
	b = bytes.Clone(b)
	for range rapid.IntRange(0, 2).Draw(t, "hits") {
		i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		with := rapid.SampledFrom([]string{
			"", " ", "\t", "0", "1", "-", ".", "e", "N", "A", "\"", "\\", "\\u0041", "\\n", "{", "}", "[", "]", ",", ":", "null", "\n", "\xff", "\x00", "é",
			`"of":"x",`, `"leg":7,`, `,"why":[]`, `,"note":"x"`, "99999999999999999999",
		}).Draw(t, "with")
		b = append(b[:i:i], append([]byte(with), b[i+rapid.IntRange(0, 1).Draw(t, "over"):]...)...)
		if len(b) == 0 {
			break
		}
	}
	return b
}

// What is written is what encoding/json writes, to the byte and to the error, and what is read is what encoding/json reads.
func TestEntryIsWhatEncodingJSONMakesOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		got, err := call.AppendEntry(nil, e)
		want, wantErr := lawfulEntry(e)
		same(t, want, string(got), string(want), err, wantErr)
		if err != nil {
			if got, _ := call.AppendEntry([]byte("before"), e); string(got) != "before" {
				t.Fatalf("a failed append left %q", got)
			}
			return
		}
		b := damage(t, want)
		back, err := call.ParseEntry(b)
		law, wantErr := lawfulParse(b)
		same(t, b, back, law, err, wantErr)
		if err != nil && !errors.Is(err, call.ErrFormat) {
			t.Fatalf("%q: %v is not ErrFormat", b, err)
		}
	})
}

func TestRecordIsWhatEncodingJSONMakesOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r call.Record
		drawValue(t, reflect.ValueOf(&r).Elem())
		got, err := call.AppendRecord(nil, r)
		want, wantErr := lawfulLine(r)
		same(t, want, string(got), string(want), err, wantErr)
		if err != nil {
			return
		}
		b := damage(t, want[:len(want)-1])
		if bytes.Contains(b, []byte("\n")) {
			return
		}
		back, err := call.ParseRecord(append(b, '\n'))
		var law call.Record
		wantErr = json.Unmarshal(b, &law)
		same(t, b, back, law, err, wantErr)
		drawValue(t, reflect.ValueOf(&back).Elem()) // ReadRecord leaves nothing of it
		err = call.ReadRecord(&back, string(b)+"\n")
		same(t, b, back, law, err, wantErr)
		if err != nil && (!errors.Is(err, call.ErrFormat) || !reflect.DeepEqual(back, call.Record{})) {
			t.Fatalf("%q: %v, and %+v", b, err, back)
		}
		if err := call.ReadRecord(&back, string(b)); !errors.Is(err, call.ErrFormat) {
			t.Fatalf("a line without its end: %v", err)
		}
	})
}

// What an export reads of a common record costs no memory but what is not a part of the line.
func TestCommonRecordsAreReadInPlace(t *testing.T) {
	b, err := call.AppendRecord(nil, call.Fold(slices.Values(answeredCall)))
	if err != nil {
		t.Fatal(err)
	}
	var r call.Record
	line := string(b)
	if n := testing.AllocsPerRun(100, func() { _ = call.ReadRecord(&r, line) }); n > 3 { // Score, Open, and a Reason with quotes
		t.Errorf("%s takes %v pieces of memory", b, n)
	}
}

// The common entries never take the slow way: it costs ten times as much and some twenty pieces of memory.
func TestCommonEntriesAreReadWithoutEncodingJSON(t *testing.T) {
	for _, e := range append(everything, answeredCall...) {
		b, err := call.AppendEntry(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = call.ParseEntry(b) }); n > 4 {
			t.Errorf("%s takes %v pieces of memory", b, n)
		}
		if n := testing.AllocsPerRun(100, func() { b, _ = call.AppendEntry(b[:0], e) }); n > 0 {
			t.Errorf("to write %s takes %v pieces of memory", b, n)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, e := range everything {
		b, err := call.AppendEntry(nil, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := call.ParseEntry(b)
		want, wantErr := lawfulParse(b)
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v %v, encoding/json: %+v %v", got, err, want, wantErr)
		}
	})
}
