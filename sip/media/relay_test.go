package media_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/sip/media"
)

var (
	pcma = media.Format{Codec: media.PCMA, Event: 101}
	pcmu = media.Format{Codec: media.PCMU, Event: 96}
)

// pair is two legs that hear each other, on a network of its own.
func pair(t *testing.T, fast bool, fa, fb media.Format, heard func(string)) (a, b *media.Stream, pa, pb *peer) {
	t.Helper()
	m := newMemory(fast)
	ports := newPorts(m)
	a, pa = leg(t, m, ports, "10.0.0.1:4000", fa, heard)
	b, pb = leg(t, m, ports, "10.0.0.2:5000", fb, nil)
	a.Hear(b)
	b.Hear(a)
	return a, b, pa, pb
}

// wantContinuous holds headers against the rules of one RTP stream.
func wantContinuous(t *testing.T, got []*rtp.Packet) {
	t.Helper()
	for i, p := range got {
		if p.SSRC != got[0].SSRC || p.Version != 2 || len(p.CSRC) > 0 || p.Extension || p.Padding {
			t.Errorf("packet %d: %v", i, p)
		}
		if i > 0 && p.SequenceNumber != got[i-1].SequenceNumber+1 {
			t.Errorf("packet %d: sequence %d after %d", i, p.SequenceNumber, got[i-1].SequenceNumber)
		}
	}
}

// steps are the distances of timestamps.
func steps(got []*rtp.Packet) []uint32 {
	var all []uint32
	for i := 1; i < len(got); i++ {
		all = append(all, got[i].Timestamp-got[i-1].Timestamp)
	}
	return all
}

func TestRelayIsBitForBit(t *testing.T) {
	for _, fast := range []bool{false, true} {
		for _, f := range []media.Format{pcma, pcmu} {
			t.Run(fmt.Sprintf("fast=%v %v", fast, f.Codec), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, _, pa, pb := pair(t, fast, f, f, nil)
					random := rand.New(rand.NewPCG(1, 2))
					var said [][]byte
					for _, size := range []int{160, 160, 80, 240, 1, 160, 1400, 160} {
						payload := make([]byte, size)
						for i := range payload {
							payload[i] = byte(random.Uint32())
						}
						said = append(said, payload)
						pa.say(t, payload...)
					}
					synctest.Wait()
					got := pb.got(t)
					wantContinuous(t, got)
					var heard [][]byte
					for i, p := range got {
						heard = append(heard, p.Payload)
						if p.PayloadType != uint8(f.Codec) || p.Marker != (i == 0) || p.SSRC == pa.SSRC {
							t.Errorf("packet %d: %v", i, p)
						}
					}
					if diff := cmp.Diff(said, heard); diff != "" {
						t.Errorf("-said +heard\n%s", diff)
					}
					if diff := cmp.Diff([]uint32{160, 160, 80, 240, 1, 160, 1400}, steps(got)); diff != "" {
						t.Errorf("timestamps: -want +got\n%s", diff)
					}
					if got := pa.got(t); len(got) > 0 {
						t.Errorf("the speaker hears %d packets", len(got))
					}
				})
			})
		}
	}
}

func TestTranscoding(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	synctest.Test(t, func(t *testing.T) {
		_, _, pa, pb := pair(t, true, pcma, pcmu, nil)
		pa.say(t, all...)
		pb.say(t, all...)
		pa.PayloadType = uint8(media.PCMU) // the peer may change over to the other codec at any time: we offer both
		pa.say(t, all...)
		synctest.Wait()
		toB, toA := pb.got(t), pa.got(t)
		if len(toB) != 2 || len(toA) != 1 {
			t.Fatalf("%d and %d packets", len(toB), len(toA))
		}
		if !bytes.Equal(toB[0].Payload, g711.Alaw2Ulaw(all)) || toB[0].PayloadType != 0 {
			t.Errorf("A-law to mu-law: %v", toB[0])
		}
		if !bytes.Equal(toA[0].Payload, g711.Ulaw2Alaw(all)) || toA[0].PayloadType != 8 {
			t.Errorf("mu-law to A-law: %v", toA[0])
		}
		if !bytes.Equal(toB[1].Payload, all) || toB[1].PayloadType != 0 {
			t.Errorf("mu-law to mu-law: %v", toB[1])
		}
	})
}

func TestPayloadTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, pa, pb := pair(t, true, pcma, media.Format{Codec: media.PCMA, Event: 97, Audio: 104}, nil)
		pa.say(t, tone(1)...)
		pb.PayloadType = 104
		pb.say(t, tone(2)...)
		pb.PayloadType = 18
		pb.say(t, tone(3)...)
		synctest.Wait()
		if got := pb.got(t); len(got) != 1 || got[0].PayloadType != 104 {
			t.Errorf("to the peer with a type of its own: %v", got)
		}
		if got := pa.got(t); len(got) != 1 || got[0].PayloadType != 8 || got[0].Payload[0] != 2 {
			t.Errorf("from the peer with a type of its own: %v", got)
		}
		if n, _ := b.Received(); n != 1 {
			t.Errorf("%d packets received: what was not agreed on counts", n)
		}
	})
}

// TestLossesStayVisible sends packets by their number and looks at which numbers arrive.
func TestLossesStayVisible(t *testing.T) {
	const comfort = 1000 // added: the packet is comfort noise
	for _, tc := range []struct {
		name       string
		sent, want []int
	}{
		{"in order", []int{0, 1, 2, 3}, []int{0, 1, 2, 3}},
		{"lost", []int{0, 1, 4, 5}, []int{0, 1, 4, 5}},
		{"late", []int{0, 2, 1, 3}, []int{0, 2, 1, 3}},
		{"twice", []int{0, 1, 1, 2}, []int{0, 1, 1, 2}},
		{"older than the first", []int{2, 1, 0, 3}, []int{0, 1}},
		{"comfort noise leaves no gap", []int{0, comfort + 1, comfort + 2, 3, 4}, []int{0, 1, 2}},
		{"comfort noise first", []int{comfort, 1, 2}, []int{0, 1}},
		{"lost before comfort noise", []int{0, comfort + 2, 3}, []int{0, 2}},
		{"late, after comfort noise", []int{0, comfort + 2, 1, 3}, []int{0, 2}},
		{"late comfort noise", []int{0, 2, comfort + 1, 3}, []int{0, 2, 3}},
		{"comfort noise twice", []int{0, comfort + 1, comfort + 1, 2}, []int{0, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, pa, pb := pair(t, true, pcma, pcma, nil)
				first := pa.Header
				for _, n := range tc.sent {
					h := first
					if n >= comfort {
						n -= comfort
						h.PayloadType = 13
					}
					h.SequenceNumber += uint16(n)
					h.Timestamp += uint32(160 * n)
					pa.send(t, h, tone(byte(n)))
				}
				synctest.Wait()
				var got []int
				all := pb.got(t)
				for _, p := range all {
					got = append(got, int(p.SequenceNumber-all[0].SequenceNumber))
					if n := int(p.Payload[0]) - int(all[0].Payload[0]); int(p.Timestamp-all[0].Timestamp) != 160*n {
						t.Errorf("packet %d has timestamp %d from the first", n, p.Timestamp-all[0].Timestamp)
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			})
		})
	}
}

func TestSilenceIsNotSentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, pa, pb := pair(t, true, pcma, pcma, nil)
		pa.say(t, tone(1)...)
		time.Sleep(time.Second)
		pa.say(t) // empty: a NAT is kept open
		pa.PayloadType = 13
		pa.say(t, 60)
		pa.PayloadType = 8
		pa.say(t, tone(2)...)
		synctest.Wait()
		got := pb.got(t)
		wantContinuous(t, got)
		if len(got) != 2 || got[1].Payload[0] != 2 {
			t.Errorf("%v", got)
		}
		if n, last := a.Received(); n != 4 || !last.Equal(time.Now()) {
			t.Errorf("received %d, the last at %v", n, last)
		}
	})
}

// TestContinuity follows what one peer hears through all its sources.
func TestContinuity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, pa, pb := pair(t, true, pcma, pcma, nil)
		prompt := media.Announcement()
		b.Play(prompt, nil)
		time.Sleep(45 * time.Millisecond) // frames at 0, 20, 40
		pa.say(t, tone(1)...)             // not heard: the prompt goes first
		time.Sleep(5 * time.Millisecond)
		b.Play(nil, nil)
		pa.say(t, tone(2)...) // 10 ms after the last frame: its sound takes 20
		time.Sleep(20 * time.Millisecond)
		pa.say(t, tone(3)...)
		time.Sleep(time.Second)
		pa.SequenceNumber, pa.Timestamp, pa.SSRC = 7, 7, 7 // another source at the peer
		pa.say(t, tone(4)...)
		time.Sleep(20 * time.Millisecond)
		pa.SequenceNumber += 10000 // or the same one, begun anew
		pa.Timestamp += 99
		pa.say(t, tone(5)...)
		time.Sleep(40 * time.Millisecond)
		b.Hear()
		pa.say(t, tone(6)...)
		time.Sleep(60 * time.Millisecond)
		b.Hear(a)
		pa.say(t, tone(7)...)
		time.Sleep(20 * time.Millisecond)
		b.Play(prompt, nil)
		time.Sleep(10 * time.Millisecond)

		got := pb.got(t)
		wantContinuous(t, got)
		want := []uint32{160, 160, 160, 160, 8000, 160, 800, 160}
		if diff := cmp.Diff(want, steps(got)); diff != "" {
			t.Errorf("timestamps: -want +got\n%s", diff)
		}
		var marks []int
		for i, p := range got {
			if p.Marker {
				marks = append(marks, i)
			}
		}
		if diff := cmp.Diff([]int{0, 3, 5, 6, 7, 8}, marks); diff != "" {
			t.Errorf("markers: -want +got\n%s", diff)
		}
		var said []byte
		for _, p := range got[3:8] {
			said = append(said, p.Payload[0])
		}
		if diff := cmp.Diff([]byte{2, 3, 4, 5, 7}, said); diff != "" {
			t.Errorf("heard: -want +got\n%s", diff)
		}
	})
}

func TestManyHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		ports := newPorts(m)
		a, pa := leg(t, m, ports, "10.0.0.1:4000", pcma, nil)
		b, pb := leg(t, m, ports, "10.0.0.2:4000", pcmu, nil)
		c, pc := leg(t, m, ports, "10.0.0.3:4000", pcma, nil)
		a.Hear(a)
		b.Hear(a)
		c.Hear(a)
		c.Hear(a) // again: nothing changes
		for range 2 {
			pa.say(t, tone(1)...)
			synctest.Wait()
			c.Hear(a)
		}
		for i, p := range []*peer{pa, pb, pc} {
			want := level(media.Codec(p.PayloadType), g711.DecodeAlawFrame(1))
			got := p.got(t)
			if len(got) != 2 || !bytes.Equal(got[0].Payload, want) || !bytes.Equal(got[1].Payload, want) || got[1].Marker {
				t.Errorf("leg %d hears %v", i, got)
			}
		}
		b.Close()
		c.Hear(b)
		pa.say(t, tone(2)...)
		synctest.Wait()
		if x, y, z := len(pa.got(t)), len(pb.got(t)), len(pc.got(t)); x != 1 || y != 0 || z != 0 {
			t.Errorf("after one closed and one turned away they hear %d, %d, %d packets", x, y, z)
		}
	})
}

func TestNothingBeforeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(true)
		ports := newPorts(m)
		a, err := ports.Open(func(what string) { t.Errorf("heard %s", what) })
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		pa := m.peer(t, "10.0.0.1:4000", a)
		a.Hear(a)
		time.Sleep(time.Minute)
		pa.PayloadType = 8
		pa.say(t, tone(1)...)
		a.Play(media.Announcement(), nil)
		time.Sleep(time.Minute)
		if got := pa.got(t); len(got) > 0 {
			t.Errorf("%d packets before Set", len(got))
		}
		if n, last := a.Received(); n != 0 || !last.IsZero() {
			t.Errorf("received %d, the last at %v", n, last)
		}
		a.Set(pcma, pa.conn.addr)
		time.Sleep(25 * time.Millisecond)
		got := pa.got(t)
		if len(got) == 0 || !got[0].Marker || !slices.Equal(got[0].Payload, announced(t)[:160]) {
			t.Errorf("after Set the announcement does not begin at its beginning: %v", got)
		}
	})
}

// TestHold takes the peer's sound, and sends it none.
func TestHold(t *testing.T) {
	for _, nowhere := range []netip.AddrPort{
		{}, netip.MustParseAddrPort("0.0.0.0:4000"), netip.MustParseAddrPort("[::]:4000"), netip.MustParseAddrPort("10.0.0.2:0"),
	} {
		synctest.Test(t, func(t *testing.T) {
			_, b, pa, pb := pair(t, true, pcma, pcma, nil)
			pa.say(t, tone(1)...)
			pb.say(t, tone(1)...)
			synctest.Wait()
			pa.got(t)
			before := pb.got(t)
			b.Set(pcma, nowhere)
			for range 50 {
				pa.say(t, tone(2)...)
				pb.say(t, tone(2)...)
				time.Sleep(20 * time.Millisecond)
			}
			if got := pb.got(t); len(got) > 0 {
				t.Errorf("%d packets to a peer at %v", len(got), nowhere)
			}
			if got := pa.got(t); len(got) != 50 {
				t.Errorf("%d of 50 packets from a peer at %v", len(got), nowhere)
			}
			b.Set(pcma, pb.conn.addr)
			pa.say(t, tone(3)...)
			synctest.Wait()
			all := slices.Concat(before, pb.got(t))
			wantContinuous(t, all)
			if diff := cmp.Diff([]uint32{8000}, steps(all)); diff != "" {
				t.Errorf("over the hold: -want +got\n%s", diff)
			}
		})
	}
}
