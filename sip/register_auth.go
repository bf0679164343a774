package sip

import (
	"errors"
	"fmt"
	"maps"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

const (
	firstPause = time.Second / 2  // after the first wrong password; doubled with each
	longPause  = 30 * time.Second // and never longer
	failureAge = 10 * time.Minute // after this a wrong password is forgotten
	maxMemory  = 10_000           // wrong passwords, and nonces, that are remembered at a time
)

// failure is a wrong password.
type failure struct {
	next time.Duration // the pause before the next refusal
	at   time.Time
}

// count is the highest nonce count seen (RFC 7616, 3.4: nc): a request that comes a second time is a replay.
type count struct {
	nc int
	at time.Time
}

// claim is who a request says that it is from.
type claim struct {
	user   string
	secret secret
	who    call.Party // zero for an unknown user
}

// caller authenticates a request of a call taker's phone: a REGISTER, or an INVITE of its own. refused is what to answer
// when it could not: a challenge, or 403 for other networks than the takers', for a wrong password, and for whoever sends
// it in another's name. It blocks during the pause that follows a wrong password; a line that closes ends the pause.
func (r *registrar) caller(req *sipgo.Request) (who call.Party, refused *sipgo.Response) {
	source := addrPort(req.Source()).Addr()
	if !r.l.from.taker(source) {
		return call.Party{}, reply(req, sipgo.StatusForbidden)
	}
	c, err := r.identify(req)
	key := c.user + "|" + source.String()
	switch {
	case errors.Is(err, errUnasked), errors.Is(err, errStale):
		return call.Party{}, r.challenge(req, c.secret.algorithm, errors.Is(err, errStale))
	case err != nil:
		r.l.log.Warn("credentials refused", zap.String("method", string(req.Method)), zap.String("user", c.user), zap.String("from", req.Source()), zap.Error(err))
		r.pause(key)
		return call.Party{}, reply(req, sipgo.StatusForbidden)
	}
	r.forgive(key)
	return c.who, nil
}

// identify checks who sends the request, and that it is in that account's name: a REGISTER in its To (10.3, steps 3 to 5),
// else in its From. errUnasked and errStale ask for (new) credentials.
func (r *registrar) identify(req *sipgo.Request) (c claim, err error) {
	name := req.From().Address.User
	if req.Method == sipgo.REGISTER {
		name = req.To().Address.User
	}
	realm := r.l.o.Config.SIP.Realm
	cred := credentials(req, realm)
	c.user = name
	if cred != nil {
		c.user = cred.Username
	}
	ha1, who, _ := r.accounts.Account(c.user)
	c.secret, c.who = secretOf(ha1), who
	if cred == nil {
		return c, errUnasked
	}
	if err := r.nonces.check(cred.Nonce, time.Now()); err != nil {
		return c, err
	}
	if err := authenticate(string(req.Method), realm, c.secret, cred); err != nil {
		return c, err
	}
	if !r.fresh(cred.Nonce, cred.Nc) {
		return c, errStale
	}
	if name != c.user {
		return c, fmt.Errorf("in the name of %q", name)
	}
	return c, nil
}

// fresh tells whether the nonce has not been used with that count or a higher one. A nonce lives for nonceAge; when there
// are too many, the old ones go, and if none is old all phones are asked once more.
func (r *registrar) fresh(nonce string, nc int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if len(r.counts) >= maxMemory {
		maps.DeleteFunc(r.counts, func(_ string, c count) bool { return now.Sub(c.at) > nonceAge })
	}
	last, used := r.counts[nonce]
	if used && nc <= last.nc || !used && len(r.counts) >= maxMemory {
		return false
	}
	if !used {
		last.at = now
	}
	r.counts[nonce] = count{nc, last.at}
	return true
}

func (r *registrar) challenge(req *sipgo.Request, algorithm string, stale bool) *sipgo.Response {
	c := digest.Challenge{
		Realm: r.l.o.Config.SIP.Realm, Nonce: r.nonces.make(time.Now()), Algorithm: algorithm, QOP: []string{"auth"}, Stale: stale,
	}
	return reply(req, sipgo.StatusUnauthorized, sipgo.NewHeader("WWW-Authenticate", c.String()))
}

// pause waits before a refusal, longer with each wrong password of the same user and address.
func (r *registrar) pause(who string) {
	r.mu.Lock()
	now := time.Now()
	if len(r.failures) >= maxMemory {
		maps.DeleteFunc(r.failures, func(_ string, f failure) bool { return now.Sub(f.at) > failureAge })
	}
	d := max(r.failures[who].next, firstPause)
	if len(r.failures) < maxMemory {
		r.failures[who] = failure{min(2*d, longPause), now}
	}
	r.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.l.stop.Done():
	}
}

func (r *registrar) forgive(who string) {
	r.mu.Lock()
	delete(r.failures, who)
	r.mu.Unlock()
}

// reply is a final response of the registrar.
func reply(req *sipgo.Request, code int, headers ...sipgo.Header) *sipgo.Response {
	return refuse(code, headers...).response(req)
}
