package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// RecordsEnv sets how many calls the benchmarks fill a store with.
const RecordsEnv = "SIAGA112_RECORDS"

// fewRecords is how many they are without it.
const fewRecords = 5000

// fillAhead is how many Appends Fill has under way at most.
const fillAhead = 4000

// Records is how many calls a benchmark should fill its store with: RecordsEnv, or a few thousand.
func Records(tb testing.TB) int {
	tb.Helper()
	s := os.Getenv(RecordsEnv)
	if s == "" {
		return fewRecords
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		tb.Fatalf("%s=%q: want a number of calls", RecordsEnv, s)
	}
	return n
}

// Fill appends n calls as a year of an emergency line leaves them, and waits until they are durable: the same ones each
// time, evenly over the twelve months before Start. 7 of 10 calls are answered, the others abandoned, refused, rejected or
// tests. Of 10 calls 3 have an amendment, the disposition of an answered one. The callers are FillNumber, about 20 calls each.
func Fill(s Writer, n int) error {
	rng := rand.New(rand.NewPCG(112, uint64(n)))
	slots := make(chan struct{}, fillAhead)
	var mu sync.Mutex
	var failed error
	done := func(err error) {
		if err != nil {
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
		}
		<-slots
	}
	step := 365 * 24 * time.Hour / time.Duration(max(1, n))
	for i := range n {
		at := Start().AddDate(-1, 0, 0).Add(time.Duration(i) * step)
		es, more := filled(rng, ID(call.Call, i, at), at, FillNumber(rng.IntN(fillNumbers(n))))
		slots <- struct{}{}
		s.Append(es, done)
		if more.Event != nil {
			slots <- struct{}{}
			s.Append([]call.Entry{more}, done)
		}
	}
	for range fillAhead {
		slots <- struct{}{}
	}
	return failed
}

// fillNumbers is how many callers n calls have.
func fillNumbers(n int) int { return max(3, n/20) }

// FillNumber is the i-th caller of Fill. There are at least three, and one for each 20 calls; the first withholds the number.
func FillNumber(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("+628%010d", i)
}

var departments = []string{"BPBD", "Damkar", "PSC 119", "Satpol PP", "Dishub", "Polres"}

// filled is one call of Fill and its amendment, if it has one.
func filled(rng *rand.Rand, of call.ID, at time.Time, number string) (es []call.Entry, more call.Entry) {
	i := rng.IntN(40)
	taker := call.Party{Taker: call.TakerID(fmt.Sprintf("taker%02d", i)), Department: departments[i%len(departments)]}
	first := Arrived(number)
	first.SIPCallID = fmt.Sprintf("%016x@10.20.0.%d", rng.Uint64(), 5+i%3)
	if first.Trunk = "telkom"; i%4 == 0 {
		first.Trunk, first.Caller.Trust = "indosat", call.Claimed
	}
	score := call.Scored{P: -1}
	if kind := rng.IntN(4); kind == 0 && number != "" {
		score = call.Scored{P: 0.25, Why: []call.Reason{{Kind: "prank", Count: 1 + i%5, Days: 1, Last: at.Add(-24 * time.Hour)}}}
	}
	queued := call.Queued{Queue: "112", Since: at}
	switch what := rng.IntN(100); {
	case what < 70:
		es = Entries(of, at, answeredEvents(first, score, queued, taker)...)
		if rng.IntN(70) < 30 {
			more = call.Entry{Of: of, At: at.Add(5 * time.Minute), Event: call.Classified{
				By: taker.Taker, Kind: call.Kinds[rng.IntN(len(call.Kinds))], Note: notes[rng.IntN(len(notes))],
			}}
		}
	case what < 90:
		es = Entries(of, at, first, score, queued, call.Answered{}, call.Left{By: "caller", Code: 200, Reason: "Q.850;cause=16"},
			call.Ended{Outcome: call.WasAbandoned})
	case what < 94:
		first.Reject = 503
		es = Entries(of, at, first, call.Left{By: "desk", Code: 503}, call.Ended{Outcome: call.WasRefused})
	case what < 97:
		first.Reject, first.Called = 404, "113"
		es = Entries(of, at, first, call.Left{By: "desk", Code: 404}, call.Ended{Outcome: call.WasRejected})
	default:
		first.Test = true
		es = Entries(of, at, first, call.Answered{}, call.Left{By: "caller", Code: 200}, call.Ended{Outcome: call.WasTest})
	}
	return es, more
}

var notes = []string{"", "", "", "kecelakaan di Jl. Ahmad Yani, dua korban", "rumah terbakar; \"sudah padam\"", "anak-anak tertawa"}

func answeredEvents(first call.Arrived, score call.Scored, queued call.Queued, taker call.Party) []call.Event {
	return []call.Event{
		first, score, queued,
		call.Offered{Leg: 1, To: taker, For: call.ForAnswer, As: call.Talking},
		call.Answered{Leg: 0},
		call.Rang{Leg: 1},
		call.Answered{Leg: 1},
		call.RoleSet{Leg: 0, Role: call.Talking},
		call.RoleSet{Leg: 1, Role: call.Talking},
		call.Left{Leg: 1, By: "taker", Code: 200},
		call.Left{Leg: 0, By: "desk", Code: 200},
		call.Ended{Outcome: call.WasAnswered},
	}
}
