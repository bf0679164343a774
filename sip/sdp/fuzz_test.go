package sdp_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/sdp/v3"

	"github.com/siaga112/siaga112/sip/sdp"
)

// seeds are all descriptions of testdata, and some odd ones.
func seeds(f *testing.F) (bodies [][]byte) {
	f.Helper()
	for _, pattern := range []string{"testdata/a*/*.sdp", "testdata/dialog/*/*.sdp"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			bodies = append(bodies, body)
		}
	}
	return append(bodies, []byte("v=0\no=\nm=audio 1 RTP/AVP 8\nc=IN IP4 ::1\n"), []byte("v=0\no=-\nm=audio 0 x\n"))
}

// judge holds what was read against what it may be.
func judge(t *testing.T, m sdp.Media, err error) {
	t.Helper()
	switch {
	case err != nil:
		code, _ := sdp.Warning(err)
		if m != (sdp.Media{}) || errors.Is(err, sdp.ErrMalformed) == errors.Is(err, sdp.ErrNotAcceptable) || code < 301 || code > 399 {
			t.Fatalf("%+v, %v, %d", m, err, code)
		}
	case !m.Remote.IsValid(), m.Remote.Port() == 0, m.Remote.Addr().IsMulticast(), m.PayloadType > 127, m.Event > 127, m.EventIn > 127,
		m.Codec != sdp.PCMA && m.Codec != sdp.PCMU, m.Direction > sdp.Inactive, m.Ptime < 10, m.Ptime > 60, m.Ptime%10 != 0,
		m.Remote.Addr().IsUnspecified() && m.Direction.Sends(), m.Event != 0 && m.Event == m.PayloadType,
		m.EventIn != 0 && m.EventIn == m.PayloadType:
		t.Fatalf("%+v", m)
	}
}

// media counts the m= lines of what a peer wrote.
func media(body []byte) (n int) {
	for _, line := range bytes.FieldsFunc(body, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if bytes.HasPrefix(line, []byte("m=")) {
			n++
		}
	}
	return n
}

// wellFormed holds a description of ours against what others can read: one line is served, and no number means two things.
func wellFormed(t *testing.T, body []byte, lines int) {
	t.Helper()
	var d pion.SessionDescription
	if err := d.Unmarshal(onlyAudio(body)); err != nil || len(d.MediaDescriptions) != 1 {
		t.Fatalf("%v\n%s", err, body)
	}
	seen := map[string]bool{}
	for _, format := range d.MediaDescriptions[0].MediaName.Formats {
		if seen[format] {
			t.Fatalf("%s stands for two encodings:\n%s", format, body)
		}
		seen[format] = true
	}
	if got := len(mlines(body)); got != lines {
		t.Fatalf("%d media, want %d:\n%s", got, lines, body)
	}
}

// onlyAudio is a description without its refused lines, some of which are of no kind that the parser knows.
func onlyAudio(body []byte) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(body)) {
		if f := strings.Fields(line); !strings.HasPrefix(line, "m=") || f[1] != "0" {
			b.WriteString(line)
		}
	}
	return []byte(b.String())
}

// FuzzAnswer answers an offer, makes one in the same dialog, and reads what comes back as its answer and as the next offer.
func FuzzAnswer(f *testing.F) {
	bodies := seeds(f)
	for i, body := range bodies {
		f.Add(body, bodies[(i+1)%len(bodies)], uint8(i))
	}
	f.Fuzz(func(t *testing.T, offer, next []byte, direction uint8) {
		like := sdp.Direction(direction % 4)
		s := sdp.New(netip.MustParseAddr("192.0.2.1"), 20000, 112)
		answer, m, err := s.Answer(offer, like)
		judge(t, m, err)
		if err != nil {
			return
		}
		wellFormed(t, answer, media(offer))
		if again, _, _ := s.Answer(offer, like); !bytes.Equal(answer, again) {
			t.Fatalf("two answers to one offer:\n%s\n%s", answer, again)
		}
		peer := sdp.New(netip.MustParseAddr("192.0.2.2"), 30000, 113)
		peer.Offer(sdp.SendRecv)
		if read, err := peer.Accept(answer); err != nil || read.PayloadType != m.PayloadType || read.Codec != m.Codec {
			t.Fatalf("our answer reads as %+v, %v:\n%s", read, err, answer)
		}
		later := s.Offer(like)
		wellFormed(t, later, media(offer))
		if _, _, err := peer.Answer(later, sdp.SendRecv); err != nil {
			t.Fatalf("our offer reads as %v:\n%s", err, later)
		}
		if diff := cmp.Diff(s, kept(t, s), addrs); diff != "" {
			t.Fatalf("-was +kept\n%s", diff)
		}
		m, err = s.Accept(next)
		judge(t, m, err)
		if after := s.Offer(like); !bytes.Equal(later, after) {
			t.Fatalf("the answer changed what we offer:\n%s\n%s", later, after)
		}
		if answer, m, err = s.Answer(next, like); err == nil {
			wellFormed(t, answer, media(next))
		}
		judge(t, m, err)
	})
}

func FuzzAccept(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		s := sdp.New(netip.Addr{}, 20000, 112)
		s.Offer(sdp.SendOnly)
		m, err := s.Accept(answer)
		judge(t, m, err)
		if err == nil && m.Direction != sdp.SendOnly && m.Direction != sdp.Inactive {
			t.Fatalf("sendonly came to %v", m.Direction)
		}
	})
}

// FuzzOffer shows that whatever we say about ourselves can be read by others.
func FuzzOffer(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, uint16(20000), uint64(1))
	f.Fuzz(func(t *testing.T, ip []byte, port uint16, id uint64) {
		addr, _ := netip.AddrFromSlice(ip)
		s := sdp.New(addr, port, id)
		offer := s.Offer(sdp.SendRecv)
		var d pion.SessionDescription
		if err := d.Unmarshal(offer); err != nil || len(d.MediaDescriptions) != 1 {
			t.Fatalf("%v\n%s", err, offer)
		}
		if o := d.Origin; o.SessionID != id || o.SessionVersion != 1 {
			t.Fatalf("origin %v", o)
		}
	})
}
