package export

import (
	"encoding/hex"
	"math"
	"strconv"
	"time"
)

// Column is one of an export's columns.
type Column struct {
	Name    string
	Type    string // text, integer, number, time, yes or no, list
	Unit    string // s of seconds; else ""
	Null    bool   // it may be unknown: empty in CSV and XLSX, null in JSON Lines and Parquet
	Meaning string

	of  func(r *Row, zone *time.Location) value
	raw func(b []byte, r *Row) []byte // of a text of digits and letters: appends it
}

// The types of a column.
const (
	typeText    = "text"
	typeInteger = "integer"
	typeNumber  = "number" // with three decimals
	typeTime    = "time"
	typeFlag    = "yes or no"
	typeList    = "list" // of texts
)

// value is what a row has in a column.
type value struct {
	null bool
	text string
	n    int64 // an integer; of a number, in thousandths; of a flag, 0 or 1
	at   time.Time
	list []string
}

// Columns are the columns of csv, jsonl, xlsx and parquet, in order. Their names and meanings do not change; new ones come
// at the end.
func Columns() []Column { return columns[:] }

// Names are the names of Columns.
func Names() []string {
	out := make([]string, len(columns))
	for i := range columns {
		out[i] = columns[i].Name
	}
	return out
}

func textOf(s string) value { return value{text: s} }

var columns = [...]Column{
	{Name: "call_id", Type: typeText, Meaning: "the call's id, as `cdr show` takes it", of: func(r *Row, _ *time.Location) value { return textOf(string(r.Record.Of)) }},
	{Name: "arrived_at", Type: typeTime, Meaning: "when the INVITE arrived", of: func(r *Row, _ *time.Location) value { return value{at: r.Record.FirstAt} }},
	{Name: "trunk", Type: typeText, Meaning: "the trunk it came from", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Trunk) }},
	{Name: "caller", Type: typeText, Meaning: "the caller's number; empty: none, or withheld", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Caller.Number) }},
	{Name: "caller_trust", Type: typeText, Meaning: "who stands for it: asserted (the operator), claimed (the caller), none", of: func(r *Row, _ *time.Location) value { return textOf(string(r.Record.Caller.Trust)) }},
	{Name: "called", Type: typeText, Meaning: "the number that was called", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Called) }},
	{Name: "outcome", Type: typeText, Meaning: "how it ended: answered, abandoned, refused, rejected, restart, failed, test", of: func(r *Row, _ *time.Location) value { return textOf(string(r.Record.Outcome)) }},
	{Name: "code", Type: typeInteger, Null: true, Meaning: "the final SIP status of a call that was not connected", of: func(r *Row, _ *time.Location) value {
		return value{n: int64(r.Record.Code), null: r.Record.Code == 0}
	}},
	{Name: "wait_s", Type: typeNumber, Unit: "s", Meaning: "from its arrival until a call taker answered, or else until the caller left", of: func(r *Row, _ *time.Location) value { return value{n: thousandths(r.Record.Wait)} }},
	{Name: "talk_s", Type: typeNumber, Unit: "s", Meaning: "from there until the caller left; 0 without an answer", of: func(r *Row, _ *time.Location) value { return value{n: thousandths(r.Record.Talk)} }},
	{Name: "taker", Type: typeText, Meaning: "the call taker who answered first; empty: none", of: func(r *Row, _ *time.Location) value { return textOf(string(r.Record.Taker)) }},
	{Name: "department", Type: typeText, Meaning: "that call taker's department", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Dept) }},
	{Name: "kind", Type: typeText, Meaning: "the disposition; empty: not classified", of: func(r *Row, _ *time.Location) value { return textOf(string(r.Record.Kind)) }},
	{Name: "prank_p", Type: typeNumber, Null: true, Meaning: "the likelihood of a prank from the number's history, 0 to 1; unknown without a history", of: func(r *Row, _ *time.Location) value {
		if s := r.Record.Score; s != nil && s.P >= 0 {
			return value{n: int64(math.Round(s.P * 1000))}
		}
		return value{null: true}
	}},
	{Name: "prank_reasons", Type: typeList, Meaning: "the facts behind it: kind=count, on how many days, the last time", of: func(r *Row, zone *time.Location) value { return value{list: r.reasons(zone)} }},
	{Name: "sip_call_id", Type: typeText, Meaning: "the operator's Call-ID; empty when masked", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.SIPCallID) }},
	{Name: "seq", Type: typeInteger, Meaning: "the number of the call's first record in the ledger", of: func(r *Row, _ *time.Location) value { return value{n: int64(r.Seq)} }},
	{Name: "leaf", Type: typeText, Meaning: "that record's leaf in the hash tree, in hexadecimal", of: func(r *Row, _ *time.Location) value { return textOf(r.leaf()) }, raw: appendLeaf},
	{Name: "answered_at", Type: typeTime, Null: true, Meaning: "when a call taker answered; unknown: none did", of: func(r *Row, _ *time.Location) value {
		at, ok := r.answered()
		return value{at: at, null: !ok}
	}},
	{Name: "ended_at", Type: typeTime, Meaning: "when the caller left", of: func(r *Row, _ *time.Location) value { return value{at: r.ended()} }},
	{Name: "other_takers", Type: typeList, Meaning: "who else talked with the caller, by transfer or consultation, in order", of: func(r *Row, _ *time.Location) value {
		var v value
		for _, t := range r.Record.Takers {
			v.list = append(v.list, string(t))
		}
		return v
	}},
	{Name: "kind_by", Type: typeText, Meaning: "who classified it; empty: an administrator, or nobody", of: func(r *Row, _ *time.Location) value { return textOf(string(r.Record.KindBy)) }},
	{Name: "note", Type: typeText, Meaning: "the note to the disposition; empty when masked", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Note) }},
	{Name: "reason", Type: typeText, Meaning: "the peer's own words at the end (Reason, RFC 3326)", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Reason) }},
	{Name: "priority", Type: typeText, Meaning: "the operator's Priority or Resource-Priority", of: func(r *Row, _ *time.Location) value { return textOf(r.Record.Priority) }},
	{Name: "overtaken", Type: typeInteger, Meaning: "how often a call with a later place was offered first", of: func(r *Row, _ *time.Location) value { return value{n: int64(r.Record.Passed)} }},
	{Name: "test", Type: typeFlag, Meaning: "a test call: it rang no human", of: func(r *Row, _ *time.Location) value {
		if r.Record.Test {
			return value{n: 1}
		}
		return value{}
	}},
}

// thousandths are those of a second, half away from zero.
func thousandths(d time.Duration) int64 { return int64(d.Round(time.Millisecond) / time.Millisecond) }

// reasons are the facts behind the score, one a word group: prank=2 days=1 last=2026-03-01T08:00:00.000+07:00.
func (r *Row) reasons(zone *time.Location) []string {
	if r.Record.Score == nil || len(r.Record.Score.Why) == 0 {
		return nil
	}
	texts := make([]string, 0, len(r.Record.Score.Why))
	var room [96]byte
	for _, why := range r.Record.Score.Why {
		b := strconv.AppendInt(append(append(room[:0], why.Kind...), '='), int64(why.Count), 10)
		if why.Days > 0 {
			b = strconv.AppendInt(append(b, " days="...), int64(why.Days), 10)
		}
		if !why.Last.IsZero() {
			b = appendTime(append(b, " last="...), why.Last, zone)
		}
		texts = append(texts, string(b))
	}
	return texts
}

func (r *Row) leaf() string { return string(appendLeaf(nil, r)) }

func appendLeaf(b []byte, r *Row) []byte { return hex.AppendEncode(b, r.Leaf[:]) }
