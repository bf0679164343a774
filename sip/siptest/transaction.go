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
	at      *door
	to      netip.AddrPort
	wait    time.Duration
	giveUp  time.Time
	again   *task
	settled bool                // a final response has come
	on      func(*sip.Response) // each response; nil once nobody has answered for 32 s
}

// request sends a request and repeats it: 0.5 s, doubling, until a response.
func (p *Phone) request(at *door, req *sip.Request, f Form, to netip.AddrPort, on func(*sip.Response)) *clientTx {
	tx := &clientTx{req: req, data: f.write(req), at: at, to: to, wait: t1, giveUp: time.Now().Add(lifetime), on: on}
	p.sent[branch(req, req.Method)] = tx
	at.write(tx.data, to)
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
		tx.at.write(tx.data, tx.to)
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
	at    *door
	from  netip.AddrPort
	tag   string // of the To in our responses
	last  []byte
	said  []byte // our answer to its offer
	final int    // the final status, once given
	wait  time.Duration
	until time.Time
	again *task // repeats a final response to an INVITE until its ACK
	call  *Call
}

// receiveRequest answers what needs no thought and reports the rest.
func (p *Phone) receiveRequest(req *sip.Request, m arrival) {
	c := p.calls[req.CallID().Value()]
	if c != nil && c.door != m.at && c.moved {
		return // nobody lives there any more
	}
	if req.Method == sip.ACK {
		if tx := p.got[branch(req, sip.INVITE)]; tx != nil && tx.final >= 300 { // of a refusal (RFC 3261, 17.2.1)
			p.later.drop(tx.again)
		} else if c != nil {
			c.acknowledged(req)
		}
		return
	}
	key := branch(req, req.Method)
	if tx := p.got[key]; tx != nil {
		if tx.last != nil {
			tx.at.write(tx.last, tx.from)
		}
		return
	}
	tx := &serverTx{req: req, at: m.at, from: m.from, tag: token(), call: c}
	if t, ok := req.To().Params.Get("tag"); ok {
		tx.tag = t
	} else if c != nil && c.asked.Old {
		tx.tag = "" // RFC 2543 knew none
	}
	p.got[key] = tx
	p.later.add(2*lifetime, func() { delete(p.got, key) })
	p.serve(tx)
}

// respond answers a request; a final response to an INVITE is repeated until its ACK (RFC 3261, 13.3.1.4 and 17.2.1).
func (p *Phone) respond(tx *serverTx, code int, finish func(*sip.Response)) {
	res := sip.NewResponseFromRequest(tx.req, code, reason(code), nil)
	res.To().Params.Remove("tag")
	if code > 100 && tx.tag != "" {
		res.To().Params.Add("tag", tx.tag)
	}
	if finish != nil {
		finish(res)
	}
	tx.last = []byte(res.String())
	tx.at.write(tx.last, tx.from)
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
		tx.at.write(tx.last, tx.from)
		tx.wait = min(2*tx.wait, t2)
		p.repeatFinal(tx)
	})
}

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
	422: "Session Interval Too Small", 491: "Request Pending", 501: "Not Implemented", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
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
