package sdp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/sip/sdp"
)

// legal is what an answer may say to an offer (RFC 3264, 6.1).
var legal = map[string][]string{
	"sendrecv": {"sendrecv", "sendonly", "recvonly", "inactive"},
	"sendonly": {"recvonly", "inactive"},
	"recvonly": {"sendonly", "inactive"},
	"inactive": {"inactive"},
}

// directionOf is that of our medium in a description that has no other.
func directionOf(body []byte) string {
	for line := range strings.Lines(string(body)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "a="); ok && legal[name] != nil {
			return name
		}
	}
	return ""
}

// negotiation is a session and what must hold of it.
type negotiation struct {
	s       sdp.Session
	slots   int    // m= lines of the dialog
	version uint64 // of the last description
	said    string // it, without o=
	asked   string // direction of our open offer; "": none is open
}

var directions = rapid.SampledFrom([]sdp.Direction{sdp.SendRecv, sdp.SendOnly, sdp.RecvOnly, sdp.Inactive})

// sent checks a description of ours: its lines, and its version.
func (n *negotiation) sent(t *rapid.T, body []byte) {
	var rest []string
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "o=") {
			rest = append(rest, line)
		}
	}
	said, want := strings.Join(rest, ""), n.version
	if said != n.said {
		want++
	}
	if !strings.Contains(string(body), fmt.Sprintf("\r\no=- 112 %d IN ", want)) {
		t.Fatalf("want version %d:\n%s\nafter\n%s", want, body, n.said)
	}
	n.said, n.version = said, want
	if got := len(mlines(body)); got != n.slots {
		t.Fatalf("%d m= lines, want %d:\n%s", got, n.slots, body)
	}
}

// peerLine is a medium as a peer may offer it.
func peerLine(t *rapid.T, port int) string {
	kind := rapid.SampledFrom([]string{"audio 1 RTP/AVP", "audio 1 RTP/AVPF", "audio 1 RTP/SAVP", "audio 0 RTP/AVP", "video 1 RTP/AVP", "image 1 udptl"}).Draw(t, "kind")
	f := strings.Fields(kind)
	if f[1] != "0" {
		f[1] = fmt.Sprint(port)
	}
	formats := rapid.SampledFrom([]string{"8", "0 8", "18", "97 8 101", "8 96", "101"}).Draw(t, "formats")
	more := ""
	for n := range strings.FieldsSeq(formats) {
		if len(n) > 2 || n > "8" && len(n) == 2 {
			more += fmt.Sprintf("a=rtpmap:%s %s\r\n", n, rapid.SampledFrom([]string{"telephone-event/8000", "PCMU/8000", "opus/48000/2"}).Draw(t, "name"))
		}
	}
	return fmt.Sprintf("m=%s %s\r\n%s", strings.Join(f, " "), formats, more)
}

// peerBody is a description of the peer's.
func peerBody(t *rapid.T, slots int, direction string) []byte {
	var b strings.Builder
	b.Write(lines("c=IN IP4 " + rapid.SampledFrom([]string{"10.1.1.1", "0.0.0.0"}).Draw(t, "at")))
	fmt.Fprintf(&b, "a=%s\r\n", direction)
	for i := range slots {
		b.WriteString(peerLine(t, 4000+2*i))
	}
	return []byte(b.String())
}

func (n *negotiation) Offer(t *rapid.T) {
	d := directions.Draw(t, "direction")
	body := n.s.Offer(d)
	n.sent(t, body)
	n.asked = d.String()
	if got := directionOf(body); got != n.asked {
		t.Fatalf("%v offered as %s", d, got)
	}
}

func (n *negotiation) Answer(t *rapid.T) {
	slots := n.slots + rapid.IntRange(0, 2).Draw(t, "more")
	offered := directions.Draw(t, "offered").String()
	offer := peerBody(t, slots, offered)
	was := kept(t, n.s)
	body, m, err := n.s.Answer(offer, directions.Draw(t, "like"))
	if err != nil {
		n.unchanged(t, was)
		return
	}
	n.slots, n.asked = slots, ""
	n.sent(t, body)
	if got := directionOf(body); !slices.Contains(legal[offered], got) || got != m.Direction.String() {
		t.Fatalf("%s answered by %s, and called %v", offered, got, m.Direction)
	}
	for i, line := range mlines(body) {
		f, to := strings.Fields(line), strings.Fields(mlines(offer)[i])
		if f[0] != to[0] || f[2] != to[2] || to[1] == "0" && f[1] != "0" || !subset(f[3:], to[3:]) {
			t.Fatalf("%q answers %q", line, mlines(offer)[i])
		}
	}
}

func subset(of, all []string) bool {
	return !slices.ContainsFunc(of, func(s string) bool { return !slices.Contains(all, s) })
}

func (n *negotiation) Accept(t *rapid.T) {
	was := kept(t, n.s)
	m, err := n.s.Accept(peerBody(t, n.slots, directions.Draw(t, "answered").String()))
	if err != nil {
		n.unchanged(t, was)
		return
	}
	mirror := strings.NewReplacer("sendonly", "recvonly", "recvonly", "sendonly").Replace(m.Direction.String())
	if !slices.Contains(legal[n.asked], mirror) {
		t.Fatalf("%q offered, and %v came of it", n.asked, m.Direction)
	}
	n.asked = ""
}

func (n *negotiation) Withdraw(*rapid.T) {
	n.s.Withdraw()
	n.asked = ""
}

// Restart goes on with what was kept.
func (n *negotiation) Restart(t *rapid.T) { n.s = kept(t, n.s) }

func (n *negotiation) unchanged(t *rapid.T, was sdp.Session) {
	if a, b := fmt.Sprintf("%+v", was), fmt.Sprintf("%+v", n.s); a != b {
		t.Fatalf("an error changed the session:\n%s\n%s", a, b)
	}
}

func (n *negotiation) Check(t *rapid.T) {
	if n.s.Open != (n.asked != "") || n.s.Version != n.version {
		t.Fatalf("%+v, want version %d, open %q", n.s, n.version, n.asked)
	}
}

// TestNegotiations: in any order of offers, answers, refusals and restarts the m= lines never become fewer, an answer has
// those of its offer, the version goes up by one with each change and only then, and directions are legal.
func TestNegotiations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		t.Repeat(rapid.StateMachineActions(&negotiation{s: ours(), slots: 1}))
	})
}
