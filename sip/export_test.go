package sip

import (
	"context"
	"net/netip"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// What the tests of pure parts reach.
var (
	Caller       = caller
	Number       = number
	SplitRoutes  = splitRoutes
	Tag          = tag
	ParseTag     = parseTag
	ReasonHeader = reason
	ServerDialog = serverDialog
	DecodeDialog = decodeDialog
	ErrStale     = errStale
	ErrPassword  = errPassword
)

// Authenticate checks credentials by an HA1 of MD5.
func Authenticate(method, realm, ha1 string, cred *digest.Credentials) error {
	return authenticate(method, realm, secret{"MD5", ha1}, cred)
}

// Validate gives the code and phrase of the refusal; 0 when the request is valid.
func Validate(req *sipgo.Request) (int, string, *sipgo.Response) {
	r := validate(req)
	if r == nil {
		return 0, "", nil
	}
	return r.code, r.reason, r.response(req)
}

// Nonce makes a nonce at one time and checks it at another.
func Nonce(key [32]byte, made time.Time) string { return nonces{key}.make(made) }

// CheckNonce checks a nonce.
func CheckNonce(key [32]byte, nonce string, now time.Time) error {
	return nonces{key}.check(nonce, now)
}

// Credentials are digest credentials.
type Credentials = digest.Credentials

// Encode is what Keep stores.
func (d Dialog) Encode() []byte { return d.encode() }

// Request builds a request in the dialog.
func (d *Dialog) Request(m sipgo.RequestMethod, seq uint32, at netip.AddrPort) (*sipgo.Request, error) {
	return d.request(m, seq, at)
}

// Sources is the source filter.
func Sources(trunks []config.Trunk, takers []netip.Prefix) *sources {
	return &sources{trunks: trunks, takers: takers}
}

// Read is the filter before the parser.
func (s *sources) Read(info sipgo.TransportReadProps, data []byte) ([]byte, error) {
	return s.read(info, data)
}

// Strangers counts who got nothing.
func (s *sources) Strangers() uint64 { return s.strangers.Load() }

// Leg0 is the caller.
const Leg0 = call.Leg(0)

// Pooled is how many addresses sipgo's connection pool knows.
func (l *Line) Pooled(network string) int { return l.tp.Pool(network).Size() }

// Bound is where the first listener of the network came to stand.
func (l *Line) Bound(network string) netip.AddrPort { return l.contact[network] }

// Dial lets sipgo itself connect over TCP, as it does for a request whose connection has gone.
func (l *Line) Dial(ctx context.Context, to netip.AddrPort) error {
	req := sipgo.NewRequest(sipgo.OPTIONS, sipgo.Uri{Scheme: "sip", Host: to.Addr().String()})
	req.AppendHeader(via("TCP", to))
	req.SetTransport("TCP")
	req.SetDestination(to.String())
	_, err := l.tp.ClientRequestConnection(ctx, req)
	return err
}

// Read reads everything in a valid request that the line may look at.
func Read(req *sipgo.Request) {
	_, _ = asked(req, true)
	_, _, _ = referTo(req)
	_ = saidReason(req)
	_ = caller(req, config.Trunk{Trust: config.TrustPAI})
	_ = number(req.Recipient)
	_ = acknowledges(req, 1, 1)
	_ = mergeKey(req)
	_, _ = branchKey(req)
	_ = expiry(req)
}

// Ghosts is how many INVITEs of an earlier run are remembered.
func (l *Line) Ghosts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ghosts)
}
