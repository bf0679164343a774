package sdp

import "errors"

// reason is why a medium cannot be served, in the order in which that is found out: of several media the last one says
// most.
type reason uint8

const (
	noAudio reason = iota
	noTransport
	noFormat
	noAddress
)

// warnings are the warn-codes with their texts (RFC 3261, 20.43).
var warnings = [...]struct {
	code int
	text string
}{
	noAudio:     {304, "Media type not available: audio only"},
	noTransport: {302, "Incompatible transport protocol: RTP/AVP only"},
	noFormat:    {305, "Incompatible media format: PCMA and PCMU only"},
	noAddress:   {301, "Incompatible network address formats"},
}

func (r reason) Error() string { return ErrNotAcceptable.Error() + ": " + warnings[r].text }

// Unwrap makes every reason an ErrNotAcceptable.
func (r reason) Unwrap() error { return ErrNotAcceptable }

// Warning is the warn-code and the warn-text that go with the refusal of a description (RFC 3261, 20.43): 301, 302, 304 or
// 305 where an error of Answer or Accept tells which, else 399. The text is never the peer's.
func Warning(err error) (code int, text string) {
	if r, ok := errors.AsType[reason](err); ok {
		return warnings[r].code, warnings[r].text
	}
	return 399, "Session description not understood"
}
