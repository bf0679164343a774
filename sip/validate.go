package sip

import (
	"fmt"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"
)

// allow is what we understand (RFC 3261, 20.5).
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"

// refusal is why a request is not served: a status, and the headers that its RFC wants beside it.
type refusal struct {
	code    int
	reason  string
	headers []sipgo.Header
}

func refuse(code int, reason string, headers ...sipgo.Header) *refusal {
	return &refusal{code: code, reason: reason, headers: headers}
}

// response answers the request with the refusal.
func (r *refusal) response(req *sipgo.Request) *sipgo.Response {
	res := respond(req, r.code, r.reason, nil)
	for _, h := range r.headers {
		res.AppendHeader(h)
	}
	return res
}

// respond builds a response of ours: sipgo copies the version of the request, which may be nonsense.
func respond(req *sipgo.Request, code int, reason string, body []byte) *sipgo.Response {
	res := sipgo.NewResponseFromRequest(req, code, reason, body)
	res.SipVersion = "SIP/2.0"
	if code > 100 {
		res.AppendHeader(sipgo.NewHeader("Server", userAgent))
	}
	return res
}

// validate holds a request against RFC 3261 (8.1.1, 8.2, 16.3) before anything else looks at it: sipgo parses
// more than is valid. A nil answer promises that Via, From, To, Call-ID and CSeq are there, once each, and fit.
// An ACK is never answered: whoever calls drops it.
func validate(req *sipgo.Request) *refusal {
	if !strings.EqualFold(req.SipVersion, "SIP/2.0") {
		return refuse(sipgo.StatusVersionNotSupported, "Version Not Supported")
	}
	if what := malformed(req); what != "" {
		return refuse(sipgo.StatusBadRequest, "Bad Request: "+what)
	}
	if !strings.Contains(allow, string(req.Method)) {
		return refuse(sipgo.StatusMethodNotAllowed, "Method Not Allowed", sipgo.NewHeader("Allow", allow))
	}
	switch req.Recipient.Scheme {
	case "sip", "sips", "tel":
	default:
		return refuse(416, "Unsupported URI Scheme")
	}
	if h := req.MaxForwards(); h != nil && h.Val() == 0 && req.Method != sipgo.OPTIONS {
		return refuse(sipgo.StatusTooManyHops, "Too Many Hops")
	}
	if req.Method != sipgo.ACK && req.Method != sipgo.CANCEL {
		if names := required(req); names != "" {
			return refuse(sipgo.StatusBadExtension, "Bad Extension", sipgo.NewHeader("Unsupported", names))
		}
	}
	if len(req.Body()) > 0 && req.Method == sipgo.INVITE && !isSDP(req) {
		return refuse(sipgo.StatusUnsupportedMediaType, "Unsupported Media Type", sipgo.NewHeader("Accept", "application/sdp"))
	}
	return nil
}

// malformed names what is wrong with the headers that every request has (8.1.1).
func malformed(req *sipgo.Request) string {
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		if n := len(req.GetHeaders(name)); n != 1 {
			return fmt.Sprintf("%d %s headers", n, name)
		}
	}
	switch cseq := req.CSeq(); {
	case req.Via() == nil:
		return "no Via header"
	case req.From() == nil || req.To() == nil || req.CallID() == nil || cseq == nil:
		return "a mandatory header cannot be read"
	case cseq.MethodName != req.Method:
		return "the CSeq method differs"
	case req.From().Params.GetOr("tag", "") == "":
		return "From has no tag"
	case len(req.GetHeaders("Contact")) != 1 && req.Method == sipgo.INVITE:
		return "an INVITE has one Contact"
	case req.Method == sipgo.INVITE && req.Contact() == nil:
		return "the Contact cannot be read"
	}
	return ""
}

// required lists the extensions that the request requires and we do not have.
func required(req *sipgo.Request) string {
	var names []string
	for _, h := range req.GetHeaders("Require") {
		names = append(names, h.Value())
	}
	return strings.Join(names, ", ")
}

func isSDP(req *sipgo.Request) bool {
	h := req.ContentType()
	if h == nil {
		return false
	}
	kind, _, _ := strings.Cut(h.Value(), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/sdp")
}
