package sip

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
)

// Options are what a Line is made of. All are needed.
type Options struct {
	Config   *config.Config
	Net      media.Net
	Prompts  *media.Library
	Intake   Intake
	Keeper   Keeper
	Accounts Accounts
	Secret   [32]byte // the registrar's nonce key; stays over a restart
	Alarm    call.Alarm
	Log      *zap.Logger
}

// Line is the SIP side of the gateway: listeners, registrar and one actor a call. Its five verbs are the desk's.
type Line struct {
	o       Options
	log     *zap.Logger
	from    *sources
	tp      *sipgo.TransportLayer
	tx      *sipgo.TransactionLayer
	ports   map[netip.Addr]*media.Ports // by the address that a listener binds
	tcp     *tcpListener                // nil without TCP; dialed connections are handed in here
	udp     map[netip.AddrPort]*socket  // as they are bound
	sockets []closer
	ears    chan struct{} // closed by Restore: from then on messages are read
	once    sync.Once
	deaf    chan struct{} // closed by Deafen: from then on they are not
	deafen  sync.Once
	contact map[string]netip.AddrPort // by network: what Via, Contact and SDP say when a message came over it
	reg     *registrar

	reading sync.WaitGroup  // sipgo's reading of the UDP sockets
	serving sync.WaitGroup  // listeners' and calls' goroutines
	parting sync.WaitGroup  // BYE and CANCEL transactions that are not over
	stop    context.Context // done when the line closes: what waits for a peer stops waiting
	cancel  context.CancelFunc
	noPorts atomic.Bool // the alarm sounds

	mu       sync.Mutex
	closed   bool                    // no goroutine begins any more
	calls    map[call.ID]*actor      // a leg that was dialed into a call leads to it too
	talks    map[call.TakerID]*actor // the call that a phone has
	branches map[string]*branch      // INVITE transactions and CANCELs that came before theirs
	merged   map[string]string       // Call-ID, From tag and CSeq of a live INVITE: its branch (8.2.2.2)
	ghosts   map[string]sipgo.Uri    // Request-URI of INVITEs of an earlier run, by Call-ID: their finals still want an ACK
}

type closer interface{ Close() error }

// branch is what is known of an INVITE server transaction outside its call.
type branch struct {
	id      call.ID         // of the call that the INVITE asks for; "" when only a CANCEL has come
	cancel  *sipgo.Request  // that came before its INVITE, or that sipgo did not match
	refused bool            // an INVITE of an earlier run, which this one ends with 503: it is no new call when it is repeated
	tx      *sipgo.ServerTx // of that 503
	actor   *actor
	leg     call.Leg // of the actor
}

// Open binds every listener of the configuration; nothing is read before Restore, which must follow. A socket that can't be
// had is named, with who may hold it; then nothing stays open. No call is lost between two runs: what comes before Open is
// answered by nobody and comes again (RFC 3261, 17.1.1.2).
func Open(o Options) (*Line, error) {
	l := &Line{
		o: o, log: o.Log.Named("sip"), from: &sources{trunks: o.Config.Trunks, takers: o.Config.Takers.From},
		udp: map[netip.AddrPort]*socket{}, ears: make(chan struct{}), deaf: make(chan struct{}),
		ports: map[netip.Addr]*media.Ports{}, contact: map[string]netip.AddrPort{},
		calls: map[call.ID]*actor{}, talks: map[call.TakerID]*actor{}, branches: map[string]*branch{}, merged: map[string]string{}, ghosts: map[string]sipgo.Uri{},
	}
	l.stop, l.cancel = context.WithCancel(context.Background())
	l.reg = newRegistrar(l, o.Accounts, o.Secret)
	l.layers()
	if err := l.listen(); err != nil {
		l.Kill()
		return nil, err
	}
	return l, nil
}

// layers puts our own hook before sipgo's transactions: it sees every message in the order of the wire, which
// transactions do not keep (each message runs in a goroutine of its own there).
func (l *Line) layers() {
	logger := sipgoLog(l.log)
	l.tp = sipgo.NewTransportLayer(nil, sipgo.NewParser(), nil,
		sipgo.WithTransportLayerLogger(logger),
		sipgo.WithTransportLayerReadFilter(l.from.read),
		sipgo.WithTransportLayerTransports(sipgo.TransportsConfig{TCP: &sipgo.TransportTCP{
			ReadTimeout: idleTCP, WriteTimeout: t2, DialerCreate: neverDial,
		}}))
	l.tp.OnMessage(l.arriving)
	l.tx = sipgo.NewTransactionLayer(l.tp,
		sipgo.WithTransactionLayerLogger(logger),
		sipgo.WithTransactionLayerUnhandledResponseHandler(l.stray))
	l.tx.OnRequest(l.serve)
}

// arriving sees each message before its transaction, in order. A new INVITE gets our To tag here, so that every response
// to it, sipgo's own included, carries the same one, and its branch is known before a CANCEL can ask for it. The CANCEL
// gets the tag of its INVITE (9.2).
func (l *Line) arriving(m sipgo.Message) {
	req, ok := m.(*sipgo.Request)
	if ok && req.Via() != nil && req.From() != nil && isOld(req) && !req.From().Params.Has("tag") {
		req.From().Params.Add("tag", "") // sipgo's transactions insist on one; respond takes it away again
	}
	if !ok || req.Method != sipgo.INVITE && req.Method != sipgo.CANCEL || req.To() == nil || req.To().Params.Has("tag") {
		return
	}
	key, ok := branchKey(req)
	if !ok {
		return
	}
	kind := byte(call.Call)
	if _, trunk := l.from.trunk(addrPort(req.Source()).Addr()); !trunk {
		kind = call.Act
	}
	if id := l.expect(key, req.Method == sipgo.INVITE, kind); id != "" {
		req.To().Params.Add("tag", tag(id, 0))
	}
}

// expect is the call, or the act, that the INVITE with this branch asks for; "" when there is none and none is to be made.
func (l *Line) expect(key string, invited bool, kind byte) call.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.branches[key]
	switch {
	case b == nil && !invited:
		return ""
	case b == nil:
		b = &branch{}
		l.branches[key] = b
		l.expire(key)
	}
	if b.id == "" && invited {
		b.id = call.NewID(kind, time.Now())
	}
	return b.id
}

// expire forgets a branch whose INVITE never became a call. The caller holds mu.
func (l *Line) expire(key string) {
	time.AfterFunc(lifetime, func() {
		l.mu.Lock()
		if b := l.branches[key]; b != nil && b.actor == nil {
			delete(l.branches, key)
		}
		l.mu.Unlock()
	})
}

// branchKey names an INVITE's server transaction for its CANCEL: top Via branch and sent-by, and for an RFC 2543 peer what
// stood for a branch then (17.2.3).
func branchKey(req *sipgo.Request) (string, bool) {
	v := req.Via()
	if v == nil {
		return "", false
	}
	key := fmt.Sprintf("%s|%s|%d", v.Params.GetOr("branch", ""), v.Host, v.Port)
	if isOld(req) && req.CallID() != nil && req.CSeq() != nil {
		key += fmt.Sprintf("|%s|%s|%d|%s", req.CallID().Value(), fromTag(req), req.CSeq().SeqNo, req.Recipient.String())
	}
	return key, true
}

// serve takes one request, in a goroutine of its own. A panic ends the request, not the gateway.
func (l *Line) serve(req *sipgo.Request, tx *sipgo.ServerTx) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("a request could not be handled", zap.Any("panic", p), zap.Stack("stack"), zap.String("method", string(req.Method)), zap.String("from", req.Source()))
			l.respond(tx, respond(req, sipgo.StatusInternalServerError, nil))
		}
	}()
	if req.Method != sipgo.INVITE { // an INVITE's transaction lives as long as its call needs it
		defer tx.TerminateGracefully()
	}
	if r := validate(req); r != nil {
		if req.Method != sipgo.ACK {
			l.respond(tx, r.response(req))
		}
		return
	}
	switch {
	case req.Method == sipgo.INVITE:
		l.onInvite(req, tx)
	case req.Method == sipgo.ACK:
		l.inDialog(req, func(a *actor, g *leg) { a.onAck(g, req) })
	case req.Method == sipgo.CANCEL:
		l.onCancel(req, tx)
	case req.Method == sipgo.REGISTER:
		l.reg.register(req, tx)
	case req.Method == sipgo.OPTIONS && !req.To().Params.Has("tag"):
		l.respond(tx, optionsResponse(req))
	default:
		l.within(req, tx)
	}
}

func (l *Line) actor(id call.ID) *actor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[id]
}

// onCancel serves a CANCEL whose INVITE sipgo did not find: it has overtaken it, or there is none (9.2).
func (l *Line) onCancel(req *sipgo.Request, tx *sipgo.ServerTx) {
	key, _ := branchKey(req)
	l.mu.Lock()
	b := l.branches[key]
	known := b != nil
	if !known {
		b = &branch{}
		l.branches[key] = b
		l.expire(key)
	}
	b.cancel = req
	a, n := b.actor, b.leg
	l.mu.Unlock()
	if !known {
		l.respond(tx, respond(req, sipgo.StatusCallTransactionDoesNotExists, nil))
		return
	}
	l.respond(tx, respond(req, sipgo.StatusOK, nil))
	if a != nil {
		a.post(func() { a.canceled(n, req, true) })
	}
}

// optionsResponse answers as an INVITE would be answered (11.2).
func optionsResponse(req *sipgo.Request) *sipgo.Response {
	res := respond(req, sipgo.StatusOK, nil)
	res.AppendHeader(sipgo.NewHeader("Allow", allow))
	res.AppendHeader(sipgo.NewHeader("Accept", "application/sdp"))
	res.AppendHeader(sipgo.NewHeader("Supported", supported))
	return res
}

// respond sends a final response of a short transaction; what can't be sent is logged, the peer will ask again.
func (l *Line) respond(tx *sipgo.ServerTx, res *sipgo.Response) {
	if err := tx.Respond(res); err != nil {
		l.unanswered(tx, err)
	}
}

// unanswered logs a response that did not go out.
func (l *Line) unanswered(tx *sipgo.ServerTx, err error) {
	l.log.Debug("response not sent", zap.String("to", string(tx.Origin().Method)), zap.Error(err))
}

// Strangers is how many messages came from addresses that are neither a trunk's nor a taker's.
func (l *Line) Strangers() uint64 { return l.from.strangers.Load() }

// Forget ends a call taker's registration: the account is gone. A call that the phone has goes on.
func (l *Line) Forget(taker call.TakerID) { l.reg.forget(taker, "account removed") }

// Addr is where the first listener of the network, UDP or TCP, stands; zero when there is none.
func (l *Line) Addr(network string) netip.AddrPort { return l.contact[network] }

// PortsInUse is how many RTP ports are bound.
func (l *Line) PortsInUse() int {
	n := 0
	for _, p := range l.ports {
		n += p.InUse()
	}
	return n
}

// spawn runs f in a goroutine that Close waits for; it tells whether the line still takes new work.
func (l *Line) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.serving.Go(f)
	return true
}

// Close hangs up whatever is still connected, waits until the BYE and CANCEL requests have been answered or two seconds
// have passed, and ends every goroutine of the line. The desk has ended all calls before.
func (l *Line) Close() {
	for _, a := range l.live() {
		hurried := make(chan struct{})
		if a.post(func() { defer close(hurried); a.hurry() }) {
			<-hurried
		}
	}
	done := make(chan struct{})
	if l.spawn(func() { l.parting.Wait(); close(done) }) {
		wait := time.NewTimer(2 * time.Second)
		defer wait.Stop()
		select {
		case <-done:
		case <-wait.C:
		}
	}
	l.Kill()
}

// settling is how long a message that was read may be on its way to its call: each runs in a goroutine of its own.
const settling = 20 * time.Millisecond

// Deafen lets no message in any more over UDP: what comes is answered by the next run, when it comes again. What came before
// has been told when it returns. The verbs work on.
func (l *Line) Deafen() {
	l.deafen.Do(func() { close(l.deaf) })
	<-time.After(settling)
	for _, a := range l.live() {
		done := make(chan struct{})
		if a.post(func() { close(done) }) {
			<-done
		}
	}
}

// Leave ends the line as Kill does, for the next run to take the calls up: what is kept of each is then as it stands. The
// desk has ended before.
func (l *Line) Leave() {
	for _, a := range l.live() {
		kept := make(chan struct{})
		if a.post(func() {
			defer close(kept)
			for _, g := range a.sorted() {
				a.keep(g)
			}
		}) {
			<-kept
		}
	}
	l.Kill()
}

// Kill ends the line without a word to anybody: what a crash does, as far as a peer can see. A second call does nothing.
func (l *Line) Kill() {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return
	}
	l.cancel()
	for _, a := range l.live() {
		a.post(a.abort)
	}
	l.reg.close()
	for _, s := range l.sockets {
		if err := s.Close(); err != nil {
			l.log.Debug("socket", zap.Error(err))
		}
	}
	l.reading.Wait()
	l.tx.Close()
	if err := l.tp.Close(); err != nil {
		l.log.Debug("transport", zap.Error(err))
	}
	l.serving.Wait()
}

// killed tells whether the line has ended: nothing is told or kept any more.
func (l *Line) killed() bool { return l.stop.Err() != nil }

func (l *Line) live() []*actor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.calls))
}
