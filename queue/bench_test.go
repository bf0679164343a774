package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// BenchmarkStep is one call's whole way with so many others waiting and 50 takers who all talk: it arrives, the call of a
// taker ends, the first in line is offered, rings and is answered. Six Steps an operation.
func BenchmarkStep(b *testing.B) {
	for _, waiting := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) { benchmarkStep(b, waiting, 0) })
	}
	b.Run("waiting=10000 delayed=1000", func(b *testing.B) { benchmarkStep(b, 10_000, 10) })
}

func benchmarkStep(b *testing.B, waiting, delayedEvery int) {
	b.Helper()
	const takers = 50
	d := queue.NewDesk(rules(noWrapUp, func(r *queue.Rules) { r.MaxCalls = 0 }), pranksters(time.Minute))
	now, arrived := start, 0
	var talking []call.Entry // Offered, the oldest first
	step := func(in queue.Input) queue.Out {
		now = now.Add(time.Millisecond)
		out := d.Step(now, in)
		for _, e := range out.Events {
			if o, ok := e.Event.(call.Offered); ok {
				talking = append(talking, e)
				defer func() {
					d.Step(now, queue.Fact{Of: e.Of, Event: call.Rang{Leg: o.Leg}})
					d.Step(now, queue.Fact{Of: e.Of, Event: call.Answered{Leg: o.Leg}})
				}()
			}
		}
		return out
	}
	arrive := func() {
		arrived++
		number := "+62800"
		if delayedEvery > 0 && arrived%delayedEvery == 0 {
			number = prankster(9)
		}
		id := call.ID(fmt.Sprintf("c%09d", arrived))
		step(queue.Fact{Of: id, Event: call.Arrived{Caller: asserted(number)}})
		d.Step(now, queue.Fact{Of: id, Event: call.Answered{Leg: 0}})
	}
	for i := range takers {
		step(queue.Phone{
			Shift: call.ID(fmt.Sprintf("s%d", i)), Who: call.Party{Taker: call.TakerID(fmt.Sprintf("t%d", i))}, Up: true,
		})
	}
	for range waiting + takers {
		arrive()
	}
	b.ReportAllocs()
	for b.Loop() {
		arrive()
		over := talking[0]
		talking = talking[1:]
		step(queue.Fact{Of: over.Of, Event: call.Left{Leg: over.Event.(call.Offered).Leg, By: "taker"}})
		d.Step(now, queue.Fact{Of: over.Of, Event: call.Left{Leg: 0, By: "desk"}})
	}
	if v := d.View(now); len(v.Waiting) != waiting || len(talking) != takers {
		b.Fatalf("%d wait and %d talk", len(v.Waiting), len(talking))
	}
}

// BenchmarkView is the picture of a full line, as it is taken ten times a second at most.
func BenchmarkView(b *testing.B) {
	d := queue.NewDesk(rules(func(r *queue.Rules) { r.MaxCalls = 0 }), pranksters(time.Minute))
	for i := range 10_000 {
		number := "+62800"
		if i%10 == 0 {
			number = prankster(9)
		}
		d.Step(start.Add(time.Duration(i)*time.Millisecond), queue.Fact{
			Of: call.ID(fmt.Sprintf("c%09d", i)), Event: call.Arrived{Caller: asserted(number)},
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		d.View(start)
	}
}
