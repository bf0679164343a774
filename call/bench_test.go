package call_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/siaga112/siaga112/call"
)

// answeredCall is what most calls leave behind: one taker, twelve entries.
var answeredCall = []call.Entry{
	at(1, 0, call.Arrived{
		Trunk: "telkom", Called: "112", SIPCallID: "7f3a9c1e-55d2-4b6f@10.20.30.40", Caller: call.Caller{Number: "+628115550001", Trust: call.Asserted},
	}),
	at(2, 0, call.Scored{P: -1}),
	at(3, 0, call.Queued{Queue: "112", Since: t0}),
	at(4, 1, call.Offered{Leg: 1, To: call.Party{Taker: "budi", Department: "BPBD", Node: "ktp1"}, For: call.ForAnswer, As: call.Talking}),
	at(5, 40, call.Rang{Leg: 1}),
	at(6, 3100, call.Answered{Leg: 1}),
	at(7, 3100, call.Answered{Leg: 0}),
	at(8, 3101, call.RoleSet{Leg: 1, Role: call.Talking}),
	at(9, 3101, call.RoleSet{Leg: 0, Role: call.Talking}),
	at(10, 63000, call.Left{Leg: 0, By: "caller", Code: 200, Reason: `Q.850;cause=16;text="Normal call clearing"`}),
	at(11, 63002, call.Left{Leg: 1, By: "desk"}),
	at(12, 63002, call.Ended{Outcome: call.WasAnswered}),
}

// body is the sealed body of the entries.
func body(tb testing.TB, es []call.Entry) []byte {
	tb.Helper()
	b, err := call.AppendRecord(nil, call.Fold(slices.Values(es)))
	for _, e := range es {
		if err == nil {
			b, err = call.AppendEntry(b, e)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkAppendEntry(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf, _ = call.AppendEntry(buf[:0], answeredCall[0])
	}
}

func BenchmarkParseEntry(b *testing.B) {
	for name, e := range map[string]call.Entry{"longest": answeredCall[0], "shortest": answeredCall[4]} {
		line, err := call.AppendEntry(nil, e)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = call.ParseEntry(line)
			}
		})
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	b.ReportAllocs()
	r := call.Fold(slices.Values(answeredCall))
	var buf []byte
	for b.Loop() {
		buf, _ = call.AppendRecord(buf[:0], r)
	}
}

func BenchmarkParseRecord(b *testing.B) {
	b.ReportAllocs()
	whole := body(b, answeredCall)
	for b.Loop() {
		_, _ = call.ParseRecord(whole)
	}
}

func BenchmarkReadRecord(b *testing.B) {
	b.ReportAllocs()
	whole := string(body(b, answeredCall))
	line := whole[:strings.IndexByte(whole, '\n')+1]
	var r call.Record
	for b.Loop() {
		_ = call.ReadRecord(&r, line)
	}
}

func BenchmarkParseBody(b *testing.B) {
	b.ReportAllocs()
	whole := body(b, answeredCall)
	for b.Loop() {
		_, _, _ = call.ParseBody(whole)
	}
}

func BenchmarkFold(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		call.Fold(slices.Values(answeredCall))
	}
}
