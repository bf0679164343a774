package siptest_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/zaf/g711"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

// What the fake does within dialogs, and with the calls of takers.

// dialed is a taker's own call, once it is authenticated: *3 and *4 are answered with sound, all else is refused. It is
// no call of the journal.
func (f *fake) dialed(req *sip.Request, from netip.AddrPort) {
	if !f.authenticated(req, from) {
		return
	}
	l := &fakeLeg{
		to: from, invite: req, callID: req.CallID().Value(), tag: "own" + strconv.Itoa(len(f.own)), stop: make(chan struct{}),
		other: req.From().Params.GetOr("tag", ""),
	}
	if !strings.HasPrefix(req.Recipient.User, "*") || f.open(l) != nil {
		f.respond(req, 403, l.tag, from)
		return
	}
	c := &fakeCall{caller: l}
	f.own = append(f.own, c)
	f.accept(c, l)
}

// tooShort refuses a session below 90 s (RFC 4028, 9).
func (f *fake) tooShort(req *sip.Request, from netip.AddrPort) bool {
	if n, _ := expires(req); n == 0 || n >= 90 {
		return false
	}
	f.respond(req, 422, "short", from, sip.NewHeader("Min-SE", "90"))
	return true
}

func expires(m sip.Message) (n int, refresher string) {
	for _, name := range []string{"Session-Expires", "x"} {
		for _, h := range m.GetHeaders(name) {
			value, param, _ := strings.Cut(h.Value(), ";")
			n, _ = strconv.Atoi(value)
			return n, strings.TrimPrefix(param, "refresher=")
		}
	}
	return 0, ""
}

// grant grants what a request asks for; where nobody is named, we refresh.
func (f *fake) grant(l *fakeLeg, req *sip.Request, res *sip.Response) {
	n, refresher := expires(req)
	if n == 0 {
		return
	}
	if refresher == "" {
		refresher = "uas"
	}
	res.AppendHeader(sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=%s", n, refresher)))
	if refresher == "uas" {
		f.refresh(l, n)
	}
}

// follow refreshes what a taker has granted.
func (f *fake) follow(l *fakeLeg, res *sip.Response) {
	if n, refresher := expires(res); refresher == "uac" {
		f.refresh(l, n)
	}
}

// refresh sends an UPDATE after half of the time, once.
func (f *fake) refresh(l *fakeLeg, seconds int) {
	f.wg.Go(func() {
		select {
		case <-f.done:
			return
		case <-time.After(time.Duration(seconds) * time.Second / 2):
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if l.up && !l.end && !f.stopped {
			req := f.outgoing(l, sip.UPDATE)
			req.AppendHeader(sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=uac", seconds)))
			f.send(req, l.to)
		}
	})
}

// rings answers reliably first where that is required (RFC 3262).
func (f *fake) rings(l *fakeLeg) bool {
	if h := l.invite.GetHeader("Require"); h == nil || h.Value() != "100rel" {
		return false
	}
	res := sip.NewResponseFromRequest(l.invite, 183, "Progress", nil)
	res.To().Params.Add("tag", l.tag)
	res.AppendHeader(sip.NewHeader("Require", "100rel"))
	res.AppendHeader(sip.NewHeader("RSeq", "7"))
	f.withSDP(res, f.answer(l, l.invite.Body()))
	l.agreed = true
	f.send(res, l.to)
	return true
}

// pracked goes on with the answer.
func (f *fake) pracked(req *sip.Request, from netip.AddrPort) {
	c, l := f.find(req.CallID().Value())
	if c == nil || req.GetHeader("RAck").Value() != "7 1 INVITE" {
		f.respond(req, 481, "", from)
		return
	}
	f.accepted(l, req.Body())
	f.respond(req, 200, "", from)
	if !l.up {
		f.accept(c, l)
	}
}

// rang is a provisional response of a taker; a reliable one is acknowledged.
func (f *fake) rang(c *fakeCall, l *fakeLeg, res *sip.Response) {
	if res.StatusCode == 180 {
		f.note(c, call.Rang{Leg: l.no})
	}
	if h := res.GetHeader("RSeq"); h != nil {
		l.other = res.To().Params.GetOr("tag", "")
		f.accepted(l, res.Body())
		prack := f.outgoing(l, sip.PRACK)
		prack.AppendHeader(sip.NewHeader("RAck", h.Value()+" 1 INVITE"))
		f.send(prack, l.to)
	}
}

// accepted takes over where the peer receives.
func (f *fake) accepted(l *fakeLeg, body []byte) {
	if m := siptest.ReadSDP(body); m.Remote.IsValid() {
		l.remote.Store(&m.Remote)
	}
}

// changed agrees to a re-INVITE or UPDATE; where its direction is another one, the other leg is told so: by re-INVITE
// of a hold, by UPDATE of its end.
func (f *fake) changed(req *sip.Request, from netip.AddrPort) {
	c, l := f.find(req.CallID().Value())
	if c == nil {
		f.respond(req, 481, "", from)
		return
	}
	if h := req.Contact(); h != nil {
		l.to = netip.AddrPortFrom(netip.MustParseAddr(h.Address.Host), uint16(h.Address.Port))
	}
	res := sip.NewResponseFromRequest(req, 200, "OK", nil)
	if req.Method == sip.INVITE || len(req.Body()) > 0 {
		f.withSDP(res, f.answer(l, req.Body()))
	}
	f.grant(l, req, res)
	f.send(res, from)
	other := c.taker
	if l == c.taker {
		other = c.caller
	}
	if m := siptest.ReadSDP(req.Body()); m.Direction != "" && m.Direction != l.direction && other != nil && other.up {
		if l.direction == "" && m.Direction == "sendrecv" {
			return
		}
		l.direction = m.Direction
		method := sip.UPDATE
		if m.Direction != "sendrecv" {
			method = sip.INVITE
		}
		change := f.outgoing(other, method)
		offer := string(siptest.OfferSDP(f.local(other)))
		f.withSDP(change, []byte(strings.Replace(offer, "a=sendrecv", "a="+m.Direction, 1)))
		f.send(change, other.to)
	}
}

// agreed is a final response to a change of ours.
func (f *fake) agreed(l *fakeLeg, res *sip.Response) {
	if res.CSeq().MethodName != sip.INVITE {
		return
	}
	ack := f.outgoing(l, sip.ACK)
	ack.CSeq().SeqNo = res.CSeq().SeqNo
	if res.StatusCode >= 300 {
		ack.Via().Params.Add("branch", res.Via().Params.GetOr("branch", ""))
	} else {
		ack.Via().Params.Add("branch", fmt.Sprintf("z9hG4bK-ack-%s-%d", l.callID, ack.CSeq().SeqNo))
	}
	f.send(ack, l.to)
}

// referred accepts a REFER and tells of its progress: it rings, and is answered where it replaces another call.
func (f *fake) referred(req *sip.Request, from netip.AddrPort) {
	_, l := f.find(req.CallID().Value())
	if l == nil {
		f.respond(req, 481, "", from)
		return
	}
	to := req.GetHeader("Refer-To").Value()
	if strings.Contains(to, "0811") {
		f.respond(req, 603, "", from)
		return
	}
	f.respond(req, 202, "", from)
	f.notify(l, 100, "active")
	if strings.Contains(to, "Replaces=") {
		f.notify(l, 200, "terminated")
		return
	}
	f.notify(l, 180, "active")
	f.notify(l, 486, "terminated;reason=noresource")
}

func (f *fake) notify(l *fakeLeg, code int, state string) {
	req := f.outgoing(l, sip.NOTIFY)
	kind := sip.ContentTypeHeader("message/sipfrag")
	req.AppendHeader(sip.NewHeader("Event", "refer"))
	req.AppendHeader(sip.NewHeader("Subscription-State", state))
	req.AppendHeader(&kind)
	req.SetBody(fmt.Appendf(nil, "SIP/2.0 %d Because\r\n", code))
	f.send(req, l.to)
}

// mixed is 20 ms of several voices at once.
func mixed(voices ...siptest.Voice) []byte {
	var all [][]byte
	for _, v := range voices {
		all = append(all, siptest.Packet(v, 8))
	}
	return sum(all...)
}

// sum is the sum of sounds in A-law.
func sum(sounds ...[]byte) []byte {
	total := make([]byte, len(sounds[0]))
	for i := range total {
		x := 0
		for _, s := range sounds {
			x += int(g711.DecodeAlawFrame(s[i]))
		}
		total[i] = g711.EncodeAlawFrame(int16(min(max(x, -32768), 32767)))
	}
	return total
}

// unfold joins the lines of each header (RFC 3261, 7.3.1), which the parser does not.
func unfold(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n\t"), []byte(" ")) }

// contacts counts what is registered.
func (f *fake) contacts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.takers)
}
