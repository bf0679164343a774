package export

import "strings"

// Of a masked number at most so many digits stay at its two ends, and at least so many are hidden.
const (
	headDigits = 5
	tailDigits = 2
	hidden     = 5
)

// Masked is a telephone number of which nobody can make the number again: +628115550001 is +62811*****01, which leaves the
// country and the operator's prefix. Five digits at least are hidden; a number that has no more is hidden wholly, as is
// what is no telephone number.
func Masked(number string) string {
	digits := strings.TrimPrefix(number, "+")
	n := len(digits)
	if n == 0 {
		return ""
	}
	if strings.Trim(digits, "0123456789") != "" || n > 32 {
		return strings.Repeat("*", hidden)
	}
	if n < hidden+tailDigits {
		return strings.Repeat("*", hidden)
	}
	head := min(headDigits, n-tailDigits-hidden)
	plus := number[:len(number)-n]
	return plus + digits[:head] + strings.Repeat("*", n-head-tailDigits) + digits[n-tailDigits:]
}

// mask takes out of a row what could tell a caller's number: the number itself is masked; the Call-ID and the note, in
// which anything may stand, go; of the peer's words only the protocol and the cause stay, of its priority what is a word.
// A number that was called stays if it is a short one, as 112 is.
func (r *Row) mask() {
	c := &r.Record
	c.Caller.Number = Masked(c.Caller.Number)
	if len(c.Called) > 6 || strings.Trim(c.Called, "0123456789") != "" {
		c.Called = Masked(c.Called)
	}
	c.SIPCallID, c.Note, c.Caller.Cell, c.Caller.Place = "", "", "", ""
	c.Reason, c.Priority = maskedReason(c.Reason), maskedWord(c.Priority)
}

// maskedReason is the protocol and the cause of a Reason (RFC 3326): Q.850;cause=16.
func maskedReason(reason string) string {
	var out []string
	for value := range strings.SplitSeq(reason, ",") {
		protocol, rest, _ := strings.Cut(value, ";")
		protocol = strings.TrimSpace(protocol)
		if protocol != "Q.850" && protocol != "SIP" {
			continue
		}
		for param := range strings.SplitSeq(rest, ";") {
			name, cause, _ := strings.Cut(strings.TrimSpace(param), "=")
			if name == "cause" && len(cause) <= 3 && strings.Trim(cause, "0123456789") == "" {
				out = append(out, protocol+";cause="+cause)
				break
			}
		}
	}
	return strings.Join(out, ", ")
}

// maskedWord is a token of letters, dots and single digits (emergency, esnet.0), or nothing.
func maskedWord(s string) string {
	run := 0
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			run++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.', c == '-':
			run = 0
		default:
			return ""
		}
		if run > 2 {
			return ""
		}
	}
	if len(s) > 32 {
		return ""
	}
	return s
}
