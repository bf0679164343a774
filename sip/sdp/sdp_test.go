package sdp_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip/sdp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var local = sdp.Local{Addr: netip.MustParseAddr("192.0.2.1"), Port: 20000, Session: 112, Version: 7}

// local6 answers the offers whose file name says so.
var local6 = sdp.Local{Addr: netip.MustParseAddr("2001:db8::1"), Port: 20000, Session: 112, Version: 7}

func golden(t *testing.T, dir string, do func(name string, body []byte) string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.sdp"))
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/%s: %d files, %v", dir, len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sdp")
		t.Run(name, func(t *testing.T) {
			body := readFile(t, file)
			want := strings.TrimSuffix(file, ".sdp") + ".want"
			got := do(name, body)
			if crlf := do(name, bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))); crlf != got {
				t.Errorf("with CRLF (-) it reads otherwise than with LF (+):\n%s", cmp.Diff(crlf, got))
			}
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(readFile(t, want)), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func show(m sdp.Media, err error) string {
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	return fmt.Sprintf("%s %s/%d event/%d %s\n", m.Remote, m.Codec, m.PayloadType, m.Event, m.Direction)
}

func TestAnswer(t *testing.T) {
	golden(t, "answer", func(name string, body []byte) string {
		l := local
		if strings.Contains(name, "ipv6") {
			l = local6
		}
		answer, m, err := sdp.Answer(body, l)
		return show(m, err) + strings.ReplaceAll(string(answer), "\r\n", "\n")
	})
}

func TestAccept(t *testing.T) {
	golden(t, "accept", func(_ string, body []byte) string { return show(sdp.Accept(body)) })
}

func TestOffer(t *testing.T) {
	want := strings.Join([]string{
		"v=0",
		"o=- 112 7 IN IP4 192.0.2.1",
		"s=-",
		"c=IN IP4 192.0.2.1",
		"t=0 0",
		"m=audio 20000 RTP/AVP 8 0 101",
		"a=rtpmap:8 PCMA/8000",
		"a=rtpmap:0 PCMU/8000",
		"a=rtpmap:101 telephone-event/8000",
		"a=fmtp:101 0-15",
		"a=ptime:20",
		"a=sendrecv",
		"",
	}, "\r\n")
	if diff := cmp.Diff(want, string(sdp.Offer(local))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := string(sdp.Offer(local6)); !strings.Contains(got, "c=IN IP6 2001:db8::1\r\n") {
		t.Errorf("over IPv6 it says\n%s", got)
	}
	mapped := local
	mapped.Addr = netip.MustParseAddr("::ffff:192.0.2.1")
	if diff := cmp.Diff(want, string(sdp.Offer(mapped))); diff != "" {
		t.Errorf("a mapped address: -want +got\n%s", diff)
	}
	if got := string(sdp.Offer(sdp.Local{})); !strings.Contains(got, "c=IN IP4 0.0.0.0\r\n") {
		t.Errorf("without an address it says\n%s", got)
	}
}

// TestOfferAnswered holds our two halves against each other.
func TestOfferAnswered(t *testing.T) {
	for _, l := range []sdp.Local{local, local6} {
		peer := l
		peer.Port = 30000
		answer, heard, err := sdp.Answer(sdp.Offer(l), peer)
		if err != nil {
			t.Fatal(err)
		}
		agreed, err := sdp.Accept(answer)
		if err != nil {
			t.Fatal(err)
		}
		want := sdp.Media{Codec: sdp.PCMA, PayloadType: 8, Event: 101}
		want.Remote = netip.AddrPortFrom(l.Addr, 20000)
		if diff := cmp.Diff(want, heard, addrPorts); diff != "" {
			t.Errorf("answerer: -want +got\n%s", diff)
		}
		want.Remote = netip.AddrPortFrom(l.Addr, 30000)
		if diff := cmp.Diff(want, agreed, addrPorts); diff != "" {
			t.Errorf("offerer: -want +got\n%s", diff)
		}
	}
}

var addrPorts = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// lines is a description made of the fewest lines, and those given.
func lines(more ...string) []byte {
	return []byte(strings.Join(append([]string{"v=0", "o=- 1 1 IN IP4 10.1.1.1", "s=-", "t=0 0"}, more...), "\r\n") + "\r\n")
}

func TestErrors(t *testing.T) {
	c, m := "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8"
	for _, tc := range []struct {
		name string
		body []byte
		want error
	}{
		{"nothing", nil, sdp.ErrMalformed},
		{"blank", []byte("\r\n\r\n"), sdp.ErrMalformed},
		{"prose", []byte("hello"), sdp.ErrMalformed},
		{"another version", []byte("v=1\r\n"), sdp.ErrMalformed},
		{"no origin", []byte("v=0\r\ns=-\r\nt=0 0\r\nc=IN IP4 10.1.1.1\r\nm=audio 4000 RTP/AVP 8\r\n"), sdp.ErrMalformed},
		{"a line without a type", lines(c, m, "nonsense"), sdp.ErrMalformed},
		{"a control character", lines(c, m, "a=x\x00y"), sdp.ErrMalformed},
		{"no address", lines(m), sdp.ErrMalformed},
		{"half an address", lines("c=IN IP4", m), sdp.ErrMalformed},
		{"an impossible address", lines("c=IN IP4 10.1.1.256", m), sdp.ErrMalformed},
		{"another network", lines("c=ATM NSAP 1", m), sdp.ErrMalformed},
		{"an impossible port", lines(c, "m=audio 70000 RTP/AVP 8"), sdp.ErrMalformed},
		{"a port that is no number", lines(c, "m=audio x RTP/AVP 8"), sdp.ErrMalformed},
		{"a negative port", lines(c, "m=audio -1 RTP/AVP 8"), sdp.ErrMalformed},
		{"a medium without formats", lines(c, "m=audio 4000 RTP/AVP"), sdp.ErrMalformed},
		{"a time that is no number", lines("t=now", c, m), sdp.ErrMalformed},
		{"no media", lines(c), sdp.ErrNotAcceptable},
		{"video alone", lines(c, "m=video 4000 RTP/AVP 31"), sdp.ErrNotAcceptable},
		{"fax alone", lines(c, "m=image 4000 udptl t38"), sdp.ErrNotAcceptable},
		{"SRTP alone", lines(c, "m=audio 4000 RTP/SAVP 8"), sdp.ErrNotAcceptable},
		{"refused", lines(c, "m=audio 0 RTP/AVP 8"), sdp.ErrNotAcceptable},
		{"refused in another way", lines(c, "m=audio 00 RTP/AVP 8"), sdp.ErrNotAcceptable},
		{"no common codec", lines(c, "m=audio 4000 RTP/AVP 18 3", "a=rtpmap:18 G729/8000"), sdp.ErrNotAcceptable},
		{"a static type given away", lines(c, m, "a=rtpmap:8 X-OWN/8000"), sdp.ErrNotAcceptable},
		{"another clock", lines(c, "m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMA/16000"), sdp.ErrNotAcceptable},
		{"two channels", lines(c, "m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMA/8000/2"), sdp.ErrNotAcceptable},
		{"events alone", lines(c, "m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), sdp.ErrNotAcceptable},
		{"multicast", lines("c=IN IP4 224.2.1.1/127", m), sdp.ErrNotAcceptable},
		{"broadcast", lines("c=IN IP4 255.255.255.255", m), sdp.ErrNotAcceptable},
		{"a name for an address", lines("c=IN IP4 media.example.com", m), sdp.ErrNotAcceptable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if answer, got, err := sdp.Answer(tc.body, local); !errors.Is(err, tc.want) || answer != nil || got != (sdp.Media{}) {
				t.Errorf("Answer: %q, %v, %v; want %v", answer, got, err, tc.want)
			}
			if got, err := sdp.Accept(tc.body); !errors.Is(err, tc.want) || got != (sdp.Media{}) {
				t.Errorf("Accept: %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	four := lines("c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8")
	six := lines("c=IN IP6 2001:db8::5", "m=audio 4000 RTP/AVP 8")
	if _, _, err := sdp.Answer(six, local); !errors.Is(err, sdp.ErrNotAcceptable) {
		t.Errorf("IPv6 offered to an IPv4 address: %v", err)
	}
	if _, _, err := sdp.Answer(four, local6); !errors.Is(err, sdp.ErrNotAcceptable) {
		t.Errorf("IPv4 offered to an IPv6 address: %v", err)
	}
	held := lines("c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 8")
	if _, m, err := sdp.Answer(held, local6); err != nil || m.Direction != sdp.RecvOnly {
		t.Errorf("hold by an IPv4 zero address: %v, %v", m, err)
	}
}

func TestDirections(t *testing.T) {
	for _, tc := range []struct {
		offered, addr string
		want          sdp.Direction
	}{
		{"sendrecv", "10.1.1.1", sdp.SendRecv},
		{"sendonly", "10.1.1.1", sdp.RecvOnly},
		{"recvonly", "10.1.1.1", sdp.SendOnly},
		{"inactive", "10.1.1.1", sdp.Inactive},
		{"sendrecv", "0.0.0.0", sdp.RecvOnly},
		{"sendonly", "0.0.0.0", sdp.RecvOnly},
		{"recvonly", "0.0.0.0", sdp.Inactive},
		{"inactive", "0.0.0.0", sdp.Inactive},
	} {
		body := lines("c=IN IP4 "+tc.addr, "m=audio 4000 RTP/AVP 8", "a="+tc.offered)
		answer, m, err := sdp.Answer(body, local)
		if err != nil || m.Direction != tc.want || !strings.Contains(string(answer), "\r\na="+tc.want.String()+"\r\n") {
			t.Errorf("%s at %s: %v, %v, want %v\n%s", tc.offered, tc.addr, m.Direction, err, tc.want, answer)
		}
		if sends := tc.want == sdp.SendRecv || tc.want == sdp.SendOnly; m.Direction.Sends() != sends {
			t.Errorf("%v sends: %v", m.Direction, m.Direction.Sends())
		}
	}
	if got := sdp.Direction(9).String(); got != "unknown" {
		t.Errorf("an impossible direction is %q", got)
	}
}
