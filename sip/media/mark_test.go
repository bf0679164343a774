package media_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/sip/media"
)

// A stream that goes on from a mark is the same source (RFC 3550, 5.1): its numbers grow by no less than what was sent after
// the mark, its timestamps by the time that has passed.
func TestResume(t *testing.T) {
	for name, after := range map[string]time.Duration{"soon": 20 * time.Millisecond, "late": 5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(false)
				ports := newPorts(m)
				a, pa := leg(t, m, ports, "10.0.0.1:4000", pcma, nil)
				b, pb := leg(t, m, ports, "10.0.0.2:5000", pcma, nil)
				b.Hear(a)
				pa.say(t, make([]byte, 160)...)
				synctest.Wait()
				text, err := json.Marshal(b.Mark())
				if err != nil {
					t.Fatal(err)
				}
				var mark media.Mark
				if err := json.Unmarshal(text, &mark); err != nil {
					t.Fatal(err)
				}
				began, last := time.Now(), pb.got(t)[0]
				for time.Since(began) < after {
					time.Sleep(20 * time.Millisecond)
					pa.say(t, make([]byte, 160)...)
					synctest.Wait()
					last = pb.got(t)[0]
				}
				b.Close()
				time.Sleep(2 * time.Second)
				again, err := ports.OpenAt(b.Port(), nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(again.Close)
				again.Resume(mark)
				again.Set(pcma, pb.conn.addr)
				again.Hear(a)
				pa.say(t, make([]byte, 160)...)
				synctest.Wait()
				got := pb.got(t)
				if len(got) != 1 {
					t.Fatalf("%d packets", len(got))
				}
				jump, passed := int16(got[0].SequenceNumber-last.SequenceNumber), got[0].Timestamp-last.Timestamp
				if got[0].SSRC != last.SSRC || jump < 1 || jump > 200 || passed < 16_000-160 || passed > 16_000+320 {
					t.Errorf("SSRC %d and %d, %d packets and %d samples later", last.SSRC, got[0].SSRC, jump, passed)
				}
			})
		})
	}
}

// A pair of ports is had again if it is one of the range and nobody holds it.
func TestOpenAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := newPorts(newMemory(false))
		s, err := ports.OpenAt(20010, nil)
		if err != nil || s.Port() != 20010 || ports.InUse() != 1 {
			t.Fatal(err, ports.InUse())
		}
		for _, port := range []uint16{0, 19998, 20010, 20011, 20100} {
			if _, err := ports.OpenAt(port, nil); !errors.Is(err, media.ErrNoPort) {
				t.Errorf("port %d: %v", port, err)
			}
		}
		next, err := ports.Open(nil)
		if err != nil || next.Port() == 20010 {
			t.Fatal(err)
		}
		next.Close()
		s.Close()
		if ports.InUse() != 0 {
			t.Errorf("%d pairs in use", ports.InUse())
		}
	})
}

// A peer behind a NAT is heard at once after a restart, and by nobody else's word.
func TestResumeBehindNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(false)
		ports := newPorts(m)
		a, pa := leg(t, m, ports, "10.0.0.1:4000", pcma, nil)
		mark := a.Mark()
		mark.From = pa.conn.addr
		a.Close()
		again, err := ports.OpenAt(a.Port(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(again.Close)
		again.Resume(mark)
		again.Set(pcma, netip.MustParseAddrPort("192.0.2.1:4000"))
		pa.say(t, make([]byte, 160)...)
		synctest.Wait()
		if n, _ := again.Received(); n != 1 {
			t.Errorf("%d packets were taken", n)
		}
	})
}
