package sip

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// nonceAge is how long a challenge may be answered; after it the phone is asked again (stale, RFC 7616, 3.3).
const nonceAge = 5 * time.Minute

// What can be wrong with the credentials of a request.
var (
	errUnasked  = errors.New("no credentials for our realm")
	errStale    = errors.New("the nonce is too old")
	errPassword = errors.New("unknown user or wrong password")
)

// nonces makes and checks nonces without remembering any: a nonce is its time and a MAC of it.
type nonces struct{ key [32]byte }

// noncesOf are those of one run. A nonce of an earlier run is stale: how often it was used is forgotten.
func noncesOf(secret [32]byte, run time.Time) nonces {
	return nonces{sha256.Sum256(binary.BigEndian.AppendUint64(secret[:], uint64(run.UnixNano())))}
}

func (n nonces) make(now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac(b)...))
}

func (n nonces) check(nonce string, now time.Time) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != 24 || !hmac.Equal(b[8:], n.mac(b[:8])) {
		return errStale // from another installation, or made up: ask again
	}
	if age := now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(b)))); age < 0 || age > nonceAge {
		return errStale
	}
	return nil
}

func (n nonces) mac(b []byte) []byte {
	m := hmac.New(sha256.New, n.key[:])
	m.Write(b)
	return m.Sum(nil)[:16]
}

// secret is what credentials are checked by: a digest algorithm and the user's HA1 by it, "" for an unknown user.
type secret struct{ algorithm, ha1 string }

// secretOf is the one secret of an account. Its algorithm is the only one that is challenged: common softphones give up on
// a challenge that names SHA-256, even beside MD5. An account with both hashes is of the time before one was chosen, and
// means MD5; so does an unknown user, whose challenge is that of an account by default.
func secretOf(ha1 map[string]string) secret {
	if h := ha1["SHA-256"]; h != "" && len(ha1) == 1 {
		return secret{"SHA-256", h}
	}
	return secret{"MD5", ha1["MD5"]}
}

// credentials are those of the request for the realm (RFC 3261, 22.4); nil when there are none that can be read.
func credentials(req *sipgo.Request, realm string) *digest.Credentials {
	for _, h := range req.GetHeaders("Authorization") {
		if cred, err := digest.ParseCredentials(h.Value()); err == nil && cred.Realm == realm {
			return cred
		}
	}
	return nil
}

// authenticate checks the credentials of one request (RFC 7616, 3.4.1, qop auth). The arithmetic is done for an unknown
// user as well. A count below one is none: the library would take it for the first.
func authenticate(method, realm string, s secret, cred *digest.Credentials) error {
	chal := &digest.Challenge{Realm: realm, Nonce: cred.Nonce, Algorithm: s.algorithm, QOP: []string{"auth"}}
	a1 := s.ha1
	if a1 == "" {
		a1 = "00000000000000000000000000000000"
	}
	want, err := digest.Digest(chal, digest.Options{
		Method: method, URI: cred.URI, Username: cred.Username, A1: a1, Cnonce: cred.Cnonce, Count: cred.Nc,
	})
	if err != nil {
		return err
	}
	same := subtle.ConstantTimeCompare([]byte(want.Response), []byte(cred.Response)) == 1
	if s.ha1 == "" || !same || cred.QOP != "auth" || cred.Realm != realm || cred.Cnonce == "" || cred.Nc < 1 {
		return errPassword
	}
	return nil
}
