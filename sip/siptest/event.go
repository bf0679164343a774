package siptest

import (
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Event is something a phone has seen that needs thought, or would surprise: a request other than ACK, PRACK, OPTIONS
// and NOTIFY, a NOTIFY that tells how a REFER goes, or a response other than 100 to a request of its script.
// Retransmissions are not seen again.
type Event struct {
	At       time.Time
	Call     *Call  // nil where it belongs to no call
	Method   string // of the request, or of the request that the response answers
	Code     int    // of a response; 0 for a request
	Inside   bool   // of an INVITE: it changes a call, and does not make one (RFC 3261, 14)
	Tag      string // the gateway's tag in the message: To in a response, From in a request
	Cause    int    // in a Reason header for SIP (RFC 3326); 0: none
	Q850     int    // in a Reason header for Q.850; 0: none
	Reliable bool   // a provisional response that wants a PRACK (RFC 3262)
	Media    Media  // what the message's description says
	Fragment int    // of a NOTIFY: the status in its sipfrag (RFC 3515, 2.4.5)
	Lost     bool   // nothing was seen: the request of this Method, or the ACK or PRACK for the phone's answer, is missing after 32 s

	message sip.Message
}

// expired is the Method of the event that a session was not refreshed in time (RFC 4028, 10).
const expired = "expired"

// String is the event as a story writes it: INVITE, reINVITE, CANCEL, NOTIFY=180, 200, no-answer, expired.
func (e Event) String() string {
	switch {
	case e.Lost && e.Method == expired:
		return expired
	case e.Lost && e.Method == string(sip.ACK):
		return "no-ack"
	case e.Lost && e.Method == string(sip.PRACK):
		return "no-prack"
	case e.Lost:
		return "no-answer"
	case e.Code != 0:
		return strconv.Itoa(e.Code)
	case e.Inside:
		return "re" + e.Method
	case e.Fragment != 0:
		return e.Method + "=" + strconv.Itoa(e.Fragment)
	}
	return e.Method
}

// Header is the values of a header, in order.
func (e Event) Header(name string) []string {
	var all []string
	if e.message != nil {
		for _, h := range e.message.GetHeaders(name) {
			all = append(all, h.Value())
		}
	}
	return all
}

// eventOf is a message as an event.
func eventOf(c *Call, m sip.Message) Event {
	e := Event{
		Call: c, Method: string(m.CSeq().MethodName), message: m,
		Cause: cause(m, "SIP"), Q850: cause(m, "Q.850"), Media: mediaOf(m.Body()),
	}
	switch m := m.(type) {
	case *sip.Request:
		e.Tag = fromTag(m)
	case *sip.Response:
		e.Code, e.Tag = m.StatusCode, m.To().Params.GetOr("tag", "")
		e.Reliable = reliable(m)
	}
	return e
}

// lost is the event that something of the call is missing.
func (c *Call) lost(what string) { c.phone.seen(Event{Call: c, Method: what, Lost: true}) }

// cause is the cause of a protocol in a message's Reason headers (RFC 3326); 0: none.
func cause(m sip.Message, protocol string) int {
	for _, h := range m.GetHeaders("Reason") {
		for value := range quoted(h.Value(), ',') {
			name, params, _ := strings.Cut(value, ";")
			if !strings.EqualFold(strings.TrimSpace(name), protocol) {
				continue
			}
			if n, err := strconv.Atoi(param(params, "cause")); err == nil {
				return n
			}
		}
	}
	return 0
}

// param is the value of a parameter in a list of them that semicolons divide.
func param(list, name string) string {
	for p := range quoted(list, ';') {
		key, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// lists tells whether a header of that name lists the word: Require, Supported, Allow.
func lists(m sip.Message, name, word string) bool {
	for _, h := range m.GetHeaders(name) {
		for w := range strings.SplitSeq(h.Value(), ",") {
			if strings.EqualFold(strings.TrimSpace(w), word) {
				return true
			}
		}
	}
	return false
}

// number is a header's number, and its parameters.
func number(m sip.Message, names ...string) (n int, params string) {
	for _, name := range names {
		for _, h := range m.GetHeaders(name) {
			value, params, _ := strings.Cut(h.Value(), ";")
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 0 {
				return n, params
			}
		}
	}
	return 0, ""
}

func fromTag(req *sip.Request) string { return req.From().Params.GetOr("tag", "") }
