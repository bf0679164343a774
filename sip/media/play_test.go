package media_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/sip/media"
)

// once is a prompt that is played once: five frames, and the same five again.
func once(t *testing.T) (p *media.Prompt, five []byte) {
	t.Helper()
	for n := range 5 {
		five = append(five, numbered(n+1)...)
	}
	return media.NewLibrary(written(t, "five.al", five), nil).Prompt("waiting waiting"), five
}

// playing is a prompt of 200 ms at work.
type playing struct {
	s      *media.Stream
	at     netip.AddrPort
	prompt *media.Prompt
	over   func(name string) func()
}

// TestPlayOnce does something 90 ms after the beginning. It looks at what was over when, in ms, and at which of the five
// frames were heard.
func TestPlayOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		amid  func(p *playing)
		want  []string
		heard []int
	}{
		{"to its end", func(*playing) {}, []string{"first 200"}, []int{1, 2, 3, 4, 5, 1, 2, 3, 4, 5}},
		{"stopped", func(p *playing) { p.s.Play(nil, nil) }, nil, []int{1, 2, 3, 4, 5}},
		{"closed", func(p *playing) { p.s.Close() }, nil, []int{1, 2, 3, 4, 5}},
		{"replaced by a loop", func(p *playing) { p.s.Play(media.Announcement(), p.over("loop")) }, nil, []int{1, 2, 3, 4, 5}},
		{"replaced by another", func(p *playing) {
			p.s.Play(media.NewLibrary(nil, nil).Prompt("status"), p.over("status"))
		}, []string{"status 770"}, []int{1, 2, 3, 4, 5}},
		{"the same again", func(p *playing) { p.s.Play(p.prompt, p.over("again")) }, []string{"again 200"}, []int{1, 2, 3, 4, 5, 1, 2, 3, 4, 5}},
		{"the same again, nobody waits", func(p *playing) { p.s.Play(p.prompt, nil) }, nil, []int{1, 2, 3, 4, 5, 1, 2, 3, 4, 5}},
		{"held", func(p *playing) { p.s.Set(pcma, netip.AddrPort{}) }, []string{"first 200"}, []int{1, 2, 3, 4, 5}},
		{"held and resumed", func(p *playing) {
			p.s.Set(pcma, netip.AddrPort{})
			time.Sleep(40 * time.Millisecond)
			p.s.Set(pcma, p.at)
		}, []string{"first 200"}, []int{1, 2, 3, 4, 5, 3, 4, 5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			prompt, _ := once(t)
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(true)
				s, p := leg(t, m, newPorts(m), "10.0.0.1:4000", pcma, nil)
				start := time.Now()
				var got []string
				over := func(name string) func() {
					return func() { got = append(got, fmt.Sprint(name, " ", time.Since(start).Milliseconds())) }
				}
				s.Play(prompt, over("first"))
				time.Sleep(90 * time.Millisecond)
				tc.amid(&playing{s, p.conn.addr, prompt, over})
				time.Sleep(time.Second)
				synctest.Wait()
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("over: -want +got\n%s", diff)
				}
				var heard []int
				for _, pkt := range p.got(t) {
					if n := number(pkt.Payload); n > 0 {
						heard = append(heard, n)
					}
				}
				if diff := cmp.Diff(tc.heard, heard); diff != "" {
					t.Errorf("heard: -want +got\n%s", diff)
				}
			})
		})
	}
}

// TestPlayNowhere: a prompt that is played once ends though it cannot be heard, and one without sound ends at once.
func TestPlayNowhere(t *testing.T) {
	prompt, _ := once(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newPorts(newMemory(true)))
		var over atomic.Int32
		told := func() { over.Add(1) }
		s.Play(prompt, told)
		time.Sleep(199 * time.Millisecond)
		if over.Load() != 0 {
			t.Error("over before its time")
		}
		time.Sleep(2 * time.Millisecond)
		s.Play(&media.Prompt{}, told)
		synctest.Wait()
		if n := over.Load(); n != 2 {
			t.Errorf("%d prompts over of 2", n)
		}
	})
}

// TestPlayThenNext plays from within over, and then hears the other again.
func TestPlayThenNext(t *testing.T) {
	prompt, five := once(t)
	synctest.Test(t, func(t *testing.T) {
		_, b, pa, pb := pair(t, true, pcma, pcma, nil)
		next := written(t, "next.al", tone(9))
		once := media.NewLibrary(next, nil).Prompt("waiting waiting")
		b.Play(prompt, func() { b.Play(once, func() { pb.Marker = true }) })
		time.Sleep(5 * time.Millisecond)
		for range 15 {
			pa.say(t, tone(1)...)
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		got := pb.got(t)
		wantContinuous(t, got)
		var heard []byte
		for i, p := range got {
			heard = append(heard, p.Payload...)
			if p.Marker != (i == 0 || i == 10 || i == 12) {
				t.Errorf("frame %d: %v", i, p.Header)
			}
		}
		wantSteps := slices.Repeat([]uint32{160}, 14)
		wantSteps[11] = 200 // what is relayed has a clock of its own
		if diff := cmp.Diff(wantSteps, steps(got)); diff != "" {
			t.Errorf("timestamps: -want +got\n%s", diff)
		}
		want := bytes.Join([][]byte{five, five, tone(9), tone(9), tone(1), tone(1), tone(1)}, nil)
		if diff := cmp.Diff(want, heard); diff != "" || !pb.Marker {
			t.Errorf("-want +heard\n%s", diff)
		}
	})
}

// TestCloseWaitsForOver closes a stream while over is at work.
func TestCloseWaitsForOver(t *testing.T) {
	prompt, _ := once(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newPorts(newMemory(true)))
		var over bool
		s.Play(prompt, func() {
			time.Sleep(time.Second)
			over = true
		})
		time.Sleep(prompt.Duration() + time.Millisecond)
		s.Close()
		if !over {
			t.Error("closed before")
		}
	})
}

// TestPtime asks for packets of other lengths (RFC 4566 section 6): what is made here, a prompt or a mix, fits them.
func TestPtime(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		asked   time.Duration
		samples int
	}{{0, 160}, {10 * ms, 80}, {20 * ms, 160}, {30 * ms, 240}, {40 * ms, 320}, {60 * ms, 480}, {35 * ms, 240}, {1, 80}, {time.Second, 480}} {
		t.Run(fmt.Sprint(tc.asked), func(t *testing.T) {
			prompt, five := once(t)
			synctest.Test(t, func(t *testing.T) {
				streams, peers := conference(t, nil, pcma, pcma, pcma)
				s, p := streams[2], peers[2]
				f := pcmu
				f.Ptime = tc.asked
				s.Set(f, p.conn.addr)
				start, end := time.Now(), time.Duration(0)
				s.Play(prompt, func() { end = time.Since(start) })
				time.Sleep(300 * time.Millisecond)
				synctest.Wait()
				prompted := p.got(t)
				var heard []byte
				for _, pkt := range prompted {
					heard = append(heard, pkt.Payload...)
				}
				want := bytes.Repeat([]byte{0xd5}, (1600+tc.samples-1)/tc.samples*tc.samples) // ends in silence
				copy(want[copy(want, five):], five)
				want = g711.Alaw2Ulaw(want)
				if diff := cmp.Diff(want, heard); diff != "" || end != time.Duration(len(want))*time.Second/8000 {
					t.Errorf("over after %v; -want +heard\n%s", end, diff)
				}
				for range 50 {
					peers[0].say(t, level(media.PCMA, 1120)...)
					time.Sleep(20 * time.Millisecond)
				}
				all := append(prompted, p.got(t)...)
				wantContinuous(t, all)
				for i, pkt := range all {
					if len(pkt.Payload) != tc.samples || i > 0 && !pkt.Marker && pkt.Timestamp-all[i-1].Timestamp != uint32(tc.samples) {
						t.Errorf("packet %d: %d samples, %v", i, len(pkt.Payload), pkt.Header)
					}
				}
				if mixed := len(all) - len(prompted); mixed < 8000/tc.samples-6 {
					t.Errorf("%d packets of a second's mix", mixed)
				}
			})
		})
	}
}
