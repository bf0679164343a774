package sip

import (
	"fmt"
	"net/netip"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/sdp"
)

// reasons are the phrases of our final responses (21), and of the causes in our Reason headers.
var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 422: "Session Interval Too Small",
	423: "Interval Too Brief", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
	483: "Too Many Hops", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending",
	500: "Server Internal Error", 503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported", 603: "Decline",
}

// causes are the Q.850 causes of our Reason headers by SIP status (RFC 3398, 8.2.6.1): 16 is a normal end.
var causes = map[int]int{
	0: 16, 200: 26, 400: 41, 403: 21, 404: 1, 408: 102, 480: 18, 481: 41, 486: 17, 487: 16, 488: 65, 500: 41, 503: 41, 504: 102, 603: 21,
}

// reason is the Reason header (RFC 3326) of a CANCEL or BYE of ours: the SIP status, where there was one, and its Q.850
// cause.
func reason(code int) string {
	text := reasons[code]
	switch code {
	case sipgo.StatusOK:
		text = "Call completed elsewhere"
	case sipgo.StatusRequestTerminated:
		text = "Caller gone"
	}
	var parts []string
	switch {
	case code < sipgo.StatusOK:
		code = 0
	case text == "":
		parts = append(parts, fmt.Sprintf("SIP;cause=%d", code))
	default:
		parts = append(parts, fmt.Sprintf(`SIP;cause=%d;text="%s"`, code, text))
	}
	if cause, ok := causes[code]; ok {
		parts = append(parts, fmt.Sprintf("Q.850;cause=%d", cause))
	}
	return strings.Join(parts, ", ")
}

// withReason puts our Reason header into a request.
func withReason(code int) func(*sipgo.Request) {
	return func(req *sipgo.Request) { req.AppendHeader(sipgo.NewHeader("Reason", reason(code))) }
}

// maxReason is how much of a peer's Reason goes into a record, in bytes.
const maxReason = 200

// saidReason is the Reason header of a peer's message, for the record.
func saidReason(m sipgo.Message) string {
	s := strings.ToValidUTF8(strings.Join(fields(m, "Reason"), ", "), "?")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

// warning is the Warning header beside a 488 (20.43).
func warning(at netip.Addr, err error) sipgo.Header {
	code, text := sdp.Warning(err)
	return sipgo.NewHeader("Warning", fmt.Sprintf("%d %s %s", code, hostText(at), quote(text)))
}
