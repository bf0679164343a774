package siptest_test

import (
	"net/netip"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// authenticated challenges a request without credentials, and refuses wrong ones.
func (f *fake) authenticated(req *sip.Request, from netip.AddrPort) bool {
	user := req.From().Address.User
	h := req.GetHeader("Authorization")
	challenge := digest.Challenge{Realm: "test", Nonce: "n1", QOP: []string{"auth"}, Algorithm: "MD5"}
	sha := challenge
	sha.Algorithm = "SHA-256"
	if h == nil {
		f.respond(req, 401, "r", from, sip.NewHeader("WWW-Authenticate", challenge.String()),
			sip.NewHeader("WWW-Authenticate", sha.String()))
		return false
	}
	got, err := digest.ParseCredentials(h.Value())
	if err != nil {
		f.respond(req, 400, "r", from)
		return false
	}
	want, err := digest.Digest(&sha, digest.Options{
		Method: string(req.Method), URI: got.URI, Count: got.Nc, Username: user, Password: f.pass[user], Cnonce: got.Cnonce,
	})
	if err != nil || want.Response != got.Response || f.pass[user] == "" {
		f.respond(req, 403, "r", from)
		return false
	}
	return true
}

func (f *fake) register(req *sip.Request, from netip.AddrPort) {
	if !f.authenticated(req, from) {
		return
	}
	user := req.From().Address.User
	if h := req.GetHeader("Expires"); h.Value() == "5" {
		f.respond(req, 423, "r", from, sip.NewHeader("Min-Expires", "60"))
		return
	}
	f.takers = deleteTaker(f.takers, user)
	if expires := req.GetHeader("Expires"); expires.Value() != "0" {
		var granted []sip.Header
		for _, h := range req.GetHeaders("Contact") {
			contact, _ := h.(*sip.ContactHeader)
			at := netip.AddrPortFrom(netip.MustParseAddr(contact.Address.Host), uint16(contact.Address.Port))
			f.takers = append(f.takers, &phoneAt{user: user, at: at})
			contact.Params.Add("expires", "60")
			granted = append(granted, contact)
		}
		f.respond(req, 200, "r", from, granted...)
		f.next()
		return
	}
	f.respond(req, 200, "r", from)
}

func deleteTaker(all []*phoneAt, user string) []*phoneAt {
	var rest []*phoneAt
	for _, t := range all {
		if t.user != user {
			rest = append(rest, t)
		}
	}
	return rest
}
