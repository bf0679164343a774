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

// ours is a session at an IPv4 address, ours6 at an IPv6 one.
func ours() sdp.Session  { return sdp.New(netip.MustParseAddr("192.0.2.1"), 20000, 112) }
func ours6() sdp.Session { return sdp.New(netip.MustParseAddr("2001:db8::1"), 20000, 112) }

// named is the session that meets what is in a file of that name.
func named(name string) sdp.Session {
	if strings.Contains(name, "ipv6") {
		return ours6()
	}
	return ours()
}

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

func readFile(tb testing.TB, file string) []byte {
	tb.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func show(m sdp.Media, err error) string {
	if err != nil {
		code, text := sdp.Warning(err)
		return fmt.Sprintf("error: %v\nWarning: %d %s\n", err, code, text)
	}
	return fmt.Sprintf("%s %s/%d event/%d in/%d %dms %s\n", m.Remote, m.Codec, m.PayloadType, m.Event, m.EventIn, m.Ptime, m.Direction)
}

func plain(body []byte) string { return strings.ReplaceAll(string(body), "\r\n", "\n") }

func TestAnswer(t *testing.T) {
	golden(t, "answer", func(name string, body []byte) string {
		s := named(name)
		answer, m, err := s.Answer(body, sdp.SendRecv)
		return show(m, err) + plain(answer)
	})
}

func TestAccept(t *testing.T) {
	golden(t, "accept", func(name string, body []byte) string {
		s := named(name)
		s.Offer(sdp.SendRecv)
		return show(s.Accept(body))
	})
}

// TestDialogs goes through dialogs as phones and switches lead them: in the order of the file names, an offer is answered,
// and for an answer an offer is made first.
func TestDialogs(t *testing.T) {
	dirs, err := filepath.Glob("testdata/dialog/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%d dialogs, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			lf, crlf := ours(), ours() // golden reads each file twice
			golden(t, "dialog/"+filepath.Base(dir), func(name string, body []byte) string {
				s := &lf
				if bytes.Contains(body, []byte("\r\n")) {
					s = &crlf
				}
				if strings.Contains(name, "offer") {
					answer, m, err := s.Answer(body, sdp.SendRecv)
					return show(m, err) + plain(answer)
				}
				offer := s.Offer(sdp.SendRecv)
				m, err := s.Accept(body)
				s.Withdraw()
				return plain(offer) + show(m, err)
			})
		})
	}
}

func TestOffer(t *testing.T) {
	want := strings.Join([]string{
		"v=0",
		"o=- 112 1 IN IP4 192.0.2.1",
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
	for _, addr := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
		s := sdp.New(netip.MustParseAddr(addr), 20000, 112)
		if diff := cmp.Diff(want, string(s.Offer(sdp.SendRecv))); diff != "" {
			t.Errorf("at %s: -want +got\n%s", addr, diff)
		}
	}
	for addr, want := range map[netip.Addr]string{
		netip.MustParseAddr("2001:db8::1"):  "c=IN IP6 2001:db8::1\r\n",
		netip.MustParseAddr("fe80::1%eth0"): "c=IN IP6 fe80::1\r\n",
		{}:                                  "c=IN IP4 0.0.0.0\r\n",
	} {
		s := sdp.New(addr, 20000, 112)
		if got := string(s.Offer(sdp.SendRecv)); !strings.Contains(got, want) {
			t.Errorf("at %v it says\n%s", addr, got)
		}
	}
}

// TestOfferAnswered holds our two halves against each other.
func TestOfferAnswered(t *testing.T) {
	for _, caller := range []sdp.Session{ours(), ours6()} {
		called := sdp.New(caller.Addr, 30000, 113)
		answer, heard, err := called.Answer(caller.Offer(sdp.SendRecv), sdp.SendRecv)
		if err != nil {
			t.Fatal(err)
		}
		agreed, err := caller.Accept(answer)
		if err != nil {
			t.Fatal(err)
		}
		want := sdp.Media{Codec: sdp.PCMA, PayloadType: 8, Event: 101, EventIn: 101, Ptime: 20}
		want.Remote = netip.AddrPortFrom(caller.Addr, 20000)
		if diff := cmp.Diff(want, heard, addrPorts); diff != "" {
			t.Errorf("answerer: -want +got\n%s", diff)
		}
		want.Remote = netip.AddrPortFrom(caller.Addr, 30000)
		if diff := cmp.Diff(want, agreed, addrPorts); diff != "" {
			t.Errorf("offerer: -want +got\n%s", diff)
		}
	}
}

// RFC 4028, 7.4: a refresh says what was agreed on, word for word; after a change that was refused it has a version of its own.
func TestRefresh(t *testing.T) {
	s := ours()
	first := s.Refresh() // nothing is agreed on: a first offer
	if _, err := s.Accept(first); err != nil {
		t.Fatal(err)
	}
	offer := lines("c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000", "a=sendonly")
	agreed, _, err := s.Answer(offer, sdp.SendRecv)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if diff := cmp.Diff(string(agreed), string(s.Refresh())); diff != "" {
			t.Errorf("-agreed +refresh\n%s", diff)
		}
		if m, err := s.Accept(offer); err != nil || m.Direction != sdp.RecvOnly || m.EventIn != 96 {
			t.Errorf("%+v, %v", m, err)
		}
	}
	s.Offer(sdp.SendRecv)
	s.Withdraw()
	if got, want := string(s.Refresh()), strings.Replace(string(agreed), "o=- 112 2", "o=- 112 4", 1); got != want {
		t.Errorf("after a refused offer: %s", cmp.Diff(want, got))
	}
}

var (
	addrPorts = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	addrs     = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
)

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
		{"a medium that is not ASCII", lines(c, m, "m=vide\u00f6 4000 RTP/AVP 31"), sdp.ErrMalformed},
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
			s := ours()
			s.Offer(sdp.SendRecv)
			was := s
			if answer, got, err := s.Answer(tc.body, sdp.SendRecv); !errors.Is(err, tc.want) || answer != nil || got != (sdp.Media{}) {
				t.Errorf("Answer: %q, %v, %v; want %v", answer, got, err, tc.want)
			}
			if got, err := s.Accept(tc.body); !errors.Is(err, tc.want) || got != (sdp.Media{}) {
				t.Errorf("Accept: %v, %v; want %v", got, err, tc.want)
			}
			if diff := cmp.Diff(was, s, addrs); diff != "" {
				t.Errorf("the session was changed: -was +is\n%s", diff)
			}
		})
	}
}
