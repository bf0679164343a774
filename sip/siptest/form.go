package siptest

import (
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Form is how an INVITE is written.
type Form string

// The forms.
const (
	Plain   Form = ""
	Compact Form = "compact" // short header names (RFC 3261, 7.3.3)
	Folded  Form = "folded"  // every header goes on in a second line (RFC 3261, 7.3.1)
)

// compactNames are the short header names (RFC 3261, 7.3.3 and 20; RFC 4028, 4).
var compactNames = map[string]string{
	"Call-ID": "i", "Contact": "m", "Content-Length": "l", "Content-Type": "c", "From": "f", "Session-Expires": "x",
	"Supported": "k", "To": "t", "Via": "v",
}

// write is the request in that form.
func (f Form) write(req *sip.Request) []byte {
	head, body, _ := strings.Cut(req.String(), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for i, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		switch f {
		case Plain:
		case Compact:
			if s := compactNames[name]; s != "" {
				lines[1+i] = s + ":" + value
			}
		case Folded:
			lines[1+i] = name + ":\r\n\t" + strings.TrimSpace(value)
		}
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
}
