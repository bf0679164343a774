package sip

import (
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"github.com/siaga112/siaga112/call"
)

// CallerOf authenticates a request that a call taker's phone sends.
func (l *Line) CallerOf(req *sipgo.Request) (call.Party, *sipgo.Response) { return l.reg.caller(req) }

// ReadCredentials are those of the request for the realm, nil for none.
func ReadCredentials(req *sipgo.Request, realm string) *digest.Credentials {
	return credentials(req, realm)
}

// AuthenticateBy checks credentials by an account's HA1s.
func AuthenticateBy(method, realm string, ha1 map[string]string, cred *digest.Credentials) error {
	return authenticate(method, realm, secretOf(ha1), cred)
}

// SameURI compares two URIs; false when one is none.
func SameURI(a, b string) bool {
	var x, y sipgo.Uri
	return sipgo.ParseUri(a, &x) == nil && sipgo.ParseUri(b, &y) == nil && sameURI(&x, &y)
}

// Binding is one registered contact.
type Binding = binding

// NewBinding is a binding that answers OPTIONS, or does not.
func NewBinding(b Binding, up bool) *Binding {
	b.up = up
	if err := readContact(b.Contact, &b.uri); err != nil {
		panic(err)
	}
	return &b
}

// Up tells whether it answers OPTIONS.
func (b *binding) Up() bool { return b.up }

// Revise is what becomes of bindings, or the code of the refusal.
func Revise(now time.Time, all bool, asked, old []*Binding) ([]*Binding, int) {
	next, refused := change{now: now, all: all, contacts: asked}.apply(old)
	if refused != nil {
		return nil, refused.code
	}
	return next, 0
}
