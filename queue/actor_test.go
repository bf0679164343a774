package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

var errDisk = errors.New("the disk is gone")

// TestActionsWaitForTheJournal: nothing is done before it is durable, and all is done in order.
func TestActionsWaitForTheJournal(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.journal.set(func(j *journal) { j.delay = 30 * time.Millisecond })
		a.up("t1")
		a.arrive("c1")
		time.Sleep(29 * time.Millisecond)
		synctest.Wait()
		same(t, "before", a.line.say(), "")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		same(t, "after", a.line.say(), `30ms answer c1 | 30ms play c1 0 "waiting" | 30ms ring c1 1 t1`)
		same(t, "alarms", a.alarms.say(), "")
	})
}

func TestSynchronousJournal(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.journal.set(func(j *journal) { j.synchron = true })
		a.arrive("c1")
		synctest.Wait()
		same(t, "line", a.line.say(), `0s answer c1 | 0s play c1 0 "waiting"`)
	})
}

// TestStalledJournal: after 200 ms the calls go on without it, with an alarm until it is in time again.
func TestStalledJournal(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *actor) {
				a.journal.set(func(j *journal) { j.stall = when })
				a.arrive("c1")
				time.Sleep(150 * time.Millisecond)
				a.up("t1")
				time.Sleep(time.Second)
				synctest.Wait()
				same(t, "line", a.line.say(), `200ms answer c1 | 200ms play c1 0 "waiting" | 350ms ring c1 1 t1`)
				same(t, "alarm", a.alarms.say(), "journal for 200ms")
				a.journal.release(false)
				synctest.Wait()
				same(t, "over", a.alarms.say(), "journal over")
				same(t, "journal", a.journal.words("c1"), "arrived | scored unknown | queued 112 passed 0 | offered 1 t1")
				a.arrive("c2")
				synctest.Wait()
				same(t, "in time again", a.line.say(), `1.15s answer c2 | 1.15s play c2 0 "waiting"`)
			})
		})
	}
}

// TestNoActionOvertakes: a journal that answers backwards changes no order.
func TestNoActionOvertakes(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.journal.set(func(j *journal) { j.stall = "before" })
		for _, id := range []call.ID{"c1", "c2", "c3"} {
			a.Tell(id, call.Arrived{Reject: 404})
			time.Sleep(10 * time.Millisecond)
		}
		a.journal.release(true)
		synctest.Wait()
		same(t, "line", a.line.say(), "30ms drop c1 0 404 | 30ms drop c2 0 404 | 30ms drop c3 0 404")
		same(t, "alarms", a.alarms.say(), "")
	})
}

// TestActionsWithoutEntries keep their place behind a step that is not durable.
func TestActionsWithoutEntries(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.arrive("c1")
		synctest.Wait()
		a.line.say()
		a.journal.set(func(j *journal) { j.delay = 50 * time.Millisecond })
		a.arrive("c2")
		synctest.Wait()
		if err := a.Order(t.Context(), queue.Order{Verb: queue.Stop}); err != nil {
			t.Fatal(err)
		}
		same(t, "at once", a.line.say(), "")
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		same(t, "line", a.line.say(), `50ms answer c2 | 50ms play c2 0 "waiting" | 50ms drop c1 0 503 | 50ms drop c2 0 503`)
	})
}

func TestFailedJournal(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.up("t1")
		synctest.Wait()
		a.journal.set(func(j *journal) { j.fail = errDisk })
		if err := a.Order(t.Context(), queue.Order{Verb: queue.Pause, To: call.Party{Taker: "t1"}}); !errors.Is(err, errDisk) {
			t.Errorf("an order that was not journaled gives %v", err)
		}
		same(t, "told to who ordered, no alarm", a.alarms.say(), "")
		a.arrive("c1")
		synctest.Wait()
		same(t, "the call goes on", a.line.say(), `0s answer c1 | 0s play c1 0 "waiting"`)
		same(t, "alarm", a.alarms.say(), "journal for 0s")
		a.journal.set(func(j *journal) { j.fail = nil })
		a.arrive("c2")
		synctest.Wait()
		same(t, "over", a.alarms.say(), "journal over")
	})
}

func TestOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.up("t1")
		pause := queue.Order{Verb: queue.Pause, To: call.Party{Taker: "t1"}}
		a.journal.set(func(j *journal) { j.delay = 40 * time.Millisecond })
		from := time.Now()
		if err := a.Order(t.Context(), pause); err != nil || time.Since(from) != 40*time.Millisecond {
			t.Errorf("durable after %s, error %v", time.Since(from), err)
		}
		if err := a.Order(t.Context(), pause); err != nil {
			t.Errorf("an order that changes nothing: %v", err)
		}
		if err := a.Order(t.Context(), queue.Order{Verb: "dance"}); !errors.Is(err, queue.ErrOrder) {
			t.Errorf("an order without sense: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		ready := queue.Order{Verb: queue.Ready, To: call.Party{Taker: "t1"}}
		if err := a.Order(ctx, ready); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("out of time: %v", err)
		}
		time.Sleep(time.Second)
		same(t, "carried out all the same", a.journal.words("s1"), "t1 ready | t1 paused | t1 ready")
	})
}

func TestTimer(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.up("t1")
		a.up("t2")
		a.arrive("c1")
		time.Sleep(10 * time.Second)
		a.Tell("c1", call.Left{Leg: 1, By: "desk"})
		synctest.Wait()
		same(t, "line", a.line.say(), `0s answer c1 | 0s play c1 0 "waiting" | 0s ring c1 1 t1 | 4s drop c1 1 408 | 4s ring c1 2 t2 | 8s drop c1 2 408`)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		same(t, "after the cool-down", a.line.say(), "15s ring c1 3 t1")
	})
}

func TestPanic(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.up("t1")
		synctest.Wait()
		a.Run(a.Break)
		a.arrive("c1")
		a.Run(a.Mend)
		synctest.Wait()
		same(t, "alarm", a.alarms.say(), "desk for 0s")
		if n := a.log.FilterMessage("the desk met a bug").Len(); n != 1 {
			t.Errorf("%d log lines of the panic, want 1", n)
		}
		a.line.say()
		a.arrive("c2")
		synctest.Wait()
		same(t, "the next call", a.line.say(), `0s answer c2 | 0s play c2 0 "waiting" | 0s ring c2 1 t1`)
	})
}

func TestLinePanics(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.line.panics = true
		a.arrive("c1")
		synctest.Wait()
		same(t, "the rest is done", a.line.say(), `0s answer c1 | 0s play c1 0 "waiting"`)
		same(t, "alarm", a.alarms.say(), "desk for 0s")
	})
}

// TestRefusedAlarm: it sounds for what the desk refused, and says why.
func TestRefusedAlarm(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.Tell("c0", call.Arrived{Reject: 503}) // the line had no port for it
		a.arrive("c1")
		synctest.Wait()
		same(t, "refused by the line", a.alarms.say(), "")
		a.arrive("c2")
		a.arrive("c3")
		synctest.Wait()
		same(t, "raised once", a.alarms.say(), "calls-refused for 0s")
		same(t, "for the number of calls", a.alarms.lastText(), "calls get 503: 1 calls are live; raise sip.max_calls if the machine can carry more")
		a.Tell("c1", byCaller)
		a.Tell("c4", call.Arrived{Reject: 404})
		a.Tell("c5", call.Arrived{Reject: 503})
		synctest.Wait()
		same(t, "not over by what the line refused", a.alarms.say(), "")
		a.arrive("c6")
		synctest.Wait()
		same(t, "over", a.alarms.say(), "calls-refused over")
	}, func(r *queue.Rules) { r.MaxCalls = 1 })
}

func TestRefusedAlarmOfADrain(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.arrive("c1")
		a.arrive("c2")
		synctest.Wait()
		same(t, "full", a.alarms.say(), "calls-refused for 0s")
		if err := a.Order(t.Context(), queue.Order{Verb: queue.Drain}); err != nil {
			t.Fatal(err)
		}
		a.Tell("c3", call.Arrived{Reject: 503})
		synctest.Wait()
		same(t, "refused by the line", a.alarms.say(), "")
		a.arrive("c4")
		a.arrive("c5")
		synctest.Wait()
		same(t, "now for another cause, once", a.alarms.say(), "calls-refused over | calls-refused for 0s")
		same(t, "which is said", a.alarms.lastText(), "calls get 503: the gateway is draining")
	}, func(r *queue.Rules) { r.MaxCalls = 1 })
}

func TestStopAndIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		a.arrive("c1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Idle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("idle with a live call: %v", err)
		}
		if err := a.Order(t.Context(), queue.Order{Verb: queue.Stop, ID: "a1"}); err != nil {
			t.Fatal(err)
		}
		same(t, "the act is durable when the order returns", a.journal.words("a1"), "acted stopped")
		time.AfterFunc(300*time.Millisecond, func() { a.Tell("c1", byDesk) })
		if err := a.Idle(t.Context()); err != nil {
			t.Error(err)
		}
		same(t, "journal", a.journal.words("c1"), "arrived | scored unknown | queued 112 passed 0 | left 0 desk | ended restart")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.InfoLevel)
		a.arrive("c1") // before Start
		a.Start(a.line)
		a.Tell("c1", byCaller)
		a.Close()
		a.Close()
		synctest.Wait()
		same(t, "what was told is journaled", a.journal.words("c1"), "arrived | scored unknown | queued 112 passed 0 | left 0 caller | ended abandoned")
		a.arrive("c2")
		if err := a.Order(t.Context(), queue.Order{Verb: queue.Drain}); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("an order to a closed desk: %v", err)
		}
		if err := a.Idle(t.Context()); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("idle of a closed desk: %v", err)
		}
		if v := a.View(); v.Ended != 1 {
			t.Errorf("the last view: %+v", v.Totals)
		}
	})
}

func TestCloseUnderAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.InfoLevel)
		a.up("t1")
		a.Start(a.line)
		synctest.Wait()
		a.journal.set(func(j *journal) { j.stall = "before" })
		got := make(chan error, 1)
		go func() {
			got <- a.Order(context.Background(), queue.Order{Verb: queue.Pause, To: call.Party{Taker: "t1"}})
		}()
		synctest.Wait()
		a.Close()
		if err := <-got; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("an order under Close: %v", err)
		}
		a.journal.release(false)
	})
}

func TestCloseBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.InfoLevel)
		if v := a.View(); !v.At.IsZero() || v.Live != 0 {
			t.Errorf("a view before the start: %+v", v)
		}
		a.Close()
		a.Start(a.line)
		a.arrive("c1")
		synctest.Wait()
		same(t, "line", a.line.say(), "")
	})
}

// TestRestartOfTheActor is what run.go does: Apply, Restored, Phone, Start, Left by node.
func TestRestartOfTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.InfoLevel)
		at := time.Now()
		for i, ev := range []call.Event{
			call.Arrived{Caller: asserted("+621")}, call.Scored{P: -1}, call.Queued{Queue: "112", Since: at}, call.Offered{Leg: 1, To: call.Party{Taker: "t1"}},
		} {
			a.Apply(call.Entry{Of: "c1", N: uint32(i + 1), At: at, Event: ev})
		}
		a.Apply(call.Entry{Of: "s0", N: 1, At: at, Event: call.TakerChanged{Taker: "t1", State: call.Ready}})
		a.Tell("c1", call.Restored{Node: "n"})
		a.up("t1")
		a.Tell("c1", call.Left{Leg: 1, By: "node", Why: "restart"})
		a.Start(a.line)
		defer a.Close()
		synctest.Wait()
		a.arrive("c2")
		synctest.Wait()
		same(t, "c1", a.journal.words("c1"), "restored | left 1 node | offered 2 t1")
		same(t, "line", a.line.say(),
			`0s answer c1 | 0s play c1 0 "waiting" | 0s ring c1 2 t1 | 0s answer c2 | 0s play c2 0 "waiting"`)
	})
}

// TestViewOfMany: with few calls the view is always the latest, with many at most a tenth of a second old.
func TestViewOfMany(t *testing.T) {
	inBubble(t, func(t *testing.T, a *actor) {
		for i := range 300 {
			a.arrive(call.ID(fmt.Sprintf("c%d", i)))
			synctest.Wait()
			live := int(a.View().Live)
			if i < 256 && live != i+1 {
				t.Fatalf("the view shows %d of %d calls", live, i+1)
			}
		}
		if live := a.View().Live; live == 300 {
			t.Error("a view was taken for every change though many calls are live")
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if v := a.View(); v.Live != 300 || len(v.Waiting) != 300 {
			t.Errorf("the view shows %d live, %d waiting", v.Live, len(v.Waiting))
		}
	})
}

func TestLog(t *testing.T) {
	for _, tt := range []struct {
		debug  bool
		number string
	}{{false, "+628••••0001"}, {true, "+628115550001"}} {
		synctest.Test(t, func(t *testing.T) {
			level := zap.InfoLevel
			if tt.debug {
				level = zap.DebugLevel
			}
			a := newActor(level)
			a.Start(a.line)
			a.up("t1")
			a.arrive("c1")
			for _, ev := range []call.Event{
				call.Answered{}, call.Rang{Leg: 1}, call.Heard{What: "dtmf:1"}, call.Answered{Leg: 1}, call.Left{Leg: 1, By: "taker"}, byDesk,
			} {
				a.Tell("c1", ev)
			}
			a.Tell("c9", byCaller)
			a.Tell("c2", call.Arrived{Reject: 404})
			if err := a.Order(t.Context(), queue.Order{Verb: queue.Classify, Of: "c1", Text: "prank"}); err != nil {
				t.Error(err)
			}
			if err := a.Order(t.Context(), queue.Order{Verb: queue.Drain, ID: "a1"}); err != nil {
				t.Error(err)
			}
			a.Close()
			var lines []string
			for _, e := range a.log.All() {
				if e.Message == "arrived" && e.ContextMap()["of"] == "c1" && e.ContextMap()["caller"] != tt.number {
					t.Errorf("the caller is logged as %v", e.ContextMap()["caller"])
				}
				lines = append(lines, e.Message)
			}
			want := "taker | arrived | scored: no history | queued | offered | answered | rang | heard | answered | role | role | left | " +
				"taker | left | ended | input ignored | arrived | classified | act"
			same(t, "log", strings.Join(lines, " | "), want)
		})
	}
}

func TestMask(t *testing.T) {
	for number, want := range map[string]string{
		"": "", "112": "••••", "08123456": "••••", "081234567": "0812••••4567", "081299994431": "0812••••4431", "+628115550001": "+628••••0001",
	} {
		if got := queue.Mask(number); got != want {
			t.Errorf("%q is shown as %q, want %q", number, got, want)
		}
	}
}

// TestCrowd is for the race detector: everything from everywhere at once, and the ledger balances.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor(zap.ErrorLevel)
		a.journal.synchron = true
		a.Start(a.line)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				taker := call.TakerID(fmt.Sprintf("t%d", g))
				a.up(taker)
				for i := range 50 {
					id := call.ID(fmt.Sprintf("c%d-%d", g, i))
					a.arrive(id)
					a.Tell(id, call.Answered{})
					a.Tell(id, call.Rang{Leg: 1})
					a.Tell(id, call.Answered{Leg: 1})
					a.View()
					a.Filed(call.Record{Of: id, Kind: call.Prank, Caller: asserted("+62")})
					if err := a.Order(t.Context(), queue.Order{Verb: queue.Ready, To: call.Party{Taker: taker}}); err != nil {
						t.Error(err)
					}
					a.Tell(id, byCaller)
					for l := range call.Leg(4) {
						a.Tell(id, call.Left{Leg: l + 1, By: "desk"})
					}
				}
				a.Phone(call.Party{Taker: taker}, false)
			})
		}
		wg.Wait()
		a.Close()
		if v := a.View(); v.Arrived != 400 || v.Ended+v.Live != 400 {
			t.Errorf("the ledger: %+v", v.Totals)
		}
	})
}
