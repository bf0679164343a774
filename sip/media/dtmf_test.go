package media_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/sip/media"
)

// key is an event packet: of which key, when it began, for how long so far, and whether it has ended.
type key struct {
	code     byte
	ts       uint32
	duration uint16
	end      bool
	marker   bool
	ssrc     uint32 // 0: the peer's own
}

func (k key) payload() []byte {
	flags := byte(10)
	if k.end {
		flags |= 0x80
	}
	return []byte{k.code, flags, byte(k.duration >> 8), byte(k.duration)}
}

// press is a whole press as a phone sends it.
func press(code byte, ts uint32) []key {
	return []key{
		{code, ts, 160, false, true, 0},
		{code, ts, 320, false, false, 0},
		{code, ts, 480, false, false, 0},
		{code, ts, 640, true, false, 0},
		{code, ts, 640, true, false, 0},
		{code, ts, 640, true, false, 0},
	}
}

func join(all ...[]key) []key {
	var out []key
	for _, ks := range all {
		out = append(out, ks...)
	}
	return out
}

// long is a press of segments of 8 s and a half (RFC 4733 section 2.5.1.3).
func long(code byte, ts uint32, marker bool) []key {
	ks := []key{{code, ts, 160, false, marker, 0}, {code, ts, 0xffff, false, false, 0}}
	ks = append(ks, key{code, ts + 0xffff, 160, false, false, 0}, key{code, ts + 0xffff, 0xffff, false, false, 0})
	return append(ks, key{code, ts + 2*0xffff, 160, false, false, 0}, key{code, ts + 2*0xffff, 400, true, false, 0})
}

func TestKeysAreToldOnce(t *testing.T) {
	one, two := press(1, 1000), press(2, 5000)
	for _, tc := range []struct {
		name string
		sent []key
		want []string
	}{
		{"one key", one, []string{"dtmf:1"}},
		{"two keys", join(one, two), []string{"dtmf:1", "dtmf:2"}},
		{"the same key twice", join(one, press(1, 5000)), []string{"dtmf:1", "dtmf:1"}},
		{"signs", join(press(10, 1), press(11, 5000), press(12, 10000), press(15, 15000)), []string{"dtmf:*", "dtmf:#", "dtmf:A", "dtmf:D"}},
		{"only the end arrives", one[5:], []string{"dtmf:1"}},
		{"only the middle arrives, then another", join(one[2:3], two), []string{"dtmf:1", "dtmf:2"}},
		{"the end comes late", join(one[:4], two[:1], one[4:], two[1:]), []string{"dtmf:1", "dtmf:2"}},
		{"a timestamp from the past", join(press(1, 5000), press(2, 1000)), []string{"dtmf:1", "dtmf:2"}},
		{"over the end of timestamps", join(press(1, 0xfffffff0), press(1, 0x1000)), []string{"dtmf:1", "dtmf:1"}},
		{"a long press", join(long(1, 1000, true), two), []string{"dtmf:1", "dtmf:2"}},
		{"a long press whose mark is lost", long(1, 1000, false), []string{"dtmf:1"}},
		{"the same key again, ends lost", []key{{1, 1000, 400, false, true, 0}, {1, 1500, 160, false, true, 0}}, []string{"dtmf:1", "dtmf:1"}},
		{"a phone that counts time in events", []key{{1, 1000, 160, false, true, 0}, {1, 1160, 160, false, false, 0}, {1, 1320, 160, true, false, 0}}, []string{"dtmf:1"}},
		{"another source", []key{{1, 1000, 160, true, true, 0}, {1, 1000, 160, true, true, 9}}, []string{"dtmf:1", "dtmf:1"}},
		{"flash and nonsense", join(press(16, 1000), press(255, 5000)), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard []string
				_, _, pa, _ := pair(t, true, pcma, pcma, func(what string) { heard = append(heard, what) })
				for _, k := range tc.sent {
					sendKey(t, pa, k, 101)
					time.Sleep(20 * time.Millisecond)
				}
				synctest.Wait()
				if diff := cmp.Diff(tc.want, heard); diff != "" {
					t.Errorf("-want +heard\n%s", diff)
				}
			})
		})
	}
}

func sendKey(t *testing.T, p *peer, k key, payloadType uint8) {
	t.Helper()
	h := p.Header
	h.PayloadType, h.Timestamp, h.Marker = payloadType, k.ts, k.marker
	if k.ssrc != 0 {
		h.SSRC = k.ssrc
	}
	p.send(t, h, k.payload())
	p.SequenceNumber++
}

func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard int
		_, _, pa, _ := pair(t, true, pcma, pcma, func(string) { heard++ })
		for i := range 3000 { // one a millisecond, over three seconds
			sendKey(t, pa, key{code: byte(i % 10), ts: uint32(i * 1000), end: true}, 101)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if heard < 3 || heard > 4*16 {
			t.Errorf("%d keys told in three seconds", heard)
		}
	})
}

func TestKeysArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, pa, pb := pair(t, true, pcma, pcmu, nil)
		pa.say(t, tone(1)...)
		ts := pa.Timestamp
		sent := press(5, ts)
		for _, k := range sent { // beside the sound, as some phones do
			sendKey(t, pa, k, 101)
			pa.say(t, tone(2)...)
			time.Sleep(20 * time.Millisecond)
		}
		got := pb.got(t)
		wantContinuous(t, got)
		var events []*rtp.Packet
		for _, p := range got {
			if p.PayloadType == 96 {
				events = append(events, p)
			}
		}
		if len(events) != len(sent) || len(got) != 1+2*len(sent) {
			t.Fatalf("%d events of %d packets", len(events), len(got))
		}
		for i, p := range events {
			if diff := cmp.Diff(sent[i].payload(), p.Payload); diff != "" {
				t.Errorf("event %d: -sent +got\n%s", i, diff)
			}
			if p.Timestamp != got[0].Timestamp+160 || p.Marker != (i == 0) {
				t.Errorf("event %d has timestamp %d after the sound before it, marker %v", i, p.Timestamp-got[0].Timestamp, p.Marker)
			}
		}
	})
}

// TestKeysWithoutType sends keys to a peer that knows no events, which hears the sound beside them without a gap.
func TestKeysWithoutType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		_, _, pa, pb := pair(t, true, pcma, media.Format{Codec: media.PCMU}, func(what string) { heard = append(heard, what) })
		pa.say(t, tone(1)...)
		for _, k := range press(5, pa.Timestamp) {
			sendKey(t, pa, k, 101)
		}
		pa.say(t, tone(2)...)
		sendKey(t, pb, key{code: 7, ts: 1}, 101) // never agreed on
		synctest.Wait()
		got := pb.got(t)
		wantContinuous(t, got)
		if len(got) != 2 {
			t.Errorf("%d packets: %v", len(got), got)
		}
		if got := pa.got(t); len(got) != 0 {
			t.Errorf("the other peer hears %v", got)
		}
		if diff := cmp.Diff([]string{"dtmf:5"}, heard); diff != "" {
			t.Errorf("-want +heard\n%s", diff)
		}
	})
}

// TestKeysUnderOurNumber: an answer may name another type for what we send, and still use that of our offer.
func TestKeysUnderOurNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		_, _, pa, pb := pair(t, true, pcmu, pcma, func(what string) { heard = append(heard, what) })
		sendKey(t, pa, key{code: 1, ts: 1000, end: true, marker: true}, 101)
		sendKey(t, pa, key{code: 2, ts: 2000, end: true, marker: true}, 96)
		synctest.Wait()
		if diff := cmp.Diff([]string{"dtmf:1", "dtmf:2"}, heard); diff != "" {
			t.Errorf("-want +heard\n%s", diff)
		}
		for _, p := range pb.got(t) {
			if p.PayloadType != 101 {
				t.Errorf("passed on as %d", p.PayloadType)
			}
		}
	})
}

// TestKeysRenumbered: a phone's re-INVITE gives events another number (RFC 3264 section 8.3.2), and later ours is
// another too. What is still under way under an old number is nothing.
func TestKeysRenumbered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		a, b, pa, pb := pair(t, true, media.Format{Codec: media.PCMA, Event: 97}, pcma, func(what string) { heard = append(heard, what) })
		var code byte
		all := func() (got []string) {
			for _, number := range []uint8{96, 97, 98, 101} {
				sendKey(t, pa, key{code: code, ts: uint32(code) * 1000, end: true, marker: true}, number)
				code++
			}
			synctest.Wait()
			got, heard = heard, nil
			return got
		}
		passedOn := func() (numbers []uint8) {
			for _, p := range pb.got(t) {
				numbers = append(numbers, p.PayloadType)
			}
			return numbers
		}
		for _, tc := range []struct {
			a, b   media.Format
			want   []string
			passed []uint8
		}{
			{media.Format{Event: 97}, media.Format{Event: 101}, []string{"dtmf:1", "dtmf:3"}, []uint8{101, 101}},
			{media.Format{Event: 96}, media.Format{Event: 96}, []string{"dtmf:4", "dtmf:7"}, []uint8{96, 96}},
			{media.Format{Event: 101, EventIn: 96}, media.Format{Event: 97}, []string{"dtmf:8", "dtmf:#"}, []uint8{97, 97}},
			{media.Format{Event: 98, EventIn: 98}, media.Format{}, []string{"dtmf:C"}, nil},
		} {
			a.Set(tc.a, pa.conn.addr)
			b.Set(tc.b, pb.conn.addr)
			before, _ := a.Received()
			got := all()
			after, _ := a.Received()
			if diff := cmp.Diff(tc.want, got) + cmp.Diff(tc.passed, passedOn()); diff != "" || after-before != uint64(len(tc.want)) {
				t.Errorf("%+v: %d taken; -want +heard\n%s", tc.a, after-before, diff)
			}
		}
	})
}

func TestBrokenEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, pa, pb := pair(t, true, pcma, pcma, func(what string) { t.Errorf("heard %s", what) })
		pa.PayloadType = 101
		pa.say(t)
		pa.say(t, 1)
		pa.say(t, 1, 0, 0)
		synctest.Wait()
		if got := pb.got(t); len(got) > 0 {
			t.Errorf("%v", got)
		}
	})
}
