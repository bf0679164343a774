package media_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/sip/media"
)

// conference is legs that each hear all others. What they say from now on does not meet the clocks of their mixes.
func conference(t *testing.T, heard func(string), formats ...media.Format) ([]*media.Stream, []*peer) {
	t.Helper()
	m := newMemory(true)
	ports := newPorts(m)
	var streams []*media.Stream
	var peers []*peer
	for i, f := range formats {
		s, p := leg(t, m, ports, fmt.Sprintf("10.0.0.%d:4000", i+1), f, heard)
		p.SSRC = uint32(i)
		streams, peers = append(streams, s), append(peers, p)
	}
	for i, s := range streams {
		s.Hear(others(streams, i)...)
	}
	time.Sleep(5 * time.Millisecond)
	return streams, peers
}

func others(all []*media.Stream, i int) []*media.Stream {
	return slices.Concat(all[:i], all[i+1:])
}

// level is a frame of one value, in the law of a codec.
func level(c media.Codec, v int16) []byte {
	if c == media.PCMU {
		return tone(g711.EncodeUlawFrame(v))
	}
	return tone(g711.EncodeAlawFrame(v))
}

// levels are the values of frames, each of which must be of one value.
func levels(t *testing.T, got []*rtp.Packet) []int {
	t.Helper()
	var all []int
	for i, p := range got {
		decode := g711.DecodeAlawFrame
		if p.PayloadType == 0 {
			decode = g711.DecodeUlawFrame
		}
		for _, b := range p.Payload {
			if b != p.Payload[0] {
				t.Errorf("packet %d holds more than one level: %v", i, p.Payload)
				break
			}
		}
		all = append(all, int(decode(p.Payload[0])))
	}
	return all
}

// TestConference lets three speak at once: each hears the sum of the two others.
func TestConference(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values [3]int16 // that both laws have
		want   [3]int
	}{
		{"all", [3]int16{1120, 2016, 4032}, [3]int{6016, 5120, 3136}},
		{"too loud", [3]int16{30000, 30000, -30000}, [3]int{0, 0, 32767}},
		{"too loud below", [3]int16{-30000, -30000, 30000}, [3]int{0, 0, -32768}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, peers := conference(t, nil, pcma, pcmu, pcma)
				for range 50 {
					for i, p := range peers {
						p.say(t, level(media.Codec(p.PayloadType), tc.values[i])...)
					}
					time.Sleep(20 * time.Millisecond)
				}
				time.Sleep(100 * time.Millisecond)
				for i, p := range peers {
					got := p.got(t)
					wantContinuous(t, got)
					if len(got) != 50 {
						t.Fatalf("leg %d hears %d of 50 frames", i, len(got))
					}
					for j, heard := range levels(t, got) {
						if off := heard - tc.want[i]; off*off > (tc.want[i]/32)*(tc.want[i]/32)+300*300 || got[j].Marker != (j == 0) {
							t.Fatalf("leg %d, frame %d: %d instead of %d, marker %v", i, j, heard, tc.want[i], got[j].Marker)
						}
						if j > 0 && got[j].Timestamp-got[j-1].Timestamp != 160 || got[j].PayloadType != p.PayloadType {
							t.Errorf("leg %d, frame %d: %v", i, j, got[j].Header)
						}
					}
				}
			})
		})
	}
}

// TestMixOfOne: what a single one says comes out of a mix bit for bit, where the law is the same.
func TestMixOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := conference(t, nil, pcma, pcma, pcma)
		said := slice(1600)
		for at := 0; at < len(said); at += 160 {
			peers[0].say(t, said[at:at+160]...)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for _, p := range peers[1:] {
			var heard []byte
			for _, pkt := range p.got(t) {
				heard = append(heard, pkt.Payload...)
			}
			if diff := cmp.Diff(said, heard); diff != "" {
				t.Errorf("-said +heard\n%s", diff)
			}
		}
		if got := peers[0].got(t); len(got) > 0 {
			t.Errorf("he hears himself: %d packets", len(got))
		}
	})
}

// arrival is a frame that reaches us so many ms after the start, with a number that is its time and its level.
type arrival struct {
	ms, n int
}

func steady(from, to int) []arrival {
	var all []arrival
	for n := from; n < to; n++ {
		all = append(all, arrival{20*n + 1, n})
	}
	return all
}

// TestJitter follows frames through a mix: n is heard as n, a frame that is missing between others as 0.
func TestJitter(t *testing.T) {
	for _, tc := range []struct {
		name string
		sent []arrival
		want []int
	}{
		{"in order", steady(1, 6), []int{1, 2, 3, 4, 5}},
		{"a single one", steady(1, 2), []int{1}},
		{"overtaken", []arrival{{1, 1}, {21, 3}, {22, 2}, {61, 4}}, []int{1, 2, 3, 4}},
		{"twice", []arrival{{1, 1}, {21, 2}, {22, 2}, {41, 3}}, []int{1, 2, 3}},
		{"lost", []arrival{{1, 1}, {21, 2}, {61, 4}, {81, 5}}, []int{1, 2, 4, 5}},
		{"lost, seen in time", []arrival{{1, 1}, {21, 2}, {22, 4}, {81, 5}}, []int{1, 2, 0, 4, 5}},
		{"late by less than a frame", []arrival{{1, 1}, {21, 2}, {59, 3}, {61, 4}}, []int{1, 2, 3, 4}},
		{"late by more", []arrival{{1, 1}, {21, 2}, {90, 3}, {91, 4}, {101, 5}}, []int{1, 2, 3, 4, 5}},
		{"too late", []arrival{{1, 1}, {21, 3}, {82, 4}, {83, 1}, {101, 5}}, []int{1, 0, 3, 4, 5}},
		{"all at once", []arrival{{1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}}, []int{1, 2, 3, 4, 5}},
		{"more than 100 ms at once", []arrival{{1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {2, 7}}, []int{5, 6, 7}},
		{"a pause", append(steady(1, 4), steady(50, 53)...), []int{1, 2, 3, 50, 51, 52}},
		{"lost, when the ring has been full", append(steady(1, 20), arrival{382, 21}, arrival{441, 22}), append(count(1, 20), 0, 21, 22)},
		{"time begins anew", []arrival{{1, 5000}, {21, 5001}, {101, 1}, {121, 2}}, []int{5000, 5001, 1, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, peers := conference(t, nil, pcma, pcma, pcma)
				start, first := time.Now(), peers[0].Header
				for _, a := range tc.sent {
					time.Sleep(time.Duration(a.ms)*time.Millisecond - time.Since(start))
					h := first
					h.SequenceNumber += uint16(a.n)
					h.Timestamp += uint32(160 * a.n)
					peers[0].send(t, h, numbered(a.n))
				}
				time.Sleep(time.Second)
				var heard []int
				got := peers[1].got(t)
				for _, p := range got {
					n := number(p.Payload)
					if n == 0 && !bytes.Equal(p.Payload, tone(0xd5)) {
						t.Errorf("frame %d is not silent: %v", len(heard), p.Payload)
					}
					heard = append(heard, n)
				}
				wantContinuous(t, got)
				if diff := cmp.Diff(tc.want, heard); diff != "" {
					t.Errorf("-want +heard\n%s", diff)
				}
			})
		})
	}
}

func count(from, to int) (all []int) {
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

// TestMixOfSources: another source at a peer has timestamps of its own (RFC 3550 section 5.1).
func TestMixOfSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := conference(t, nil, pcma, pcma, pcma)
		h, other := peers[0].Header, peers[0].Header
		other.SSRC, other.Timestamp = 99, h.Timestamp-3200
		for n := 1; n <= 4; n++ {
			peers[0].send(t, h, numbered(n))
			h.Timestamp += 160
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(40 * time.Millisecond)
		for n := 5; n <= 8; n++ {
			peers[0].send(t, other, numbered(n))
			other.Timestamp += 160
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		var heard []int
		for _, p := range peers[1].got(t) {
			heard = append(heard, number(p.Payload))
		}
		if diff := cmp.Diff(count(1, 9), heard); diff != "" {
			t.Errorf("-want +heard\n%s", diff)
		}
	})
}

// TestJoin: while one speaks, others come to a mix and leave it, and nothing of him is lost.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, peers := conference(t, nil, pcma, pcma, pcma, pcma)
		a, b, c, d := streams[0], streams[1], streams[2], streams[3]
		d.Hear(a, b)
		for n := 1; n <= 40; n++ {
			switch n {
			case 10:
				d.Hear(c, b, a)
			case 20:
				d.Hear(a, c)
			case 30:
				d.Hear(c, a)
			}
			h := peers[0].Header
			h.Timestamp += uint32(160 * n)
			peers[0].send(t, h, numbered(n))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		var heard []int
		for i, p := range peers[3].got(t) {
			heard = append(heard, number(p.Payload))
			if p.Marker != (i == 0) {
				t.Errorf("frame %d: marker %v", i, p.Marker)
			}
		}
		if diff := cmp.Diff(count(1, 41), heard); diff != "" {
			t.Errorf("-want +heard\n%s", diff)
		}
	})
}

// numbered is a frame that tells its number.
func numbered(n int) []byte {
	b := tone(0xd5)
	copy(b, fmt.Sprintf("%08d", n))
	return b
}

// number is that of a frame, 0 if it tells none.
func number(b []byte) int {
	n, err := strconv.Atoi(string(b[:8]))
	if err != nil {
		return 0
	}
	return n
}

// TestMixOfPacketSizes mixes what comes in packets that are no frames of ours.
func TestMixOfPacketSizes(t *testing.T) {
	for _, size := range []int{80, 160, 240, 320, 480} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, peers := conference(t, nil, pcma, pcma, pcma)
				said := slice(size * 20)
				for at := 0; at < len(said); at += size {
					peers[0].say(t, said[at:at+size]...)
					time.Sleep(time.Duration(size) * time.Second / 8000)
				}
				time.Sleep(time.Second)
				var heard []byte
				for _, p := range peers[2].got(t) {
					heard = append(heard, p.Payload...)
				}
				heard = heard[:min(len(heard), len(said))]
				if diff := cmp.Diff(said, heard); diff != "" {
					t.Errorf("-said +heard\n%s", diff)
				}
			})
		})
	}
}

// TestMixOfDriftingClock listens for a minute to a source whose clock is fast: what is too much is left out, and the
// mix does not lag further and further.
func TestMixOfDriftingClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := conference(t, nil, pcma, pcma, pcma)
		var worst, heard int
		for n := 1; n < 3100; n++ {
			h := peers[0].Header
			h.Timestamp += uint32(160 * n)
			peers[0].send(t, h, numbered(n))
			time.Sleep(19 * time.Millisecond)
			for _, p := range peers[1].got(t) {
				if m := number(p.Payload); m > 0 {
					worst, heard = max(worst, n-m), heard+1
				}
			}
		}
		if worst > 6 || heard < 2800 {
			t.Errorf("%d frames heard, the last of them %d frames late", heard, worst)
		}
	})
}

// TestMixRests: while nobody speaks nothing is sent, and timestamps go on.
func TestMixRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, peers := conference(t, nil, pcma, pcma, pcma)
		talk := func() {
			for range 3 {
				peers[0].say(t, tone(1)...)
				time.Sleep(20 * time.Millisecond)
			}
			peers[0].Timestamp += 8000 - 3*160
			time.Sleep(940 * time.Millisecond)
		}
		talk()
		streams[2].Hear(streams[1], streams[0]) // nothing new
		talk()
		got := peers[2].got(t)
		wantContinuous(t, got)
		if diff := cmp.Diff([]uint32{160, 160, 8000 - 320, 160, 160}, steps(got)); diff != "" {
			t.Errorf("timestamps: -want +got\n%s", diff)
		}
		for i, p := range got {
			if p.Marker != (i%3 == 0) { // the beginning of talk (RFC 3551 section 4.1)
				t.Errorf("frame %d: marker %v", i, p.Marker)
			}
		}
	})
}

// TestMixedAndRelayed follows what one hears while others come and go.
func TestMixedAndRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, peers := conference(t, nil, pcma, pcma, pcma, pcma)
		a, b, c, d := streams[0], streams[1], streams[2], streams[3]
		second := func(from ...*media.Stream) { // of a and b speaking
			d.Hear(from...)
			time.Sleep(5 * time.Millisecond)
			for range 50 {
				peers[0].say(t, level(media.PCMA, 1120)...)
				peers[1].say(t, level(media.PCMA, 2016)...)
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(15 * time.Millisecond)
		}
		second(a)
		second(a, b)
		second(b)
		second(b, c)
		second(c, b, a)
		second(c, a)
		second()
		second(a, b)
		second(nil, a, a)
		got := peers[3].got(t)
		wantContinuous(t, got)
		first := got[0].Timestamp
		var heard [10]map[int]int // by the second: how often which level
		for i, p := range got {
			at := int(p.Timestamp-first) / 8160
			if heard[at] == nil {
				heard[at] = map[int]int{}
			}
			heard[at][levels(t, got[i:i+1])[0]]++
		}
		want := [9][]int{{1120}, {3136}, {2016}, {2016}, {3136}, {1120}, nil, {3136}, {1120}}
		for i, of := range want { // a mix lags, so that a few frames fall into the next second
			for _, v := range of {
				if heard[i][v] < 46 {
					t.Errorf("second %d: %v, want %d", i, heard[i], v)
				}
			}
			if of == nil && heard[i][1120] > 3 {
				t.Errorf("second %d: %v, want nothing", i, heard[i])
			}
		}
	})
}

// TestMixAndPrompt: a prompt goes before a mix, which goes on after it with what is said then.
func TestMixAndPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, peers := conference(t, nil, pcma, pcma, pcma)
		say := func(n int) {
			for range n {
				peers[0].say(t, tone(1)...)
				time.Sleep(20 * time.Millisecond)
			}
		}
		say(10)
		prompt := written(t, "two.al", slice(160))
		streams[2].Play(prompt, nil)
		say(10)
		streams[2].Play(nil, nil)
		say(10)
		got := peers[2].got(t)
		wantContinuous(t, got)
		var heard []byte
		for i, p := range got {
			heard = append(heard, p.Payload[2])
			if i > 0 && (p.Timestamp-got[i-1].Timestamp > 480 || p.Timestamp-got[i-1].Timestamp < 160) {
				t.Errorf("frame %d: timestamp %d after the one before", i, p.Timestamp-got[i-1].Timestamp)
			}
		}
		if heard = slices.Compact(heard); !slices.Equal(heard, []byte{1, 14, 1}) {
			t.Errorf("heard %v", heard)
		}
		if len(got) < 28 {
			t.Errorf("%d frames of 30", len(got))
		}
	})
}

// TestMixOnHold sends nothing to one who is held, and then goes on with what is said then.
func TestMixOnHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, peers := conference(t, nil, pcma, pcma, pcma)
		at := peers[2].conn.addr
		say := func(b byte) (heard []*rtp.Packet) {
			for range 50 {
				peers[0].say(t, tone(b)...)
				time.Sleep(20 * time.Millisecond)
			}
			return peers[2].got(t)
		}
		before := say(1)
		streams[2].Set(pcma, netip.AddrPort{})
		held := say(2)
		streams[2].Set(pcma, at)
		after := say(3)
		if len(held) > 0 {
			t.Errorf("%d packets on hold", len(held))
		}
		wantContinuous(t, slices.Concat(before, after))
		if len(after) < 49 || after[len(after)-1].Timestamp-before[0].Timestamp != 160*148 {
			t.Errorf("%d frames after the hold, %d samples in all", len(after), after[len(after)-1].Timestamp-before[0].Timestamp)
		}
		for i, p := range after[2:] {
			if p.Payload[0] != 3 {
				t.Errorf("frame %d after the hold is of before", i+2)
			}
		}
	})
}

// TestKeysAreNotMixed: they are heard and told, and leave no trace in a mix.
func TestKeysAreNotMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		_, peers := conference(t, func(what string) { heard = append(heard, what) }, pcma, pcma, pcma)
		for range 10 {
			peers[0].say(t, tone(1)...)
			time.Sleep(20 * time.Millisecond)
		}
		for _, k := range press(5, peers[0].Timestamp) {
			sendKey(t, peers[0], k, 101)
			time.Sleep(20 * time.Millisecond)
		}
		peers[0].PayloadType = 13
		peers[0].say(t, 60)
		time.Sleep(time.Second)
		got := peers[1].got(t)
		wantContinuous(t, got)
		if len(got) != 10 {
			t.Errorf("%d packets of 10", len(got))
		}
		if diff := cmp.Diff([]string{"dtmf:5"}, heard); diff != "" {
			t.Errorf("keys: -want +heard\n%s", diff)
		}
	})
}

// TestMixerEnds counts goroutines: there is one more while a stream mixes, and none for a packet.
func TestMixerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, peers := conference(t, nil, pcma, pcma, pcma)
		count := func() int {
			time.Sleep(time.Second)
			synctest.Wait()
			return runtime.NumGoroutine()
		}
		three := count()
		peers[0].say(t, tone(1)...)
		streams[0].Hear(streams[1])
		two := count()
		streams[0].Hear(streams[2], streams[1])
		streams[0].Hear(streams[2], streams[0])
		streams[0].Hear(streams[2], streams[1], streams[0])
		again := count()
		streams[0].Hear()
		none := count()
		streams[1].Close()
		closed := count()
		got := []int{two - three, again - three, none - three, closed - three}
		if diff := cmp.Diff([]int{-1, 0, -1, -3}, got); diff != "" {
			t.Errorf("goroutines: -want +got\n%s", diff)
		}
	})
}

// BenchmarkMix is 20 ms of a call of three: six packets taken and three frames made, without the network.
func BenchmarkMix(b *testing.B) {
	for _, bm := range []struct {
		name string
		from media.Codec
	}{{"same", media.PCMA}, {"transcoded", media.PCMU}} {
		b.Run(bm.name, func(b *testing.B) {
			sources := []*media.Stream{{}, {}, {}}
			var heard [][]*media.Stream
			var mixes []*media.Mix
			for i := range sources {
				heard = append(heard, others(sources, i))
				mixes = append(mixes, media.NewMix(heard[i]...))
			}
			p := rtp.Packet{Payload: slice(160)}
			out := make([]byte, 160)
			b.ReportAllocs()
			for b.Loop() {
				p.Timestamp += 160
				for i, m := range mixes {
					for _, s := range heard[i] {
						m.Put(s, &p, bm.from)
					}
					m.Next(out)
				}
			}
		})
	}
}
