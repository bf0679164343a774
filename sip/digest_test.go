package sip_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	"github.com/icholy/digest"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip"
)

// hashed is the digest of the parts, by the algorithm.
func hashed(algorithm string, parts ...string) string {
	h := md5.New()
	if algorithm == "SHA-256" {
		h = sha256.New()
	}
	h.Write([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(h.Sum(nil))
}

// hashes is what an account stores.
func hashes(user string, algorithms ...string) map[string]string {
	out := map[string]string{}
	for _, a := range algorithms {
		out[a] = hashed(a, user, "siaga112", "rahasia")
	}
	return out
}

// chosen are accounts whose t1 has the hashes of these algorithms.
type chosen struct {
	*accounts
	algorithms []string
}

func (c chosen) Account(user string) (map[string]string, call.Party, bool) {
	_, who, ok := c.accounts.Account(user)
	if !ok {
		return nil, who, false
	}
	return hashes(user, c.algorithms...), who, true
}

// byAlgorithm runs a test for accounts of each kind; algorithm is the one to be challenged.
func byAlgorithm(t *testing.T, f func(t *testing.T, r *rig, algorithm string)) {
	t.Helper()
	for _, algorithms := range [][]string{{"MD5"}, {"SHA-256"}, {"MD5", "SHA-256"}} {
		t.Run(strings.Join(algorithms, "+"), func(t *testing.T) {
			bubbleWith(t, func(r *rig) { r.options.Accounts = chosen{r.accounts, algorithms} }, func(t *testing.T, r *rig) {
				f(t, r, algorithms[0])
			})
		})
	}
}

// The challenge names the account's algorithm and no other; an account of the time before there was a choice has both
// hashes and is asked for MD5. Whoever there is none of gets a challenge like that of an account by default.
func TestDigestByAccount(t *testing.T) {
	byAlgorithm(t, func(t *testing.T, r *rig, algorithm string) {
		p := r.peer(desk)
		shape := func(user string) string {
			p.send(p.registration(user, ""))
			m := p.want("SIP/2.0 401")
			if n := len(m.headers("WWW-Authenticate")); n != 1 {
				t.Errorf("%d challenges", n)
			}
			c, err := digest.ParseChallenge(m.header("WWW-Authenticate"))
			if err != nil {
				t.Fatal(err)
			}
			c.Nonce = strings.Repeat("n", len(c.Nonce))
			return c.String()
		}
		want := fmt.Sprintf(`Digest realm="siaga112", nonce="%s", algorithm=%s, qop="auth"`, strings.Repeat("n", 32), algorithm)
		if got := shape("t1"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := shape("nobody"); got != strings.Replace(want, "SHA-256", "MD5", 1) {
			t.Errorf("an unknown user gets %s", got)
		}
		p.ignore = []string{"OPTIONS"}
		p.register("t1", "rahasia", "")
		p.try("t1", "salah", "")("SIP/2.0 403", time.Second)
	})
}

// RFC 7616, 3.3 and 3.4: an old nonce is stale, and each count of one nonce serves once.
func TestNonceOfEachAlgorithm(t *testing.T) {
	byAlgorithm(t, func(t *testing.T, r *rig, algorithm string) {
		p := r.peer(desk)
		p.ignore = []string{"OPTIONS"}
		send := func(authorization, want string) string {
			t.Helper()
			p.send(p.registration("t1", "Authorization: "+authorization+"\n"))
			challenge := p.want("SIP/2.0 " + want).header("WWW-Authenticate")
			if want == "401" && (!strings.Contains(challenge, "stale=true") || !strings.Contains(challenge, "algorithm="+algorithm+",")) {
				t.Errorf("challenge %s", challenge)
			}
			return challenge
		}
		p.send(p.registration("t1", ""))
		challenge := p.want("SIP/2.0 401").header("WWW-Authenticate")
		first, third := authorizationAgain(t, challenge, "t1", "rahasia", 1), authorizationAgain(t, challenge, "t1", "rahasia", 3)
		send(third, "200")
		send(third, "401") // again
		send(first, "401") // lower
		send(authorizationAgain(t, challenge, "t1", "rahasia", 4), "200")
		pass(5*time.Minute + time.Second)
		challenge = send(authorizationAgain(t, challenge, "t1", "rahasia", 5), "401")
		last := authorizationAgain(t, challenge, "t1", "rahasia", 1)
		send(last, "200")
		r.line.Kill()
		r.open()
		send(last, "401") // how often it was used is forgotten: so is the nonce
	})
}

// What an Authorization may lack. The library takes a missing count for the first one: it would come through twice.
func TestAuthorizationThatLacksSomething(t *testing.T) {
	tests := []struct {
		name   string
		change func(authorization string) string
		want   string
	}{
		{"nothing", func(s string) string { return s }, "200"},
		{"in lower case", func(s string) string { return strings.Replace(s, "Digest", "digest", 1) }, "200"},
		{"nc (RFC 7616, 3.4)", func(s string) string { return strings.Replace(s, ", nc=00000001", "", 1) }, "403"},
		{"qop", func(s string) string { return strings.Replace(s, ", qop=auth", "", 1) }, "403"},
		{"response", func(s string) string { return strings.Replace(s, "response", "x", 1) }, "403"},
		{"a nonce of ours", func(s string) string { return strings.Replace(s, "nonce=\"", "nonce=\"x", 1) }, "401"},
		{"our realm: another server's (RFC 3261, 22.4)", func(s string) string { return strings.Replace(s, "siaga112", "other", 1) }, "401"},
		{"nothing, beside another server's", func(s string) string {
			return strings.Replace(s, "siaga112", "other", 1) + "\nAuthorization: " + s
		}, "200"},
		{"its scheme", func(s string) string { return strings.Replace(s, "Digest", "Basic", 1) }, "401"},
		{"sense", func(string) string { return "Digest ,,=,\"" }, "401"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.peer(desk)
				p.ignore = []string{"OPTIONS"}
				p.send(p.registration("t1", ""))
				challenge := p.want("SIP/2.0 401").header("WWW-Authenticate")
				p.send(p.registration("t1", "Authorization: "+tt.change(authorization(t, challenge, "t1", "rahasia"))+"\n"))
				p.want("SIP/2.0 " + tt.want)
			})
		})
	}
}

// An unknown user and a wrong password are told apart by nothing: not the answers, nor when they come.
func TestUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	answers := map[string][]string{}
	for _, user := range []string{"t1", "t9"} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.peer(desk)
			for range 3 {
				answer := p.try(user, "salah", "")
				began := time.Since(r.start)
				m := answer("SIP/2.0 403", time.Minute)
				var names []string
				for line := range strings.SplitSeq(m.text, "\r\n") {
					name, _, _ := strings.Cut(line, ":")
					names = append(names, name)
				}
				answers[user] = append(answers[user], fmt.Sprint((m.at-began).String(), names))
			}
		})
	}
	if diff := cmp.Diff(answers["t1"], answers["t9"]); diff != "" {
		t.Errorf("a known user and an unknown one:\n%s", diff)
	}
}

// The example of RFC 7616, 3.9.1, in both algorithms.
func TestDigestExample(t *testing.T) {
	for algorithm, response := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		ha1 := map[string]string{algorithm: hashed(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life")}
		cred := &digest.Credentials{
			Username: "Mufasa", Realm: "http-auth@example.org", URI: "/dir/index.html", Algorithm: algorithm, QOP: "auth", Nc: 1, Response: response,
			Nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", Cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
		}
		if err := sip.AuthenticateBy("GET", "http-auth@example.org", ha1, cred); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		cred.Nc = 2
		if err := sip.AuthenticateBy("GET", "http-auth@example.org", ha1, cred); err == nil {
			t.Errorf("%s: another count is let in", algorithm)
		}
	}
}

// ownINVITE is the INVITE of a call taker's phone as it comes in from a host.
func ownINVITE(tb testing.TB, host, from, authorization string) *sipgo.Request {
	tb.Helper()
	text := "INVITE sip:*4@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bKo\nFrom: <" + from + ">;tag=a\nTo: <sip:*4@10.0.0.1>\n" +
		"Call-ID: o\nCSeq: 1 INVITE\nContact: <sip:t1@h>\n" + authorization + "Content-Length: 0\n\n"
	m, err := sipgo.ParseMessage([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		tb.Fatal(err)
	}
	req := m.(*sipgo.Request)
	req.SetTransport("UDP")
	req.SetSource(host + ":5060")
	return req
}

// A call taker's own INVITE is authenticated as a REGISTER is (RFC 3261, 22.2), by its From.
func TestCallerOfAnINVITE(t *testing.T) {
	tests := []struct {
		name, host, from   string
		method, user, pass string // of the credentials; "" none
		want               string
		pause              time.Duration
	}{
		{"the taker", desk, "sip:t1@siaga112", "INVITE", "t1", "rahasia", "t1 112", 0},
		{"at another domain", desk, "sip:t1@10.0.0.1:5060", "INVITE", "t1", "rahasia", "t1 112", 0},
		{"without credentials", desk, "sip:t1@siaga112", "", "", "", "401 SHA-256", 0},
		{"an unknown user without credentials", desk, "sip:t9@siaga112", "", "", "", "401 MD5", 0},
		{"a wrong password", desk, "sip:t1@siaga112", "INVITE", "t1", "salah", "403", 500 * time.Millisecond},
		{"an unknown user", desk, "sip:t9@siaga112", "INVITE", "t9", "rahasia", "403", 500 * time.Millisecond},
		{"in another's name", desk, "sip:t2@siaga112", "INVITE", "t1", "rahasia", "403", 500 * time.Millisecond},
		{"in the name of a number", desk, "tel:+628115550001", "INVITE", "t1", "rahasia", "403", 500 * time.Millisecond},
		{"credentials of a REGISTER", desk, "sip:t1@siaga112", "REGISTER", "t1", "rahasia", "403", 500 * time.Millisecond},
		{"from a trunk", trunk, "sip:t1@siaga112", "INVITE", "t1", "rahasia", "403", 0},
		{"from anywhere", stranger, "sip:t1@siaga112", "", "", "", "403", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubbleWith(t, func(r *rig) { r.options.Accounts = chosen{r.accounts, []string{"SHA-256"}} }, func(t *testing.T, r *rig) {
				header := ""
				if tt.method != "" {
					_, refused := r.line.CallerOf(ownINVITE(t, desk, tt.from, ""))
					chal, err := digest.ParseChallenge(refused.GetHeader("WWW-Authenticate").Value())
					if err != nil {
						t.Fatal(err)
					}
					cred, err := digest.Digest(chal, digest.Options{Method: tt.method, URI: "sip:*4@10.0.0.1", Username: tt.user, Password: tt.pass, Count: 1})
					if err != nil {
						t.Fatal(err)
					}
					header = "Authorization: " + cred.String() + "\n"
				}
				began := time.Now()
				who, refused := r.line.CallerOf(ownINVITE(t, tt.host, tt.from, header))
				got := strings.TrimSpace(fmt.Sprint(who.Taker, " ", who.Department))
				if refused != nil {
					got = strings.TrimSpace(fmt.Sprint(refused.StatusCode, got))
					if h := refused.GetHeader("WWW-Authenticate"); h != nil {
						chal, err := digest.ParseChallenge(h.Value())
						if err != nil {
							t.Fatal(err)
						}
						got += " " + chal.Algorithm
					}
				}
				if pause := time.Since(began); got != tt.want || pause != tt.pause {
					t.Errorf("got %q after %s, want %q after %s", got, pause, tt.want, tt.pause)
				}
			})
		})
	}
}

// FuzzAuthorization: whatever stands in an Authorization, it lets nobody in but who knows the account's hash.
func FuzzAuthorization(f *testing.F) {
	chal := digest.Challenge{Realm: "siaga112", Nonce: "n", QOP: []string{"auth"}}
	for _, chal.Algorithm = range []string{"MD5", "SHA-256"} {
		cred, err := digest.Digest(&chal, digest.Options{Method: "REGISTER", URI: "sip:h", Username: "t1", Password: "rahasia", Count: 1, Cnonce: "c"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(cred.String(), "REGISTER", chal.Algorithm == "SHA-256")
	}
	f.Add(`Digest username="t1", realm="siaga112", nonce="n", uri="", response="", nc=-1, cnonce="\"", qop=auth`, "INVITE", false)
	f.Add(`Digest username="t1",realm=siaga112,userhash=true,algorithm=MD5-sess`, "", true)
	f.Fuzz(func(t *testing.T, header, method string, long bool) {
		algorithm := map[bool]string{true: "SHA-256", false: "MD5"}[long]
		req := sipgo.NewRequest(sipgo.RequestMethod(method), sipgo.Uri{Scheme: "sip", Host: "h"})
		req.AppendHeader(sipgo.NewHeader("Authorization", header))
		cred := sip.ReadCredentials(req, "siaga112")
		if cred == nil {
			return
		}
		ha1 := hashes("t1", algorithm)
		want := hashed(algorithm, ha1[algorithm], cred.Nonce, fmt.Sprintf("%08x", cred.Nc), cred.Cnonce, "auth", hashed(algorithm, method, cred.URI))
		in := sip.AuthenticateBy(method, "siaga112", ha1, cred) == nil
		if right := cred.Response == want && cred.QOP == "auth" && cred.Cnonce != "" && cred.Nc > 0; in != right {
			t.Errorf("let in: %v, right: %v", in, right)
		}
		for _, none := range []map[string]string{nil, {}, {"MD5": ""}, {"SHA-256": ""}} {
			if sip.AuthenticateBy(method, "siaga112", none, cred) == nil {
				t.Errorf("let in without an account: %v", none)
			}
		}
	})
}
