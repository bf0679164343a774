package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// bytesOf reads values out of fuzzed bytes; past the end all are zero.
type bytesOf struct {
	b    []byte
	last call.ID
}

func (b *bytesOf) next(n int) int {
	if len(b.b) == 0 {
		return 0
	}
	v := int(b.b[0]) % n
	b.b = b.b[1:]
	return v
}

func (b *bytesOf) id() call.ID {
	return call.ID(fmt.Sprintf("%c%d", "cccsxa"[b.next(6)], b.next(3)))
}

func (b *bytesOf) who() call.TakerID { return []call.TakerID{"", "t1", "t2", "t3"}[b.next(4)] }

// event is any event at all, also those that no line tells.
func (b *bytesOf) event() call.Event {
	leg := call.Leg(b.next(4))
	switch b.next(16) {
	case 0:
		return call.Arrived{Caller: asserted(prankster(b.next(10))), Reject: []int{0, 0, 404, 503}[b.next(4)], Test: b.next(5) == 1}
	case 1:
		return call.Scored{P: float64(b.next(3)), Delay: time.Duration(b.next(100)-20) * time.Second}
	case 2:
		return call.Queued{Since: start.Add(time.Duration(b.next(100)) * time.Second), Passed: uint8(b.next(256))}
	case 3, 4:
		return call.Offered{
			Leg: leg + call.Leg(b.next(3))*32_700, To: call.Party{Taker: b.who()},
			For: []string{call.ForAnswer, call.ForTransfer, call.ForConsult, call.ForOwn}[b.next(4)],
		}
	case 5:
		return call.Rang{Leg: leg}
	case 6, 7:
		return call.Answered{Leg: leg}
	case 8:
		return call.RoleSet{Leg: leg, Role: call.Role(b.next(3))}
	case 9:
		return call.Heard{Leg: leg}
	case 10, 11:
		return call.Left{Leg: leg, By: []string{"caller", "taker", "network", "node", "desk", ""}[b.next(6)]}
	case 12:
		return call.Restored{}
	case 13:
		return call.Ended{Outcome: call.WasFailed}
	case 14:
		return call.TakerChanged{
			Taker: b.who(), State: []call.TakerState{call.Ready, call.Paused, call.WrapUp, call.Off, "?"}[b.next(5)],
			Until: start.Add(time.Duration(b.next(100)) * time.Second),
		}
	case 15:
		return []call.Event{nil, call.Acted{}, call.Classified{}}[b.next(3)]
	}
	return nil
}

// entry is any entry, its number often the next one of its subject, or one of an older.
func (b *bytesOf) entry(n map[call.ID]uint32) call.Entry {
	of := b.id()
	if b.next(3) > 0 && b.last != "" {
		of = b.last
	}
	b.last = of
	n[of] += uint32(b.next(3))
	return call.Entry{Of: of, N: n[of], At: start.Add(time.Duration(b.next(120)-10) * time.Second), Event: b.event()}
}

func (b *bytesOf) input(shift int) queue.Input {
	switch b.next(10) {
	case 0:
		return queue.Phone{Shift: call.ID(fmt.Sprintf("s%d", 10+shift)), Who: call.Party{Taker: b.who()}, Up: b.next(3) > 0}
	case 1:
		return queue.Order{
			ID: b.id(), Verb: []string{"pause", "ready", "classify", "drain", "stop", "?"}[b.next(6)], Of: b.id(),
			To: call.Party{Taker: b.who()}, Text: []string{"prank", "?", " silent \xff "}[b.next(3)],
		}
	case 2:
		return queue.Tick{}
	case 3:
		return queue.Filed{Record: call.Record{Of: b.id(), Caller: asserted(prankster(b.next(10))), Kind: call.Kinds[b.next(8)]}}
	case 4, 5:
		return queue.Ask{
			ID: b.id(), Of: b.id(), Leg: []call.Leg{0, 1, 2, 3, own - 1, own}[b.next(6)],
			Want: []string{
				queue.WantHold, queue.WantResume, queue.WantDial, queue.WantDial, queue.WantTransfer, queue.WantReplace, queue.WantPlayed, "?",
			}[b.next(8)],
			To: call.Party{Taker: b.who(), URI: []string{"", "t1", "t2", "t3", "*0", "*00", "*4", "*9", "*?"}[b.next(9)]},
		}
	}
	return queue.Fact{Of: b.id(), Event: b.event()}
}

// FuzzApply applies entries in any order, and then lets the desk live on: nothing panics, the lists stay right, and no
// input makes a tight loop.
func FuzzApply(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 2, 5, 0}, []byte{0, 1, 2, 0, 1, 2})
	f.Add([]byte("cmnasdfnlkjzxcvpoiuqwer0123456789lkjhasdf98273465"), []byte("zxc0123vnbmqwe98adflkjrtyuiop"))
	f.Fuzz(func(t *testing.T, journal, life []byte) {
		w := newWorld(t, rules(func(r *queue.Rules) {
			if len(journal)%2 == 1 {
				ringAll(r)
			}
			if len(life)%2 == 1 {
				byTaker(r)
			}
			r.MaxCalls = 2
		}), pranksters(time.Minute))
		numbers := map[call.ID]uint32{}
		for b := (&bytesOf{b: journal}); len(b.b) > 0; {
			w.desk.Apply(b.entry(numbers))
			if bad := w.desk.Consistent(); bad != "" {
				t.Fatal(bad)
			}
		}
		shift := 0
		for b := (&bytesOf{b: life}); len(b.b) > 0; shift++ {
			w.step(b.input(shift))
			w.wait(time.Duration(b.next(8)) * time.Second)
		}
		w.desk.View(w.now)
	})
}
