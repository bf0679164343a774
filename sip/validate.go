package sip

import (
	"fmt"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"
)

// allow is what we understand (RFC 3261, 20.5).
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, REFER"

// refusal is why a request is not served: a status, and the headers that its RFC wants beside it.
type refusal struct {
	code    int
	reason  string // "": the status's own phrase
	headers []sipgo.Header
}

func refuse(code int, headers ...sipgo.Header) *refusal {
	return &refusal{code: code, headers: headers}
}

// response answers the request with the refusal.
func (r *refusal) response(req *sipgo.Request) *sipgo.Response {
	res := respond(req, r.code, nil)
	if r.reason != "" {
		res.Reason = r.reason
	}
	for _, h := range r.headers {
		res.AppendHeader(sipgo.HeaderClone(h))
	}
	return res
}

// respond builds a response of ours: sipgo copies the version of the request, which may be nonsense.
func respond(req *sipgo.Request, code int, body []byte) *sipgo.Response {
	res := sipgo.NewResponseFromRequest(req, code, reasons[code], body)
	res.SipVersion = "SIP/2.0"
	if from := res.From(); from != nil && fromTag(res) == "" {
		from.Params.Remove("tag")
	}
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
		return refuse(sipgo.StatusVersionNotSupported)
	}
	if what := malformed(req); what != "" {
		return &refusal{code: sipgo.StatusBadRequest, reason: "Bad Request: " + what}
	}
	if !lists(string(req.Method), []string{allow}) {
		return refuse(sipgo.StatusMethodNotAllowed, sipgo.NewHeader("Allow", allow))
	}
	switch req.Recipient.Scheme {
	case "sip", "sips", "tel":
	default:
		return refuse(416)
	}
	if h := req.MaxForwards(); h != nil && h.Val() == 0 && req.Method != sipgo.OPTIONS {
		return refuse(sipgo.StatusTooManyHops)
	}
	if req.Method != sipgo.ACK && req.Method != sipgo.CANCEL {
		if names := required(req); names != "" {
			return refuse(sipgo.StatusBadExtension, sipgo.NewHeader("Unsupported", names))
		}
	}
	if encoded(req) {
		return refuse(sipgo.StatusUnsupportedMediaType, sipgo.NewHeader("Accept-Encoding", "identity"))
	}
	if len(req.Body()) > 0 && describes(req.Method) && !isSDP(req) {
		return refuse(sipgo.StatusUnsupportedMediaType, sipgo.NewHeader("Accept", "application/sdp"))
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
	case fromTag(req) == "" && !isOld(req): // RFC 2543 knew none (12.1.1)
		return "From has no tag"
	case len(req.GetHeaders("Contact")) != 1 && req.Method == sipgo.INVITE:
		return "an INVITE has one Contact"
	case req.Method == sipgo.INVITE && (req.Contact() == nil || req.Contact().Address.Wildcard):
		return "the Contact cannot be read"
	}
	return ""
}

// required lists the extensions that the request requires and we do not have.
func required(req *sipgo.Request) string {
	var names []string
	for _, v := range fields(req, "Require") {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" && !lists(name, []string{supported}) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}

// isOld tells whether the request comes from an RFC 2543 peer: its branch has no magic cookie (8.1.1.7).
func isOld(req *sipgo.Request) bool {
	return !strings.HasPrefix(req.Via().Params.GetOr("branch", ""), sipgo.RFC3261BranchMagicCookie)
}

// describes tells whether a body of the method is a session description.
func describes(m sipgo.RequestMethod) bool {
	return m == sipgo.INVITE || m == sipgo.UPDATE || m == sipgo.PRACK
}

// encoded tells whether the body has an encoding that we would have to undo (20.12).
func encoded(req *sipgo.Request) bool {
	for _, v := range fields(req, "Content-Encoding", "e") {
		if !strings.EqualFold(strings.TrimSpace(v), "identity") {
			return len(req.Body()) > 0
		}
	}
	return false
}

func isSDP(req *sipgo.Request) bool {
	h := req.ContentType()
	if h == nil {
		return false
	}
	kind, _, _ := strings.Cut(h.Value(), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/sdp")
}
