package media_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"github.com/siaga112/siaga112/sip/media"
)

// cut makes datagrams of fuzzed bytes: a length, then as many bytes.
func cut(data []byte) [][]byte {
	var all [][]byte
	for len(data) > 0 {
		n := min(int(data[0]), len(data)-1)
		all = append(all, data[1:1+n])
		data = data[1+n:]
	}
	return all
}

func glue(tb testing.TB, packets ...rtp.Packet) []byte {
	tb.Helper()
	var all []byte
	for _, p := range packets {
		b, err := p.Marshal()
		if err != nil || len(b) > 255 {
			tb.Fatal(len(b), err)
		}
		all = append(append(all, byte(len(b))), b...)
	}
	return all
}

// FuzzRTP throws datagrams at a stream: what comes out on the other side is RTP of ours, or nothing.
func FuzzRTP(f *testing.F) {
	h := rtp.Header{Version: 2, PayloadType: 8, SequenceNumber: 65535, SSRC: 1}
	e := rtp.Header{Version: 2, PayloadType: 101, SequenceNumber: 1, SSRC: 1, Marker: true}
	x := rtp.Header{Version: 2, PayloadType: 8, SequenceNumber: 2, CSRC: []uint32{1, 2}}
	x.Extension, x.ExtensionProfile = true, rtp.ExtensionProfileOneByte
	if err := x.SetExtension(1, []byte{1, 2, 3}); err != nil {
		f.Fatal(err)
	}
	f.Add(glue(f, rtp.Packet{Header: h, Payload: tone(1)}, rtp.Packet{Header: e, Payload: []byte{1, 10, 0, 160}}, rtp.Packet{Header: x, Payload: tone(2)}))
	f.Add(glue(f, rtp.Packet{Header: h}, rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 13}, Payload: []byte{60}}))
	f.Add([]byte{8, 0x80, 201, 0, 1, 0, 0, 0, 5, 0, 3, 1, 2, 3, 13, 0xa0, 8, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		datagrams := cut(data)
		synctest.Test(t, func(t *testing.T) {
			var heard int
			a, _, pa, pb := pair(t, len(data)%2 == 0, pcma, pcmu, func(what string) {
				heard++
				if len(what) != len("dtmf:0") {
					t.Errorf("heard %q", what)
				}
			})
			for _, d := range datagrams {
				pa.net.send(d, pa.conn.addr, pa.to)
			}
			synctest.Wait()
			got := pb.got(t)
			for i, p := range got {
				sound := p.PayloadType == 0
				if p.Version != 2 || p.Padding || p.Extension || len(p.CSRC) > 0 || p.SSRC != got[0].SSRC ||
					!sound && p.PayloadType != 96 || len(p.Payload) == 0 || !sound && (len(p.Payload) != 4 || p.Payload[0] > 15) {
					t.Errorf("packet %d: %v", i, p)
				}
			}
			if n, _ := a.Received(); len(got) > int(n) || int(n) > len(datagrams) || heard > int(n) {
				t.Errorf("%d datagrams, %d received, %d sent on, %d keys", len(datagrams), n, len(got), heard)
			}
		})
	})
}

// FuzzMix throws datagrams of two at one who hears both: what comes out is a frame of ours each 20 ms at most, and the
// last of it soon after the last that came in. The last byte of a datagram says how long after the one before it
// comes.
func FuzzMix(f *testing.F) {
	h := rtp.Header{Version: 2, PayloadType: 8, Timestamp: 0xffffff80, SSRC: 1}
	late := rtp.Header{Version: 2, PayloadType: 0, Timestamp: 0xffffff00, SSRC: 1}
	f.Add(glue(f, rtp.Packet{Header: h, Payload: tone(1)}, rtp.Packet{Header: late, Payload: slice(200)}, rtp.Packet{Header: h, Payload: tone(2)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		datagrams := cut(data)
		datagrams = datagrams[:min(len(datagrams), 50)]
		synctest.Test(t, func(t *testing.T) {
			_, peers := conference(t, nil, pcma, pcma, pcmu)
			start, last := time.Now(), time.Duration(0)
			for i, d := range datagrams {
				if len(d) == 0 {
					continue
				}
				p := peers[i%2]
				time.Sleep(time.Duration(d[len(d)-1]) * time.Millisecond / 4)
				p.net.send(d, p.conn.addr, p.to)
				last = time.Since(start)
			}
			time.Sleep(300 * time.Millisecond)
			got := peers[2].got(t)
			wantContinuous(t, got)
			for i, p := range got {
				step := uint32(0)
				if i > 0 {
					step = p.Timestamp - got[i-1].Timestamp
				}
				if len(p.Payload) != 160 || p.PayloadType != 0 || step%160 != 0 || i > 0 && step == 0 {
					t.Errorf("packet %d: %v", i, p)
				}
			}
			if most := int((last + 200*time.Millisecond) / (20 * time.Millisecond)); len(got) > most || len(got) > 5*len(datagrams) {
				t.Errorf("%d frames of %d datagrams in %v", len(got), len(datagrams), last)
			}
		})
	})
}

// FuzzDTMF sends event packets of any content: eight bytes each, of sequence, timestamp, marker and payload.
func FuzzDTMF(f *testing.F) {
	f.Add([]byte{1, 0, 0x81, 1, 10, 0, 160, 0, 1, 0, 1, 1, 10, 1, 64, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			var heard, sent int
			_, _, pa, pb := pair(t, true, pcma, pcmu, func(string) { heard++ })
			for ; len(data) >= 8 && sent < 1000; data, sent = data[8:], sent+1 {
				h := pa.Header
				h.PayloadType, h.Marker = 101, data[2]&0x80 != 0
				h.SequenceNumber, h.Timestamp = uint16(data[0]), uint32(data[1])<<8|uint32(data[2]&0x7f)
				pa.send(t, h, data[3:7])
			}
			synctest.Wait()
			if heard > sent || heard > 16 || len(pb.got(t)) > sent {
				t.Errorf("%d keys heard in %d packets", heard, sent)
			}
		})
	})
}

// FuzzPrompt reads files of any content; what is read can be played.
func FuzzPrompt(f *testing.F) {
	f.Add(wav(6, 1, 8000, 8, slice(320)))
	f.Add(wav(0xfffe, 1, 8000, 16, slice(320), "LIST"))
	f.Add(wav(7, 1, 8000, 8, slice(3))[:46])
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "any.al")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := media.ReadPrompt(file)
		if (p == nil) == (err == nil) {
			t.Fatal(p, err)
		}
		if p != nil && (p.Duration() <= 0 || p.Duration()%20e6 != 0 || len(data) < int(p.Duration()/20e6-1)*160) {
			t.Fatalf("%v of %d bytes", p.Duration(), len(data))
		}
	})
}
