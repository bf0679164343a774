package storetest

import (
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/siaga112/siaga112/call"
)

// Start is the time at which the histories of the tests begin.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// ID is the n-th id of a kind, minted at that time: the same one each time.
func ID(kind byte, n int, at time.Time) call.ID {
	var u ulid.ULID
	if err := u.SetTime(ulid.Timestamp(at)); err != nil {
		panic(err)
	}
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[2:], uint64(n))
	if err := u.SetEntropy(entropy[:]); err != nil {
		panic(err)
	}
	return call.ID(string(kind) + u.String())
}

// Entries numbers events of one subject from 1, a second apart.
func Entries(of call.ID, at time.Time, events ...call.Event) []call.Entry {
	es := make([]call.Entry, len(events))
	for i, ev := range events {
		es[i] = call.Entry{Of: of, N: uint32(i) + 1, At: at.Add(time.Duration(i) * time.Second), Event: ev}
	}
	return es
}

// Arrived is a call's first event.
func Arrived(number string) call.Arrived {
	trust := call.Asserted
	if number == "" {
		trust = call.None
	}
	return call.Arrived{
		Trunk: "telkom", Called: "112", SIPCallID: "a84b4c76e66710@10.0.0.1",
		Caller: call.Caller{Number: number, Trust: trust},
	}
}

// Answered is the whole of a common call: a taker answers it, then it ends. Not yet classified.
func Answered(of call.ID, at time.Time, number string, taker call.TakerID) []call.Entry {
	return Entries(
		of, at,
		Arrived(number),
		call.Scored{P: 0.25, Why: []call.Reason{{Kind: "prank", Count: 1, Days: 1, Last: at.Add(-24 * time.Hour)}}},
		call.Queued{Queue: "112", Since: at},
		call.Offered{Leg: 1, To: call.Party{Taker: taker, Department: "BPBD"}, For: "answer", As: call.Talking},
		call.Answered{Leg: 0},
		call.Rang{Leg: 1},
		call.Answered{Leg: 1},
		call.RoleSet{Leg: 0, Role: call.Talking},
		call.RoleSet{Leg: 1, Role: call.Talking},
		call.Left{Leg: 1, By: "taker", Code: 200},
		call.Left{Leg: 0, By: "desk", Code: 200},
		call.Ended{Outcome: call.WasAnswered},
	)
}

// Abandoned is the whole of a call whose caller hangs up in line.
func Abandoned(of call.ID, at time.Time, number string) []call.Entry {
	return Entries(
		of, at,
		Arrived(number),
		call.Scored{P: -1},
		call.Queued{Queue: "112", Since: at},
		call.Answered{Leg: 0},
		call.Left{Leg: 0, By: "caller", Code: 200},
		call.Ended{Outcome: call.WasAbandoned},
	)
}

// Shift is the whole of a call taker's shift.
func Shift(of call.ID, at time.Time, taker call.TakerID) []call.Entry {
	return Entries(
		of, at,
		call.TakerChanged{Taker: taker, State: call.Ready},
		call.TakerChanged{Taker: taker, State: call.Paused, Why: "lunch"},
		call.TakerChanged{Taker: taker, State: call.Off},
	)
}
