package sdp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip/sdp"
)

// audioOf is a description of the peer's with one audio line, and more.
func audioOf(formats string, more ...string) []byte {
	return lines(append([]string{"c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP " + formats}, more...)...)
}

// version is the one in o=, and mlines the m= lines, of a description of ours.
func version(t *testing.T, body []byte) uint64 {
	t.Helper()
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "o=") {
			v, err := strconv.ParseUint(strings.Fields(line)[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no o= in %q", body)
	return 0
}

func mlines(body []byte) (m []string) {
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "m="); ok {
			m = append(m, rest)
		}
	}
	return m
}

func says(body []byte, line string) bool { return strings.Contains(string(body), "\r\n"+line+"\r\n") }

func answer(t *testing.T, s *sdp.Session, offer []byte, d sdp.Direction) ([]byte, sdp.Media) {
	t.Helper()
	body, m, err := s.Answer(offer, d)
	if err != nil {
		t.Fatal(err)
	}
	return body, m
}

func accept(t *testing.T, s *sdp.Session, body []byte) sdp.Media {
	t.Helper()
	m, err := s.Accept(body)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestVersion: RFC 3264, 8: one more with each description that differs from the one before, else the same.
func TestVersion(t *testing.T) {
	s := ours()
	offer, hold := audioOf("8"), audioOf("8", "a=sendonly")
	var seen []string
	say := func(what string, body []byte) { seen = append(seen, fmt.Sprint(what, " ", version(t, body))) }
	reply := func(what string, offer []byte) {
		body, _ := answer(t, &s, offer, sdp.SendRecv)
		say(what, body)
	}
	say("first offer", s.Offer(sdp.SendRecv))
	say("again, with its digest", s.Offer(sdp.SendRecv))
	accept(t, &s, audioOf("8"))
	say("refresh", s.Offer(sdp.SendRecv))
	accept(t, &s, audioOf("8"))
	say("our hold", s.Offer(sdp.SendOnly))
	s.Withdraw()
	say("our hold after 491", s.Offer(sdp.SendOnly))
	s.Withdraw()
	say("refresh after that", s.Offer(sdp.SendRecv))
	s.Withdraw()
	s.Withdraw()
	reply("offered", offer)
	reply("offered again", offer)
	reply("held", hold)
	if _, _, err := s.Answer(audioOf("18"), sdp.SendRecv); err == nil {
		t.Error("G.729 is served")
	}
	reply("held again", hold)
	say("refresh while held", s.Offer(sdp.RecvOnly))
	want := []string{
		"first offer 1", "again, with its digest 1", "refresh 1", "our hold 2", "our hold after 491 2", "refresh after that 3",
		"offered 4", "offered again 4", "held 5", "held again 5", "refresh while held 6",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestDirections: RFC 3264, 6.1: what each side of an offer and its answer may say. Rows are what the peer offers, and
// where; columns are what we would like.
func TestDirections(t *testing.T) {
	likes := []sdp.Direction{sdp.SendRecv, sdp.SendOnly, sdp.RecvOnly, sdp.Inactive}
	for _, tc := range []struct {
		offered, addr string
		want          string // for each of likes
	}{
		{"sendrecv", "IP4 10.1.1.1", "sendrecv sendonly recvonly inactive"},
		{"sendonly", "IP4 10.1.1.1", "recvonly inactive recvonly inactive"}, // hold: RFC 3264, 8.4
		{"recvonly", "IP4 10.1.1.1", "sendonly sendonly inactive inactive"},
		{"inactive", "IP4 10.1.1.1", "inactive inactive inactive inactive"},
		{"sendrecv", "IP4 0.0.0.0", "recvonly inactive recvonly inactive"}, // hold: RFC 2543; RFC 6337, 5.4
		{"sendonly", "IP4 0.0.0.0", "recvonly inactive recvonly inactive"},
		{"recvonly", "IP4 0.0.0.0", "inactive inactive inactive inactive"},
		{"inactive", "IP4 0.0.0.0", "inactive inactive inactive inactive"},
		{"sendrecv", "IP6 ::", "recvonly inactive recvonly inactive"},
		{"inactive", "IP6 ::", "inactive inactive inactive inactive"},
	} {
		for i, like := range likes {
			body := lines("c=IN "+tc.addr, "m=audio 4000 RTP/AVP 8", "a="+tc.offered)
			want := strings.Fields(tc.want)[i]
			s := ours()
			said, m := answer(t, &s, body, like)
			if m.Direction.String() != want || !says(said, "a="+want) {
				t.Errorf("%s at %s, we like %v: %v, want %v\n%s", tc.offered, tc.addr, like, m.Direction, want, said)
			}
			if sends := want == "sendrecv" || want == "sendonly"; m.Direction.Sends() != sends {
				t.Errorf("%v sends: %v", m.Direction, m.Direction.Sends())
			}
			s = ours()
			if said := s.Offer(like); !says(said, "a="+like.String()) {
				t.Errorf("an offer of %v says\n%s", like, said)
			}
			if m := accept(t, &s, body); m.Direction.String() != want {
				t.Errorf("%v offered, %s at %s answered: %v, want %v", like, tc.offered, tc.addr, m.Direction, want)
			}
		}
	}
	if got := sdp.Direction(9).String(); got != "unknown" {
		t.Errorf("an impossible direction is %q", got)
	}
}

func TestFamilies(t *testing.T) {
	four := lines("c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8")
	six := lines("c=IN IP6 2001:db8::5", "m=audio 4000 RTP/AVP 8")
	mapped := lines("c=IN IP6 ::ffff:10.1.1.1", "m=audio 4000 RTP/AVP 8")
	for _, tc := range []struct {
		name string
		s    sdp.Session
		body []byte
		ok   bool
	}{
		{"IPv4 to IPv4", ours(), four, true},
		{"IPv6 to IPv6", ours6(), six, true},
		{"IPv6 to IPv4", ours(), six, false},
		{"IPv4 to IPv6", ours6(), four, false},
		{"mapped IPv4 to IPv4", ours(), mapped, true},
		{"a hold of one family to the other", ours6(), lines("c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 8"), true},
	} {
		s := tc.s
		if _, _, err := s.Answer(tc.body, sdp.SendRecv); (err == nil) != tc.ok || err != nil && !errors.Is(err, sdp.ErrNotAcceptable) {
			t.Errorf("%s offered: %v", tc.name, err)
		}
		s = tc.s
		s.Offer(sdp.SendRecv)
		if _, err := s.Accept(tc.body); (err == nil) != tc.ok {
			t.Errorf("%s answered: %v", tc.name, err)
		}
	}
}

// TestLines: RFC 3264, 8: the m= lines of a dialog stay, in number and order, whoever offers.
func TestLines(t *testing.T) {
	audio, video, fax := "audio 4000 RTP/AVP 8", "video 4002 RTP/AVP 98", "image 4004 udptl t38"
	off := func(line string) string {
		f := strings.Fields(line)
		f[1] = "0"
		return strings.Join(f, " ")
	}
	const ours8, oursAll = "audio 20000 RTP/AVP 8", "audio 20000 RTP/AVP 8 0 101"
	for _, tc := range []struct {
		name   string
		offers [][]string // the peer's; all but the last are answered somehow
		answer []string   // ours to the last; nil: refused
		offer  []string   // ours after that
	}{
		{"6: audio alone", [][]string{{audio}}, []string{ours8}, []string{oursAll}},
		{"6: audio is the second", [][]string{{video, audio}}, []string{off(video), ours8}, []string{off(video), oursAll}},
		{"6: two audio lines", [][]string{{audio, audio}}, []string{ours8, off(audio)}, []string{oursAll, off(audio)}},
		{"8.1: a line is added", [][]string{{audio}, {audio, video}}, []string{ours8, off(video)}, []string{oursAll, off(video)}},
		{"8.1: ours stays ours", [][]string{{fax, audio}, {audio, audio}}, []string{off(audio), ours8}, []string{off(audio), oursAll}},
		{"8.1: a slot is used again", [][]string{{audio, off(video)}, {audio, fax}}, []string{ours8, off(fax)}, []string{oursAll, off(fax)}},
		{"8.2: audio is disabled", [][]string{{audio, video}, {off(audio), video}}, nil, []string{oursAll, off(video)}},
		{"8.2: another audio line takes over", [][]string{{audio}, {off(audio), audio}}, []string{off(audio), ours8}, []string{off(audio), oursAll}},
		{"8.3: audio becomes fax", [][]string{{audio}, {fax}}, nil, []string{oursAll}},
		{"against 8: a line is gone", [][]string{{audio, video}, {audio}}, []string{ours8}, []string{oursAll}},
		{"a refused line without formats", [][]string{{audio, "video 0 RTP/AVP"}}, []string{ours8, "video 0 RTP/AVP 0"}, []string{oursAll, "video 0 RTP/AVP 0"}},
		{"RFC 4585, 4: AVPF is repeated", [][]string{{"audio 4000 RTP/AVPF 8"}}, []string{"audio 20000 RTP/AVPF 8"}, []string{"audio 20000 RTP/AVPF 8 0 101"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := ours()
			var said []byte
			for _, offer := range tc.offers {
				body := []string{"c=IN IP4 10.1.1.1"}
				for _, line := range offer {
					body = append(body, "m="+line)
				}
				said, _, _ = s.Answer(lines(body...), sdp.SendRecv)
			}
			if diff := cmp.Diff(tc.answer, mlines(said)); diff != "" {
				t.Errorf("answer: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(tc.offer, mlines(s.Offer(sdp.SendRecv))); diff != "" {
				t.Errorf("later offer: -want +got\n%s", diff)
			}
		})
	}
}

// TestNumbers: RFC 3264, 5.1, 6.1 and 8.3.2: whose payload types count.
func TestNumbers(t *testing.T) {
	ev := func(n int) string { return fmt.Sprintf("a=rtpmap:%d telephone-event/8000", n) }
	type numbers struct{ Codec, Event, EventIn uint8 }
	for _, tc := range []struct {
		name    string
		offer   []byte  // the peer's; nil: none
		want    numbers // of what it came to
		formats string  // of our offer after that
		answer  []byte
		then    numbers
	}{
		{"5.1: ours", nil, numbers{}, "8 0 101", audioOf("8 101", ev(101)), numbers{8, 101, 101}},
		{"6.1: the answer has its own", nil, numbers{}, "8 0 101", audioOf("0 96", ev(96)), numbers{0, 96, 101}},
		{"6.1: the answer has no events", nil, numbers{}, "8 0 101", audioOf("8"), numbers{8, 0, 101}},
		{"6.1: the answer explains nothing", nil, numbers{}, "8 0 101", audioOf("8 101"), numbers{8, 101, 101}},
		{"6.1: the answer has our event for its codec", nil, numbers{}, "8 0 101", audioOf("101", "a=rtpmap:101 PCMA/8000"), numbers{101, 0, 0}},
		{"8.3.2: theirs", audioOf("0 8 97", ev(97)), numbers{0, 97, 97}, "0 8 97", audioOf("0 97", ev(97)), numbers{0, 97, 97}},
		{"8.3.2: a number of theirs for a codec", audioOf("97 102", "a=rtpmap:97 PCMA/8000", ev(102)), numbers{97, 102, 102}, "97 0 102", audioOf("97"), numbers{97, 0, 102}},
		{"8.3.2: no events yet", audioOf("8"), numbers{8, 0, 0}, "8 0 101", audioOf("8 101"), numbers{8, 101, 101}},
		{"8.3.2: our number is theirs", audioOf("101 8 96", "a=rtpmap:101 opus/48000/2", "a=rtpmap:96 VP8/90000"), numbers{8, 0, 0}, "8 0 97", audioOf("8 97"), numbers{8, 97, 97}},
		{"8.3.2: its number is mapped, and not offered", audioOf("8", "a=rtpmap:101 opus/48000/2"), numbers{8, 0, 0}, "8 0 96", audioOf("8"), numbers{8, 0, 96}},
		{"8.3.2: two of our numbers are theirs", audioOf("0 8", "a=rtpmap:8 X/8000", "a=rtpmap:101 Y/8000"), numbers{0, 0, 0}, "0 96 97", audioOf("96"), numbers{96, 0, 97}},
		{"8.3.2: a number that nobody explains", audioOf("96 8", "a=rtpmap:101 Y/8000"), numbers{8, 0, 0}, "8 0 97", audioOf("8"), numbers{8, 0, 97}},
		{"one codec by two numbers", audioOf("8 97", "a=rtpmap:97 PCMA/8000"), numbers{8, 0, 0}, "8 0 101", audioOf("8"), numbers{8, 0, 101}},
		{"events by the number that says none", audioOf("8 0", ev(0)), numbers{8, 0, 0}, "8 96 101", audioOf("8"), numbers{8, 0, 101}},
		{"events at another clock", audioOf("8 101 100", "a=rtpmap:101 telephone-event/48000", ev(100)), numbers{8, 100, 100}, "8 0 100", audioOf("8 100"), numbers{8, 100, 100}},
		{"events first", audioOf("101 0", ev(101)), numbers{0, 101, 101}, "0 8 101", audioOf("8"), numbers{8, 0, 101}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := ours()
			check := func(m sdp.Media, want numbers) {
				t.Helper()
				if got := (numbers{m.PayloadType, m.Event, m.EventIn}); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
			if tc.offer != nil {
				_, m := answer(t, &s, tc.offer, sdp.SendRecv)
				check(m, tc.want)
			}
			if got := mlines(s.Offer(sdp.SendRecv))[0]; got != "audio 20000 RTP/AVP "+tc.formats {
				t.Errorf("we offer %q, want %s", got, tc.formats)
			}
			check(accept(t, &s, tc.answer), tc.then)
		})
	}
}

// TestNoNumberLeft: an encoding for which the peer leaves no payload type is not offered.
func TestNoNumberLeft(t *testing.T) {
	formats, more := "8", []string(nil)
	for n := 96; n < 128; n++ {
		formats += fmt.Sprint(" ", n)
		more = append(more, fmt.Sprintf("a=rtpmap:%d X-%d/8000", n, n))
	}
	s := ours()
	answer(t, &s, audioOf(formats, more...), sdp.SendRecv)
	if got := mlines(s.Offer(sdp.SendRecv))[0]; got != "audio 20000 RTP/AVP 8 0" {
		t.Errorf("we offer %q", got)
	}
	m := accept(t, &s, audioOf("0"))
	if m.EventIn != 0 || m.Codec != sdp.PCMU {
		t.Errorf("%+v", m)
	}
}

func TestPtime(t *testing.T) {
	for _, tc := range []struct {
		attrs string // RFC 4566, 6
		want  int
	}{
		{"", 20},
		{"a=ptime:20", 20},
		{"a=ptime:10", 10},
		{"a=ptime:30", 30},
		{"a=ptime:60", 60},
		{"a=ptime:30.0", 30},
		{"a=ptime:70", 20},
		{"a=ptime:25", 20},
		{"a=ptime:5", 20},
		{"a=ptime:0", 20},
		{"a=ptime:-20", 20},
		{"a=ptime:NaN", 20},
		{"a=ptime:1e300", 20},
		{"a=ptime:", 20},
		{"a=ptime:30|a=maxptime:30", 30},
		{"a=maxptime:20|a=ptime:30", 20},
		{"a=ptime:30|a=maxptime:10", 10},
		{"a=maxptime:15", 10},
		{"a=maxptime:5", 10}, // nothing shorter is made
		{"a=maxptime:150", 20},
		{"a=maxptime:0", 20},
		{"a=minptime:40|a=ptime:20|a=maxptime:40", 20},
	} {
		attrs := strings.Split(tc.attrs, "|")
		if tc.attrs == "" {
			attrs = nil
		}
		for where, body := range map[string][]byte{
			"medium":  audioOf("8", attrs...),
			"session": lines(append(attrs, "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8")...),
		} {
			s := ours()
			said, m := answer(t, &s, body, sdp.SendRecv)
			if m.Ptime != tc.want || !says(said, "a=ptime:20") {
				t.Errorf("%q of the %s: %d ms, want %d\n%s", tc.attrs, where, m.Ptime, tc.want, said)
			}
		}
	}
	s := ours()
	answer(t, &s, lines("a=ptime:30", "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8"), sdp.SendRecv)
	if _, m := answer(t, &s, lines("a=ptime:30", "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8", "a=ptime:40"), sdp.SendRecv); m.Ptime != 40 {
		t.Errorf("the medium's own: %d ms", m.Ptime)
	}
}

// TestWarning: RFC 3261, 20.43. Of several lines the one that came nearest tells why.
func TestWarning(t *testing.T) {
	const c, other = "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 18"
	for _, tc := range []struct {
		name string
		body []byte
		want int
	}{
		{"nothing", lines(c), 304},
		{"video", lines(c, "m=video 4000 RTP/AVP 31"), 304},
		{"audio is disabled", lines(c, "m=audio 0 RTP/AVP 8"), 304},
		{"audio is disabled, otherwise", lines(c, "m=audio 00 RTP/AVP 8"), 304},
		{"SRTP", lines(c, "m=audio 4000 RTP/SAVP 8"), 302},
		{"a web phone", lines(c, "m=audio 4000 UDP/TLS/RTP/SAVPF 8", "m=video 4000 UDP/TLS/RTP/SAVPF 96"), 302},
		{"G.729", lines(c, other), 305},
		{"IPv6", lines("c=IN IP6 2001:db8::1", "m=audio 4000 RTP/AVP 8"), 301},
		{"a name", lines("c=IN IP4 media.example.com", "m=audio 4000 RTP/AVP 8"), 301},
		{"SRTP and G.729", lines(c, "m=audio 4000 RTP/SAVP 8", other, "m=audio 0 RTP/AVP 8"), 305},
		{"not even SDP", []byte("hello"), 399},
	} {
		s := ours()
		_, _, err := s.Answer(tc.body, sdp.SendRecv)
		code, text := sdp.Warning(fmt.Errorf("re-INVITE: %w", err))
		if code != tc.want || text == "" || strings.ContainsAny(text, "\"\\\r\n") {
			t.Errorf("%s: %d %q, want %d", tc.name, code, text, tc.want)
		}
	}
	s := ours()
	_, err := s.Accept(audioOf("8"))
	if code, _ := sdp.Warning(err); code != 399 || !errors.Is(err, sdp.ErrNotAcceptable) {
		t.Errorf("an answer to nothing: %v, %d", err, code)
	}
}

// TestOpen: RFC 3264, 4: one offer is open at a time, until its answer, its refusal, or an offer of the peer's.
func TestOpen(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*sdp.Session)
	}{
		{"answered", func(s *sdp.Session) { accept(t, s, audioOf("8")) }},
		{"withdrawn", func(s *sdp.Session) { s.Withdraw() }},
		{"crossed", func(s *sdp.Session) { answer(t, s, audioOf("8"), sdp.SendRecv) }},
	} {
		s := ours()
		s.Offer(sdp.SendRecv)
		if _, err := s.Accept(audioOf("18")); err == nil {
			t.Fatal("G.729 is accepted")
		}
		open := s // each fork answers
		for range 2 {
			s = open
			tc.do(&s)
			if m, err := s.Accept(audioOf("8")); err == nil {
				t.Errorf("%s, and then an answer: %v", tc.name, m)
			}
		}
		accept(t, &open, audioOf("0"))
	}
}

// TestAnswersOfAnotherShape: our audio counts, else the first.
func TestAnswersOfAnotherShape(t *testing.T) {
	const c, a, b = "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVP 8", "m=audio 5000 RTP/AVP 8"
	for _, tc := range []struct {
		name string
		body []byte
		want uint16 // port; 0: none
	}{
		{"as it should be", lines(c, "m=video 0 RTP/AVP 98", b), 5000},
		{"what was refused comes back", lines(c, a, b), 5000},
		{"one line only", lines(c, a), 4000},
		{"more lines", lines(c, "m=video 0 RTP/AVP 98", b, a), 5000},
		{"in the wrong place", lines(c, a, "m=video 0 RTP/AVP 98"), 4000},
		{"refused", lines("m=video 0 RTP/AVP 98", "m=audio 0 RTP/AVP 8"), 0},
		{"encrypted", lines(c, "m=video 0 RTP/AVP 98", "m=audio 5000 RTP/SAVP 8"), 0},
	} {
		s := ours()
		answer(t, &s, lines(c, "m=video 4000 RTP/AVP 98", b), sdp.SendRecv)
		before := mlines(s.Offer(sdp.SendRecv))
		m, err := s.Accept(tc.body)
		if m.Remote.Port() != tc.want || (err == nil) != (tc.want != 0) {
			t.Errorf("%s: %v, %v", tc.name, m, err)
		}
		if diff := cmp.Diff(before, mlines(s.Offer(sdp.SendRecv))); diff != "" {
			t.Errorf("%s: our next offer: -before +after\n%s", tc.name, diff)
		}
	}
}

// TestSilence: what is not ours to speak of is never repeated.
func TestSilence(t *testing.T) {
	offer := lines("a=group:BUNDLE 0 1", "a=ice-lite", "k=clear:x", "c=IN IP4 10.1.1.1", "m=audio 4000 RTP/AVPF 8",
		"k=clear:y", "a=mid:0", "a=rtcp-mux", "a=ice-ufrag:u", "a=ice-pwd:p", "a=candidate:1 1 UDP 1 10.1.1.1 4000 typ host",
		"a=fingerprint:sha-256 00", "a=setup:actpass", "a=ssrc:1 cname:x", "a=rtcp-fb:* nack", "a=extmap:1 urn:x",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", "m=video 4000 RTP/SAVPF 96", "a=mid:1", "a=bundle-only")
	s := ours()
	said, _ := answer(t, &s, offer, sdp.SendRecv)
	for line := range strings.Lines(string(said) + string(s.Offer(sdp.SendRecv))) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "a=rtpmap", "a=fmtp", "a=ptime", "a=sendrecv":
		default:
			if line[0] == 'a' || line[0] == 'k' {
				t.Errorf("we say %q", line)
			}
		}
	}
}

// kept is the session after it was written and read.
func kept(t interface {
	Helper()
	Fatal(args ...any)
}, s sdp.Session,
) sdp.Session {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back sdp.Session
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestKept: a restart in the middle of a negotiation changes nothing.
func TestKept(t *testing.T) {
	offer := audioOf("97 102", "a=rtpmap:97 PCMU/8000", "a=rtpmap:102 telephone-event/8000", "a=x:<&>", "m=video 1 RTP/AVP <98>")
	s := ours()
	steps := []func(*sdp.Session) string{
		func(s *sdp.Session) string { return string(s.Offer(sdp.SendOnly)) },
		func(s *sdp.Session) string { return show(s.Accept(audioOf("8 101", "a=sendrecv"))) },
		func(s *sdp.Session) string {
			b, m, err := s.Answer(offer, sdp.SendRecv)
			return string(b) + show(m, err)
		},
		func(s *sdp.Session) string { return string(s.Offer(sdp.Inactive)) },
		func(s *sdp.Session) string { s.Withdraw(); return "" },
		func(s *sdp.Session) string { return string(s.Offer(sdp.Inactive)) },
		func(s *sdp.Session) string { return show(s.Accept(audioOf("8"))) },
	}
	for i, step := range steps {
		back := kept(t, s)
		if diff := cmp.Diff(s, back, addrs); diff != "" {
			t.Fatalf("before step %d: -was +is\n%s", i, diff)
		}
		if diff := cmp.Diff(step(&s), step(&back)); diff != "" {
			t.Errorf("step %d: -as it was +kept\n%s", i, diff)
		}
	}
}
