package call_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
)

var update = flag.Bool("update", false, "write the golden files")

var t0 = time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC)

// at is an entry of one call, ms milliseconds after its arrival.
func at(n uint32, ms int, ev call.Event) call.Entry {
	return call.Entry{Of: "c01JDEXAMP1E00000000000000Z", N: n, At: t0.Add(time.Duration(ms) * time.Millisecond), Event: ev}
}

var arrived = call.Arrived{
	Trunk: "telkom", Called: "112", SIPCallID: "x@y",
	Caller: call.Caller{Number: "+628115550001", Trust: call.Asserted},
}

// everything is one of each event, as the stored format is fixed.
var everything = []call.Entry{
	at(1, 0, call.Arrived{Trunk: "telkom", Called: "112", SIPCallID: "<a&b>@h", Priority: "esnet.0", Caller: call.Caller{Number: "+62811", Trust: call.Asserted, Cell: "510-01-1", Place: "Delta Pawan"}, Test: true, Reject: 404}),
	at(2, 1, call.Scored{P: 0.75, Delay: 7500 * time.Millisecond, Why: []call.Reason{{Kind: "prank", Count: 3, Days: 2, Last: t0}}}),
	at(3, 2, call.Queued{Queue: "112", Since: t0, Passed: 1}),
	at(4, 3, call.Offered{Leg: 1, To: call.Party{Taker: "t1", Department: "BPBD", Node: "ktp1", URI: "sip:x"}, For: "answer", As: call.Talking}),
	at(5, 4, call.Rang{Leg: 1}),
	at(6, 5, call.Answered{Leg: 1}),
	at(7, 6, call.RoleSet{Leg: 1, Role: call.Talking}),
	at(8, 7, call.Heard{Leg: 1, What: "dtmf:1"}),
	at(9, 8, call.Left{Leg: 1, By: "taker", Why: "hung up", Code: 200}),
	at(10, 9, call.Restored{Node: "ktp1", Gap: time.Second}),
	at(11, 10, call.Ended{Outcome: call.WasAnswered}),
	at(12, 11, call.Classified{By: "t1", Kind: call.Prank, Note: "bermain"}),
	at(13, 12, call.TakerChanged{Taker: "t1", Department: "BPBD", State: call.WrapUp, Why: "call", Until: t0.Add(time.Second)}),
	at(14, 13, call.Acted{By: "t1", What: "export", Detail: "csv"}),
	at(15, 14, call.Offered{Leg: 2, To: call.Party{Taker: "t2"}, For: call.ForTransfer, As: call.Talking}),
	at(16, 15, call.RoleSet{Leg: 0, Role: call.Talking}),
	at(17, 16, call.RoleSet{Leg: 2, Role: call.Talking}),
	at(18, 17, call.Left{Leg: 2, By: "taker", Reason: "Q.850;cause=16"}),
}

// The stored bytes are hashed: they must never change. A change of testdata/format.jsonl is a change of the format.
func TestFormatIsFixed(t *testing.T) {
	var got []byte
	for _, e := range everything {
		var err error
		if got, err = call.AppendEntry(got, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := call.AppendRecord(got, call.Fold(slices.Values(everything)))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "format.jsonl")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the stored format has changed (-want +got):\n%s", diff)
	}
}

func TestEveryEventReadsBack(t *testing.T) {
	for _, e := range everything {
		b, err := call.AppendEntry(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := call.ParseEntry(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
}

func TestParseEntryRefuses(t *testing.T) {
	for _, s := range []string{
		"", "{", `{"event":"flew","data":{}}`, `{"event":"role","data":{"leg":1,"role":"king"}}`, `{"event":"rang","data":[]}`,
	} {
		if _, err := call.ParseEntry([]byte(s)); !errors.Is(err, call.ErrFormat) {
			t.Errorf("%q: %v, want ErrFormat", s, err)
		}
	}
}

func TestFold(t *testing.T) {
	offered := call.Offered{Leg: 1, To: call.Party{Taker: "t1", Department: "BPBD"}, For: "answer", As: call.Talking}
	second := call.Offered{Leg: 2, To: call.Party{Taker: "t2", Department: "PMI"}, For: "answer", As: call.Talking}
	tests := []struct {
		name    string
		entries []call.Entry
		want    func(*call.Record)
	}{
		{"nothing", nil, func(r *call.Record) { *r = call.Record{} }},
		{"still waiting", []call.Entry{at(1, 0, arrived), at(2, 4000, call.Queued{})}, func(r *call.Record) { r.Wait = 4 * time.Second }},
		{"answered by the second, who is left", []call.Entry{
			at(1, 0, arrived), at(2, 0, offered), at(3, 10, call.Answered{Leg: 0}), at(4, 4000, call.Left{Leg: 1, By: "node"}),
			at(5, 4000, second), at(6, 8000, call.Answered{Leg: 2}), at(7, 30000, call.Left{Leg: 2, By: "taker"}),
			at(8, 30010, call.Left{Leg: 0, By: "desk"}), at(9, 30010, call.Ended{Outcome: call.WasAnswered}),
		}, func(r *call.Record) {
			r.Wait, r.Talk, r.Taker, r.Dept = 8*time.Second, 22010*time.Millisecond, "t2", "PMI"
			r.Outcome, r.Open = call.WasAnswered, []string{call.TodoClassification}
		}},
		{"an announcement is no answer", []call.Entry{
			at(1, 0, arrived), at(2, 10, call.Answered{Leg: 0}), at(3, 9000, call.Left{Leg: 0, By: "caller"}), at(4, 9000, call.Ended{Outcome: call.WasAbandoned}),
		}, func(r *call.Record) { r.Wait, r.Outcome = 9*time.Second, call.WasAbandoned }},
		{"canceled before any answer", []call.Entry{
			at(1, 0, arrived), at(2, 900, call.Left{Leg: 0, By: "caller", Code: 487}), at(3, 900, call.Ended{Outcome: call.WasAbandoned}),
		}, func(r *call.Record) { r.Wait, r.Code, r.Outcome = 900*time.Millisecond, 487, call.WasAbandoned }},
		{"a clock that went back", []call.Entry{at(1, 0, arrived), at(2, -5000, call.Left{Leg: 0, By: "caller"})}, func(*call.Record) {}},
		{"the last classification counts, after the end", []call.Entry{
			at(1, 0, arrived), at(2, 1, call.Answered{Leg: 0}), at(3, 2, call.Answered{Leg: 1}), at(4, 3, call.Left{Leg: 0}),
			at(5, 3, call.Ended{Outcome: call.WasAnswered}), at(6, 50, call.Classified{By: "t1", Kind: call.Prank}),
			at(7, 90, call.Classified{By: "t2", Kind: call.Emergency, Note: "api"}),
		}, func(r *call.Record) {
			r.Wait, r.Talk, r.Outcome = 2*time.Millisecond, time.Millisecond, call.WasAnswered
			r.Kind, r.KindBy, r.Note = call.Emergency, "t2", "api"
		}},
		{"who else talked with the caller, and the last words", []call.Entry{
			at(1, 0, arrived), at(2, 0, offered), at(3, 1, call.Answered{}), at(4, 1, call.Answered{Leg: 1}), at(5, 1, call.RoleSet{Role: call.Talking}),
			at(6, 1, call.RoleSet{Leg: 1, Role: call.Talking}), at(7, 2, call.RoleSet{Role: call.Waiting}),
			at(8, 2, call.Offered{Leg: 65535, To: offered.To, For: call.ForOwn, As: call.Talking}),
			at(9, 2, call.Offered{Leg: 2, To: call.Party{Taker: "t2"}, For: call.ForConsult, As: call.Talking}),
			at(10, 3, call.Answered{Leg: 2}), at(11, 3, call.RoleSet{Leg: 2, Role: call.Talking}), at(12, 3, call.RoleSet{Leg: 65535, Role: call.Talking}),
			at(13, 3, call.Offered{Leg: 3, To: call.Party{Taker: "t3"}, For: call.ForConsult, As: call.Talking}), // never hears the caller
			at(14, 4, call.RoleSet{Leg: 65535, Role: call.Waiting}), at(15, 4, call.RoleSet{Role: call.Talking}), at(16, 4, call.RoleSet{Role: call.Talking}),
			at(17, 5, call.Left{Leg: 1, By: "taker", Reason: "SIP;cause=200"}), at(18, 6, call.Left{By: "caller", Reason: "Q.850;cause=16"}),
			at(19, 7, call.Left{Leg: 2, By: "desk", Reason: "SIP;cause=487"}),
		}, func(r *call.Record) {
			r.Wait, r.Talk, r.Taker, r.Dept = time.Millisecond, 5*time.Millisecond, "t1", "BPBD"
			r.Takers, r.Reason = []call.TakerID{"t2"}, "Q.850;cause=16"
		}},
		{"the last words of a taker, if the caller has none", []call.Entry{
			at(1, 0, arrived), at(2, 0, offered), at(3, 1, call.Left{Leg: 1, Reason: "Q.850;cause=17"}), at(4, 2, call.Left{Leg: 2, Reason: "Q.850;cause=19"}),
			at(5, 3, call.Left{By: "desk"}),
		}, func(r *call.Record) { r.Wait, r.Reason = 3*time.Millisecond, "Q.850;cause=19" }},
		{"a second offer is no transfer", []call.Entry{
			at(1, 0, arrived), at(2, 0, offered), at(3, 1, call.Answered{Leg: 1}), at(4, 1, call.RoleSet{Role: call.Talking}), at(5, 2, second),
			at(6, 2, call.Answered{Leg: 2}), at(7, 2, call.RoleSet{Leg: 2, Role: call.Talking}),
		}, func(r *call.Record) {
			r.Wait, r.Talk, r.Taker, r.Dept = time.Millisecond, time.Millisecond, "t1", "BPBD"
		}},
		{"scores are of before the answer, overtakes the most", []call.Entry{
			at(1, 0, arrived), at(2, 0, call.Scored{P: -1}), at(3, 1, call.Queued{Passed: 2}), at(4, 2, call.Scored{P: 0.5}),
			at(5, 3, call.Answered{Leg: 1}), at(6, 4, call.Scored{P: 0.9}),
		}, func(r *call.Record) {
			r.Score, r.Passed, r.Wait, r.Talk = &call.Scored{P: 0.5}, 2, 3*time.Millisecond, time.Millisecond
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := call.Record{
				Of: "c01JDEXAMP1E00000000000000Z", FirstAt: t0, Trunk: arrived.Trunk, Called: arrived.Called,
				SIPCallID: arrived.SIPCallID, Caller: arrived.Caller,
			}
			if n := len(tt.entries); n > 0 {
				want.LastAt, want.Entries = tt.entries[n-1].At, tt.entries[n-1].N
			}
			tt.want(&want)
			if diff := cmp.Diff(want, call.Fold(slices.Values(tt.entries))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFoldOfShiftAndAct(t *testing.T) {
	shift := call.Entry{Of: "s01JDEXAMP1E00000000000000Z", N: 1, At: t0, Event: call.TakerChanged{Taker: "t1", Department: "PMI", State: call.Off}}
	if r := call.Fold(slices.Values([]call.Entry{shift})); r.Taker != "t1" || r.Dept != "PMI" || r.State != call.Off || r.Wait != 0 {
		t.Errorf("shift: %+v", r)
	}
	act := call.Entry{Of: "a01JDEXAMP1E00000000000000Z", N: 1, At: t0, Event: call.Acted{What: "export"}}
	if r := call.Fold(slices.Values([]call.Entry{act})); r.Act == nil || r.Act.What != "export" {
		t.Errorf("act: %+v", r)
	}
}

// What an older version wrote is read as it was: every line of an old body parses, and its record is still what Fold makes
// of its entries.
func TestOldBodies(t *testing.T) {
	const body = `{"of":"c01JDEXAMP1E00000000000000Z","first_at":"2026-11-24T07:00:00Z","last_at":"2026-11-24T07:00:09Z","entries":7,"trunk":"telkom","called":"112","sip_call_id":"x@y","caller":{"number":"+62811","trust":"asserted"},"outcome":"answered","wait_ns":2000000000,"talk_ns":7000000000,"taker":"t1","open":["classification"]}
{"of":"c01JDEXAMP1E00000000000000Z","n":1,"at":"2026-11-24T07:00:00Z","event":"arrived","data":{"trunk":"telkom","called":"112","sip_call_id":"x@y","caller":{"number":"+62811","trust":"asserted"}}}
{"of":"c01JDEXAMP1E00000000000000Z","n":2,"at":"2026-11-24T07:00:00Z","event":"offered","data":{"leg":1,"to":{"taker":"t1"},"for":"answer","as":"talking"}}
{"of":"c01JDEXAMP1E00000000000000Z","n":3,"at":"2026-11-24T07:00:02Z","event":"answered","data":{"leg":1}}
{"of":"c01JDEXAMP1E00000000000000Z","n":4,"at":"2026-11-24T07:00:02Z","event":"role","data":{"leg":1,"role":"talking"}}
{"of":"c01JDEXAMP1E00000000000000Z","n":5,"at":"2026-11-24T07:00:09Z","event":"left","data":{"leg":1,"by":"taker"}}
{"of":"c01JDEXAMP1E00000000000000Z","n":6,"at":"2026-11-24T07:00:09Z","event":"left","data":{"leg":0,"by":"desk"}}
{"of":"c01JDEXAMP1E00000000000000Z","n":7,"at":"2026-11-24T07:00:09Z","event":"ended","data":{"outcome":"answered"}}
`
	record, entries, err := call.ParseBody([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(record, call.Fold(slices.Values(entries))); diff != "" {
		t.Errorf("the record of an old body (-stored +folded):\n%s", diff)
	}
}

// Every prefix and every order folds, and a record folded from decoded entries is the one folded from the originals: an
// auditor has only the bytes.
func TestFoldIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var es []call.Entry
		for i := range rapid.IntRange(0, 20).Draw(t, "n") {
			e := rapid.SampledFrom(everything).Draw(t, "event")
			e.N = uint32(i + 1)
			e.At = t0.Add(time.Duration(rapid.Int64Range(-1e9, 1e12).Draw(t, "at")))
			es = append(es, e)
		}
		var decoded []call.Entry
		for _, e := range es {
			b, err := call.AppendEntry(nil, e)
			if err != nil {
				t.Fatal(err)
			}
			back, err := call.ParseEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			decoded = append(decoded, back)
		}
		r := call.Fold(slices.Values(es))
		if r.Wait < 0 || r.Talk < 0 {
			t.Fatalf("negative spans: %+v", r)
		}
		a, err := call.AppendRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := call.AppendRecord(nil, call.Fold(slices.Values(decoded)))
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Fatalf("from memory %s\nfrom bytes %s", a, b)
		}
	})
}

func TestParseID(t *testing.T) {
	id := call.NewID(call.Call, t0)
	if got, err := call.ParseID(" " + string(id)); err == nil {
		t.Errorf("a blank in front: %s", got)
	}
	got, err := call.ParseID(strings.ToLower(string(id)))
	if err != nil || got != id || got.Kind() != call.Call {
		t.Errorf("%s: %v, want %s", got, err, id)
	}
	for _, s := range []string{"", "c", "x" + string(id[1:]), string(id) + "0", string(id[:20])} {
		if _, err := call.ParseID(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if k := call.ID("").Kind(); k != 0 {
		t.Errorf("the empty ID is of kind %d", k)
	}
}

func TestRoleText(t *testing.T) {
	if _, err := call.Role(9).MarshalText(); err == nil {
		t.Error("an undefined role was written")
	}
	if s := call.Role(9).String(); s != "role(9)" {
		t.Error(s)
	}
}

func TestInTen(t *testing.T) {
	for p, want := range map[float64]int{0: 1, 0.04: 1, 0.25: 3, 0.84: 8, 0.98: 9, 1: 9} {
		if n, ok := (call.Scored{P: p}).InTen(); n != want || !ok {
			t.Errorf("%v: %d %v, want %d", p, n, ok, want)
		}
	}
	if n, ok := (call.Scored{P: -1}).InTen(); ok {
		t.Errorf("no history: %d", n)
	}
}

func FuzzParseBody(f *testing.F) {
	var body []byte
	body, _ = call.AppendRecord(body, call.Fold(slices.Values(everything)))
	for _, e := range everything {
		body, _ = call.AppendEntry(body, e)
	}
	f.Add(body)
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, es, err := call.ParseBody(b)
		if err != nil {
			if !errors.Is(err, call.ErrFormat) {
				t.Fatalf("%v is not ErrFormat", err)
			}
			return
		}
		call.Fold(slices.Values(es))
		for _, e := range es {
			if _, err := call.AppendEntry(nil, e); err != nil {
				t.Fatal(err)
			}
		}
	})
}
