package sip

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/sdp"
)

// ringback tells the peer whose INVITE waits that somebody is there: 180, or 183 with the sound of a prompt where a
// description can go out before the 200.
func (a *actor) ringback(g *leg, words string) {
	if g.expires.IsZero() {
		came := time.Now()
		if g.revive != nil {
			came = g.d.Fresh
		}
		g.expires = came.Add(expiry(g.req))
	}
	g.early = words != "" && (len(g.d.Answer) > 0 || supports(g.req, "100rel"))
	if g.early {
		if len(g.d.Answer) > 0 {
			a.hear(g, g.d.Media)
		}
		a.sound(g, words)
	}
	a.proceed(g)
}

// proceed sends the provisional response, again every minute so that no proxy on the way gives up (13.3.1.1), until the
// INVITE expires (13.3.1).
func (a *actor) proceed(g *leg) {
	if !time.Now().Before(g.expires) {
		a.final(g, sipgo.StatusRequestTerminated)
		a.leave(g, "network", "the INVITE expired", sipgo.StatusRequestTerminated)
		return
	}
	if g.rel == nil {
		a.provisional(g)
	}
	a.after(g, stateTimer, min(time.Minute, time.Until(g.expires)), func() { a.proceed(g) })
}

// provisional sends a 180 or 183; reliably where the peer requires that, or where it holds a description and the peer can. The
// first reliable one to an INVITE without an offer holds ours (RFC 3262, 5).
func (a *actor) provisional(g *leg) {
	code, offered, strict := sipgo.StatusRinging, false, requires(g.req, "100rel")
	if g.early {
		code = sipgo.StatusSessionInProgress
	}
	var body []byte
	switch {
	case g.d.Agreed:
	case len(g.d.Answer) == 0 && (g.early || strict):
		body, offered = g.d.Session.Offer(sdp.SendRecv), true
	case g.early:
		body = g.d.Answer
	}
	res := respond(g.req, code, body)
	res.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
	res.AppendHeader(sipgo.NewHeader("Allow", allow))
	if len(body) > 0 {
		res.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
	}
	if strict || len(body) > 0 && supports(g.req, "100rel") {
		a.reliably(g, res, offered)
		return
	}
	if err := g.tx.Respond(res); err != nil {
		a.l.unanswered(g.tx, err)
	}
}

// expiry is how long a caller may ring: the INVITE's Expires (20.19), and never longer than longestUp.
func expiry(req *sipgo.Request) time.Duration {
	if h := req.GetHeader("Expires"); h != nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(h.Value()), 10, 32); err == nil && n > 0 {
			return min(longestUp, time.Duration(n)*time.Second)
		}
	}
	return longestUp
}

// reliable is a provisional response of ours that waits for its PRACK (RFC 3262, 3).
type reliable struct {
	res     *sipgo.Response
	offered bool // it holds our offer: the PRACK brings the answer
}

// reliably sends a provisional response and repeats it until its PRACK; after 64*T1 the INVITE is refused.
func (a *actor) reliably(g *leg, res *sipgo.Response, offered bool) {
	g.rseq = max(g.rseq, g.firstRSeq()-1) + 1
	res.AppendHeader(sipgo.NewHeader("Require", "100rel"))
	res.AppendHeader(sipgo.NewHeader("RSeq", strconv.FormatUint(uint64(g.rseq), 10)))
	g.rel = &reliable{res: res, offered: offered}
	a.unpracked(g, t1, time.Now().Add(lifetime))
}

// unpracked sends the response, and again after d, then after twice that.
func (a *actor) unpracked(g *leg, d time.Duration, until time.Time) {
	if !time.Now().Before(until) {
		if g.revive != nil { // it may have been acknowledged before the restart, and is then no more
			a.unasked(g)
			return
		}
		a.final(g, sipgo.StatusGatewayTimeout)
		a.leave(g, "network", "no PRACK", sipgo.StatusGatewayTimeout)
		return
	}
	if err := g.tx.Respond(g.rel.res); err != nil {
		a.l.unanswered(g.tx, err)
	}
	a.after(g, prackTimer, min(d, time.Until(until)), func() { a.unpracked(g, 2*d, until) })
}

// onPrack takes the PRACK of the provisional response that waits for it; any other one gets 481 (RFC 3262, 3).
func (a *actor) onPrack(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	rel := g.rel
	if rel == nil {
		rel = g.reliableBefore(req)
	}
	if rel == nil || !acknowledges(req, g.rseq, rel.res.CSeq().SeqNo) {
		a.l.respond(tx, respond(req, sipgo.StatusCallTransactionDoesNotExists, nil))
		return
	}
	g.stop(prackTimer)
	g.rel, g.d.RSeq = nil, g.rseq
	var answer []byte
	var err error
	switch {
	case rel.offered:
		g.d.Media, err = g.d.Session.Accept(req.Body())
	case len(req.Body()) > 0: // an offer of its own (RFC 3262, 5)
		answer, g.d.Media, err = g.d.Session.Answer(req.Body(), sdp.SendRecv)
	}
	if err != nil {
		a.l.respond(tx, a.unacceptable(g, err).response(req))
	} else {
		res := respond(req, sipgo.StatusOK, answer)
		if len(answer) > 0 {
			res.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
		}
		a.l.respond(tx, res)
	}
	switch {
	case err != nil && rel.offered && g.state == inviting: // there will be no sound
		a.final(g, sipgo.StatusNotAcceptableHere)
		a.leave(g, peer(g), "its answer can't be used", sipgo.StatusNotAcceptableHere)
		return
	case len(rel.res.Body()) > 0 || len(answer) > 0:
		g.d.Agreed = true
		a.hear(g, g.d.Media)
	}
	a.keep(g)
	if g.wanted {
		g.wanted = false
		a.answer(g.d.Leg)
	}
}

// firstRSeq is the number of a leg's first reliable provisional response (RFC 3262, 3: any below 1<<31). It follows from
// the leg's tag: sent again after a restart, the response is the same one.
func (g *leg) firstRSeq() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.d.LocalTag)) // never fails
	return h.Sum32()>>2 + 1
}

// reliableBefore is the reliable provisional response that an earlier run may have sent, for a PRACK that is on its way when
// this run begins; nil when there is none. It held our offer where the INVITE had none; an answer of ours goes out again
// with the 200.
func (g *leg) reliableBefore(prack *sipgo.Request) *reliable {
	if g.revive == nil || g.state != inviting || g.req == nil {
		return nil
	}
	rel := &reliable{res: respond(g.req, sipgo.StatusSessionInProgress, nil), offered: len(g.d.Answer) == 0 && !g.d.Agreed}
	seq := max(g.rseq, g.firstRSeq()-1) + 1
	if !acknowledges(prack, seq, rel.res.CSeq().SeqNo) {
		return nil
	}
	g.rseq = seq
	if rel.offered {
		rel.res.SetBody(g.d.Session.Offer(sdp.SendRecv))
	}
	return rel
}

// unasked ends the wait for a PRACK that does not come.
func (a *actor) unasked(g *leg) {
	g.rel = nil
	if g.wanted {
		g.wanted = false
		a.answer(g.d.Leg)
	}
}

// acknowledges tells whether the RAck of a PRACK names the response with that RSeq to the INVITE with that CSeq.
func acknowledges(prack *sipgo.Request, rseq, cseq uint32) bool {
	h := prack.GetHeader("RAck")
	return h != nil && strings.EqualFold(strings.Join(strings.Fields(h.Value()), " "), fmt.Sprintf("%d %d INVITE", rseq, cseq))
}
