package sip

import (
	"slices"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// caller is who the trunk says is calling, and how much that is worth (RFC 3325: a P-Asserted-Identity is as good as the
// network it comes from; a From is the caller's own claim).
func caller(req *sipgo.Request, t config.Trunk) call.Caller {
	from := ""
	if h := req.From(); h != nil {
		from = number(h.Address)
	}
	switch t.Trust {
	case config.TrustPAI:
		if n := asserted(req); n != "" {
			return call.Caller{Number: n, Trust: call.Asserted}
		}
	case config.TrustFrom:
		if from != "" {
			return call.Caller{Number: from, Trust: call.Asserted}
		}
	case config.TrustNone:
	}
	if from != "" {
		return call.Caller{Number: from, Trust: call.Claimed}
	}
	return call.Caller{Trust: call.None}
}

// asserted is the first number among the P-Asserted-Identity values, which may stand in one header or in several.
func asserted(req *sipgo.Request) string {
	for _, h := range req.GetHeaders("P-Asserted-Identity") {
		for _, v := range splitRoutes(h.Value()) {
			var uri sipgo.Uri
			if _, err := sipgo.ParseAddressValue(v, &uri, &sipgo.HeaderParams{}); err != nil {
				continue
			}
			if n := number(uri); n != "" {
				return n
			}
		}
	}
	return ""
}

// number is the telephone number in a sip or tel URI, without visual separators (RFC 3966, 5.1.1) and parameters; "" for
// an anonymous one (RFC 3323, 4.1.1.3).
func number(uri sipgo.Uri) string {
	n := uri.User
	switch uri.Scheme {
	case "tel":
		n = uri.Raw()
	case "sip", "sips":
		if strings.HasSuffix(strings.ToLower(uri.Host), ".invalid") {
			return ""
		}
	default:
		return ""
	}
	n, _, _ = strings.Cut(n, ";")
	n = strings.Map(noSeparator, n)
	if strings.EqualFold(n, "anonymous") || strings.EqualFold(n, "unknown") {
		return ""
	}
	return n
}

// noSeparator drops visual separators.
func noSeparator(r rune) rune {
	if strings.ContainsRune("-.() ", r) {
		return -1
	}
	return r
}

// serves tells whether the trunk delivers calls to the number here.
func serves(t config.Trunk, called string) bool { return slices.Contains(t.Numbers, called) }
