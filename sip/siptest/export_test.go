package siptest

import (
	"net/netip"
	"time"

	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/call"
)

// Recognize is for tests: recognize.
func Recognize(payloadType uint8, payload []byte) (Voice, bool) {
	return recognize(payloadType, payload)
}

// Packet is for tests: 20 ms of a voice in one of the two laws.
func Packet(v Voice, payloadType uint8) []byte {
	if payloadType == payloadPCMU {
		return g711.Alaw2Ulaw(v.packet())
	}
	return v.packet()
}

// Rewrite is for tests: the story's file with other sections.
func Rewrite(s *Story, journal, end []byte) []byte { return s.rewrite(journal, end) }

// Attempt is for tests: what a Traffic plans.
type Attempt struct {
	At, Patience time.Duration
	Number       string
	Profile      Profile
	Redial       bool
}

// Plan is for tests: all that a Traffic attempts.
func Plan(t Traffic) []Attempt {
	var all []Attempt
	for a := range t.filled().plan() {
		all = append(all, Attempt{a.at, a.patience, a.who.Caller.Number, a.who.Profile, a.redial})
	}
	return all
}

// CompactEntry is for tests: an entry as a story writes it.
func CompactEntry(e call.Entry) string { return compact(e) }

// OfferSDP is for tests: what a phone at that address offers.
func OfferSDP(at netip.AddrPort) []byte { return described(at).offer() }

// AnswerSDP is for tests: what a phone at that address answers.
func AnswerSDP(offer []byte, at netip.AddrPort) ([]byte, Media, error) {
	return described(at).answer(offer)
}

// ReadSDP is for tests: what a phone reads.
func ReadSDP(body []byte) Media { return mediaOf(body) }

func described(at netip.AddrPort) *description {
	return &description{addr: at.Addr(), port: at.Port(), direction: sendrecv, event: usualEvent, session: 1}
}

// LocalTag is for tests: the phone's tag in a call.
func LocalTag(c *Call) string { return c.local.Params.GetOr("tag", "") }
