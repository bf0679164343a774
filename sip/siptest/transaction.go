package siptest

import (
	"container/heap"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// clientTx is a request of ours, repeated until it is answered (RFC 3261, 17.1).
type clientTx struct {
	req     *sip.Request
	data    []byte
	to      netip.AddrPort
	wait    time.Duration
	giveUp  time.Time
	again   *task
	settled bool                // a final response has come
	on      func(*sip.Response) // each response; nil once nobody has answered for 32 s
}

// request sends a request and repeats it: 0.5 s, doubling, until a response.
func (p *Phone) request(req *sip.Request, to netip.AddrPort, on func(*sip.Response)) *clientTx {
	tx := &clientTx{req: req, data: []byte(req.String()), to: to, wait: t1, giveUp: time.Now().Add(lifetime), on: on}
	p.sent[branch(req, req.Method)] = tx
	p.write(tx.data, to)
	p.repeatRequest(tx)
	return tx
}

func (p *Phone) repeatRequest(tx *clientTx) {
	tx.again = p.later.add(min(tx.wait, time.Until(tx.giveUp)), func() {
		if !time.Now().Before(tx.giveUp) {
			delete(p.sent, branch(tx.req, tx.req.Method))
			tx.settled = true
			tx.on(nil)
			return
		}
		p.write(tx.data, tx.to)
		if tx.wait *= 2; tx.req.Method != sip.INVITE {
			tx.wait = min(tx.wait, t2)
		}
		p.repeatRequest(tx)
	})
}

// receiveResponse matches a response with its request by branch and method (RFC 3261, 17.1.3). One without a request is
// ignored.
func (p *Phone) receiveResponse(res *sip.Response) {
	key := branch(res, res.CSeq().MethodName)
	tx := p.sent[key]
	if tx == nil {
		return
	}
	invite := tx.req.Method == sip.INVITE
	switch {
	case res.StatusCode >= 200:
		p.later.drop(tx.again)
		if !tx.settled {
			tx.settled = true
			p.later.add(lifetime, func() { delete(p.sent, key) })
		} else if !invite {
			return
		}
	case tx.settled:
		return
	case invite:
		p.later.drop(tx.again)
	default:
		tx.wait = t2
	}
	tx.on(res)
}

// serverTx is a request to us with what we said last (RFC 3261, 17.2).
type serverTx struct {
	req   *sip.Request
	from  netip.AddrPort
	tag   string // of the To in our responses
	last  []byte
	final int // the final status, once given
	wait  time.Duration
	until time.Time
	again *task // repeats a final response to an INVITE until its ACK
	call  *Call
}

// receiveRequest answers what needs no thought and reports the rest.
func (p *Phone) receiveRequest(req *sip.Request, from netip.AddrPort) {
	c := p.calls[req.CallID().Value()]
	if req.Method == sip.ACK {
		if c != nil {
			c.acknowledged(req)
		}
		return
	}
	key := branch(req, req.Method)
	if tx := p.got[key]; tx != nil {
		if tx.last != nil {
			p.write(tx.last, tx.from)
		}
		return
	}
	tx := &serverTx{req: req, from: from, tag: token(), call: c}
	if t, ok := req.To().Params.Get("tag"); ok {
		tx.tag = t
	}
	p.got[key] = tx
	p.later.add(2*lifetime, func() { delete(p.got, key) })
	p.serve(tx)
}

// serve is the first arrival of a request other than ACK.
func (p *Phone) serve(tx *serverTx) {
	inside := tx.req.To().Params.Has("tag")
	switch tx.req.Method {
	case sip.INVITE:
		p.serveInvite(tx, inside)
		return
	case sip.CANCEL:
		p.serveCancel(tx)
		return
	case sip.BYE:
		p.serveBye(tx)
		return
	case sip.OPTIONS, sip.NOTIFY:
		code := sip.StatusOK
		if inside && (tx.call == nil || !tx.call.alive()) {
			code = sip.StatusCallTransactionDoesNotExists
		}
		p.respond(tx, code, nil)
		return
	case sip.ACK, sip.REGISTER, sip.SUBSCRIBE, sip.REFER, sip.INFO, sip.MESSAGE, sip.PRACK, sip.UPDATE, sip.PUBLISH:
	}
	p.respond(tx, sip.StatusNotImplemented, nil)
	p.seen(Event{Call: tx.call, Method: string(tx.req.Method), Tag: fromTag(tx.req)})
}

func (p *Phone) serveInvite(tx *serverTx, inside bool) {
	if inside && (tx.call == nil || !tx.call.alive()) {
		p.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		return
	}
	p.respond(tx, sip.StatusTrying, nil)
	if tx.call == nil {
		c, err := p.incoming(tx)
		if err != nil {
			p.respond(tx, sip.StatusInternalServerError, nil)
			return
		}
		tx.call = c
	}
	tx.call.offered(tx, !inside)
}

func (p *Phone) serveCancel(tx *serverTx) {
	e := Event{Method: string(sip.CANCEL), Tag: fromTag(tx.req), Cause: cause(tx.req)}
	invite := p.got[branch(tx.req, sip.INVITE)]
	if invite == nil {
		p.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		p.seen(e)
		return
	}
	tx.tag = invite.tag
	p.respond(tx, sip.StatusOK, nil)
	e.Call = invite.call
	p.seen(e)
	if invite.call != nil {
		invite.call.canceled(invite)
	}
}

func (p *Phone) serveBye(tx *serverTx) {
	e := Event{Call: tx.call, Method: string(sip.BYE), Tag: fromTag(tx.req), Cause: cause(tx.req)}
	if tx.call == nil || !tx.call.alive() {
		p.respond(tx, sip.StatusCallTransactionDoesNotExists, nil)
		p.seen(e)
		return
	}
	p.respond(tx, sip.StatusOK, nil)
	p.seen(e)
	tx.call.hungUp()
}

// respond answers a request; a final response to an INVITE is repeated until its ACK (RFC 3261, 13.3.1.4 and 17.2.1).
func (p *Phone) respond(tx *serverTx, code int, finish func(*sip.Response)) {
	res := sip.NewResponseFromRequest(tx.req, code, reason(code), nil)
	if code > 100 {
		res.To().Params.Add("tag", tx.tag)
	}
	if finish != nil {
		finish(res)
	}
	tx.last = []byte(res.String())
	p.write(tx.last, tx.from)
	if code < 200 {
		return
	}
	tx.final = code
	if tx.req.Method == sip.INVITE {
		tx.wait, tx.until = t1, time.Now().Add(lifetime)
		p.repeatFinal(tx)
	}
}

func (p *Phone) repeatFinal(tx *serverTx) {
	tx.again = p.later.add(min(tx.wait, time.Until(tx.until)), func() {
		if !time.Now().Before(tx.until) {
			p.seen(Event{Call: tx.call, Method: string(sip.ACK), Lost: true})
			return
		}
		p.write(tx.last, tx.from)
		tx.wait = min(2*tx.wait, t2)
		p.repeatFinal(tx)
	})
}

func fromTag(req *sip.Request) string { return req.From().Params.GetOr("tag", "") }

func reason(code int) string {
	if r := reasons[code]; r != "" {
		return r
	}
	switch {
	case code < 200:
		return "Progress"
	case code < 300:
		return "OK"
	}
	return "Refused"
}

// reasons are the phrases of RFC 3261, 21, for the codes that phones give.
var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily", 400: "Bad Request",
	404: "Not Found", 408: "Request Timeout", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
	486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error",
	501: "Not Implemented", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}

// task is something to do later.
type task struct {
	due time.Time
	run func()
	at  int // index in the heap, below 0 when it is no longer in it
}

// agenda holds the tasks of one goroutine, the next one first.
type agenda []*task

// add plans run for d from now.
func (a *agenda) add(d time.Duration, run func()) *task {
	t := &task{due: time.Now().Add(d), run: run}
	heap.Push(a, t)
	return t
}

// drop takes a task out; nil or done is no fault.
func (a *agenda) drop(t *task) {
	if t != nil && t.at >= 0 {
		heap.Remove(a, t.at)
	}
}

// wait is how long until the next task; far away when there is none.
func (a agenda) wait() time.Duration {
	if len(a) == 0 {
		return time.Hour
	}
	return max(0, time.Until(a[0].due))
}

// run runs what is due.
func (a *agenda) run() {
	now := time.Now()
	for len(*a) > 0 && !(*a)[0].due.After(now) {
		t := (*a)[0]
		heap.Remove(a, 0)
		t.run()
	}
}

// Len is that of heap.Interface.
func (a agenda) Len() int { return len(a) }

// Less is that of heap.Interface.
func (a agenda) Less(i, j int) bool { return a[i].due.Before(a[j].due) }

// Swap is that of heap.Interface.
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].at, a[j].at = i, j
}

// Push is that of heap.Interface.
func (a *agenda) Push(x any) {
	t, _ := x.(*task)
	t.at = len(*a)
	*a = append(*a, t)
}

// Pop is that of heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	t := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	t.at = -1
	return t
}
