package siptest

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// credentials are a phone's answer to a challenge (RFC 3261, 22), for as long as the nonce lasts.
type credentials struct {
	header    string // Authorization or Proxy-Authorization
	challenge *digest.Challenge
	count     int // of requests with the challenge's nonce
}

// strength orders the algorithms of RFC 8760; what is not in it can't be answered.
var strength = []string{"", "MD5", "SHA-256", "SHA-512-256"}

// challenged takes the strongest challenge that the phone can answer.
func (k *credentials) challenged(res *sip.Response) bool {
	from, to := "WWW-Authenticate", "Authorization"
	if res.StatusCode == sip.StatusProxyAuthRequired {
		from, to = "Proxy-Authenticate", "Proxy-Authorization"
	}
	best := -1
	for _, h := range res.GetHeaders(from) {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil || !digest.CanDigest(c) {
			continue
		}
		if at := slices.Index(strength, strings.ToUpper(c.Algorithm)); at > best {
			best = at
			*k = credentials{header: to, challenge: c}
		}
	}
	return best >= 0
}

// challenges tells whether a response is one.
func challenges(res *sip.Response) bool {
	return res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired
}

// authorize adds the credentials, once there was a challenge.
func (k *credentials) authorize(req *sip.Request, user, password string) error {
	if k.challenge == nil {
		return nil
	}
	k.count++
	c, err := digest.Digest(k.challenge, digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(), Count: k.count, Username: user, Password: password,
	})
	if err != nil {
		return err
	}
	req.AppendHeader(sip.NewHeader(k.header, c.String()))
	return nil
}
