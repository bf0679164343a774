package sdp_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pion "github.com/pion/sdp/v3"

	"github.com/siaga112/siaga112/sip/sdp"
)

func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/a*/*.sdp")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte("v=0\no=\nm=audio 1 RTP/AVP 8\nc=IN IP4 ::1\n"))
	f.Add([]byte("v=0\no=-\nm=audio 0 x\n"))
}

// judge holds what was read against what it may be.
func judge(t *testing.T, m sdp.Media, err error) {
	t.Helper()
	switch {
	case err != nil:
		if m != (sdp.Media{}) || errors.Is(err, sdp.ErrMalformed) == errors.Is(err, sdp.ErrNotAcceptable) {
			t.Fatalf("%+v, %v", m, err)
		}
	case !m.Remote.IsValid(), m.Remote.Port() == 0, m.Remote.Addr().IsMulticast(), m.PayloadType > 127, m.Event > 127,
		m.Codec != sdp.PCMA && m.Codec != sdp.PCMU, m.Direction > sdp.Inactive,
		m.Remote.Addr().IsUnspecified() && m.Direction.Sends(), m.Event != 0 && m.Event == m.PayloadType:
		t.Fatalf("%+v", m)
	}
}

func FuzzAnswer(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, offer []byte) {
		answer, m, err := sdp.Answer(offer, local)
		judge(t, m, err)
		if err != nil {
			return
		}
		if again, _, _ := sdp.Answer(offer, local); !bytes.Equal(answer, again) {
			t.Fatalf("two answers to one offer:\n%s\n%s", answer, again)
		}
		var accepted int
		for line := range strings.SplitSeq(string(answer), "\r\n") {
			if strings.HasPrefix(line, "m=") && strings.Fields(line)[1] != "0" {
				accepted++
			}
		}
		offered := strings.FieldsFunc(string(offer), func(r rune) bool { return r == '\r' || r == '\n' })
		var media int
		for _, line := range offered {
			if strings.HasPrefix(line, "m=") {
				media++
			}
		}
		if got := bytes.Count(answer, []byte("\r\nm=")); got != media || accepted != 1 {
			t.Fatalf("%d media offered, %d answered, %d accepted:\n%s", media, got, accepted, answer)
		}
		if read, err := sdp.Accept(answer); err != nil || read.PayloadType != m.PayloadType || read.Codec != m.Codec {
			t.Fatalf("our answer reads as %+v, %v:\n%s", read, err, answer)
		}
	})
}

func FuzzAccept(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, answer []byte) {
		m, err := sdp.Accept(answer)
		judge(t, m, err)
	})
}

// FuzzOffer shows that whatever we say about ourselves can be read by others.
func FuzzOffer(f *testing.F) {
	f.Add(uint16(20000), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, port uint16, session, version uint64) {
		l := local
		l.Port, l.Session, l.Version = port, session, version
		var d pion.SessionDescription
		if err := d.Unmarshal(sdp.Offer(l)); err != nil || len(d.MediaDescriptions) != 1 {
			t.Fatalf("%v\n%s", err, sdp.Offer(l))
		}
		if o := d.Origin; o.SessionID != session || o.SessionVersion != version {
			t.Fatalf("origin %v", o)
		}
	})
}
