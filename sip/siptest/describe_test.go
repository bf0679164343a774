package siptest_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pion "github.com/pion/sdp/v3"

	"github.com/siaga112/siaga112/sip/siptest"
)

// TestAnswerSDP is RFC 3264, 6: a line for each line, the offer's numbers, the mirrored direction.
func TestAnswerSDP(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
	at := netip.MustParseAddrPort("10.0.1.1:4000")
	for name, c := range map[string]struct {
		offer string
		lines []string // m= of the answer; nil: there is none
		want  siptest.Media
	}{
		"plain": {
			"m=audio 9000 RTP/AVP 8\r\n",
			[]string{"audio 4000 RTP/AVP 8"},
			siptest.Media{Direction: "sendrecv", Payload: 8},
		},
		"several": {
			"m=video 9002 RTP/AVP 31\r\nm=audio 9000 RTP/AVP 9 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=sendonly\r\nm=audio 9004 RTP/AVP 8\r\n",
			[]string{"video 0 RTP/AVP 31", "audio 4000 RTP/AVP 0 96", "audio 0 RTP/AVP 8"},
			siptest.Media{Direction: "sendonly", Event: 96},
		},
		"of the session": {
			"a=inactive\r\nm=audio 9000 RTP/AVP 8\r\n",
			[]string{"audio 4000 RTP/AVP 8"},
			siptest.Media{Direction: "inactive", Payload: 8},
		},
		"other clock": {
			"m=audio 9000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/48000\r\n",
			[]string{"audio 4000 RTP/AVP 8"},
			siptest.Media{Direction: "sendrecv", Payload: 8},
		},
		"refused":  {"m=audio 0 RTP/AVP 8\r\n", nil, siptest.Media{}},
		"secret":   {"m=audio 9000 RTP/SAVP 8\r\n", nil, siptest.Media{}},
		"no codec": {"m=audio 9000 RTP/AVP 9\r\n", nil, siptest.Media{}},
		"no port":  {"m=audio x RTP/AVP 8\r\n", nil, siptest.Media{}},
		"short":    {"m=audio 9000\r\n", nil, siptest.Media{}},
	} {
		t.Run(name, func(t *testing.T) {
			answer, got, err := siptest.AnswerSDP([]byte(head+c.offer), at)
			if (err == nil) != (c.lines != nil) {
				t.Fatalf("answer %s, %v", answer, err)
			}
			if c.lines == nil {
				return
			}
			c.want.Remote = netip.MustParseAddrPort("10.0.0.1:9000")
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Error(diff)
			}
			var d pion.SessionDescription
			if err := d.Unmarshal(answer); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, m := range d.MediaDescriptions {
				lines = append(lines, m.MediaName.String())
			}
			if diff := cmp.Diff(c.lines, lines); diff != "" {
				t.Error(diff)
			}
			mirror := map[string]string{"sendrecv": "sendrecv", "sendonly": "recvonly", "inactive": "inactive"}[got.Direction]
			if !strings.Contains(string(answer), "a="+mirror+"\r\n") {
				t.Errorf("answer to %s: %s", got.Direction, answer)
			}
		})
	}
}
