package sip

import (
	"strings"

	sipgo "github.com/emiago/sipgo/sip"
)

// supported are the extensions that we understand: RFC 3262, 4028, 3891.
const supported = "100rel, timer, replaces"

// fields are the values of a header by its long or its short name, as they were written. Values of a comma-separated list
// may stand in one.
func fields(m sipgo.Message, names ...string) []string {
	var out []string
	for _, name := range names {
		if name == "" {
			continue
		}
		for _, h := range m.GetHeaders(name) {
			out = append(out, h.Value())
		}
	}
	return out
}

// lists tells whether a header that is a list of tokens has this one.
func lists(token string, values []string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// requires tells whether the peer insists on the extension.
func requires(m sipgo.Message, option string) bool { return lists(option, fields(m, "Require")) }

// supports tells whether the peer knows the extension.
func supports(m sipgo.Message, option string) bool {
	return requires(m, option) || lists(option, fields(m, "Supported", "k"))
}

// allows tells whether the peer takes requests of the method, as far as the message says.
func allows(m sipgo.Message, method sipgo.RequestMethod) bool {
	return lists(string(method), fields(m, "Allow"))
}

// fromTag is the tag of the From, "" for an RFC 2543 peer that sends none.
func fromTag(m sipgo.Message) string {
	if h := m.From(); h != nil {
		return h.Params.GetOr("tag", "")
	}
	return ""
}

// contactOf is the Contact of a message, nil without one that can be read.
func contactOf(m sipgo.Message) *sipgo.ContactHeader {
	switch m := m.(type) {
	case *sipgo.Request:
		return m.Contact()
	case *sipgo.Response:
		return m.Contact()
	}
	return nil
}
