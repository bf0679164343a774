package sip

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/icholy/digest"
)

// nonceAge is how long a challenge may be answered; after it the phone is asked again (stale, RFC 7616, 3.3).
const nonceAge = 5 * time.Minute

// What can be wrong with an Authorization header.
var (
	errStale    = errors.New("the nonce is too old")
	errPassword = errors.New("unknown user or wrong password")
)

// nonces makes and checks nonces without remembering any: a nonce is its time and a MAC of it.
type nonces struct{ key [32]byte }

func (n nonces) make(now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac(b)...))
}

func (n nonces) check(nonce string, now time.Time) error {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
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

// algorithm is the only one that is challenged: common softphones give up on a challenge that names SHA-256, even beside
// MD5.
const algorithm = "MD5"

// authenticate checks the credentials of one request against the user's HA1 (RFC 7616, 3.4.1, qop auth). An unknown
// user's ha1 is "": the arithmetic is done all the same.
func authenticate(method, realm, ha1 string, cred *digest.Credentials) error {
	chal := &digest.Challenge{Realm: realm, Nonce: cred.Nonce, Algorithm: algorithm, QOP: []string{"auth"}}
	a1 := ha1
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
	if ha1 == "" || !same || cred.QOP != "auth" || cred.Realm != realm || cred.Cnonce == "" {
		return errPassword
	}
	return nil
}
