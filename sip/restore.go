package sip

import (
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// seqJump is added to the CSeq of a restored dialog: the last Keep may be older than the last request.
const seqJump = 100

// remember knows the INVITEs that an earlier run left unanswered before any message is read, so that a repeated one is no
// new call.
func (l *Line) remember() {
	for id, kept := range l.o.Keeper.Kept() {
		d, err := decodeDialog(kept)
		if err != nil || !d.Inbound || d.Answered {
			continue
		}
		req, ok := parseRequest(d)
		if !ok {
			continue
		}
		if key, ok := branchKey(req); ok {
			l.mu.Lock()
			l.branches[key] = &branch{id: id, refused: true}
			l.expire(key)
			l.mu.Unlock()
		}
	}
}

// Restore says goodbye to every dialog that an earlier run kept: BYE where it was answered, CANCEL where a phone was
// rung, 503 where an INVITE waits. Each leg in live, by call, then counts as Left; a dialog of no live leg is forgotten.
// A crash in the middle leaves the rest for the next start; a second goodbye does no harm.
func (l *Line) Restore(live map[call.ID][]call.Leg) {
	for id, kept := range l.o.Keeper.Kept() {
		d, err := decodeDialog(kept)
		if err != nil {
			l.log.Error("a kept dialog can't be read: its peer gets no goodbye", zap.String("call", string(id)), zap.Error(err))
			continue
		}
		l.goodbye(id, d)
		l.o.Keeper.Keep(id, d.Leg, nil)
	}
	for id, legs := range live {
		for _, n := range legs {
			l.o.Intake.Tell(id, call.Left{Leg: n, By: "node", Why: "restart"})
		}
	}
}

// goodbye ends one kept dialog.
func (l *Line) goodbye(id call.ID, d Dialog) {
	log := l.log.With(zap.String("call", string(id)), zap.Uint16("leg", uint16(d.Leg)))
	switch {
	case d.Answered:
		l.restoredBye(log, d, nil)
	case len(d.Invite) == 0:
	case d.Inbound:
		req, ok := parseRequest(d)
		if ok && d.Net == "UDP" { // a TCP connection has died with the last run, and the trunk knows that
			l.restoredRefusal(log, d, req)
		}
		if d.Answering { // nobody knows whether the 200 went out: to a caller who has it the 503 says nothing
			l.restoredBye(log, d, req)
		}
	default:
		l.restoredCancel(log, d)
	}
}

// restoredBye ends a dialog that was answered, or may have been: then invite is refused too, and a 200 to the BYE says that
// the refusal is nobody's concern.
func (l *Line) restoredBye(log *zap.Logger, d Dialog, invite *sipgo.Request) {
	d.LocalSeq += seqJump
	req, err := l.request(&d, sipgo.BYE, d.LocalSeq)
	if err != nil {
		log.Error("no BYE after the restart", zap.Error(err))
		return
	}
	req.AppendHeader(sipgo.NewHeader("Reason", reason(sipgo.StatusServiceUnavailable)))
	log.Info("BYE after the restart", zap.String("to", req.Destination()))
	l.send(req, d.Local, func(res *sipgo.Response) {
		if invite != nil && res != nil && res.IsSuccess() {
			l.quiet(invite)
		}
	})
}

// restoredRefusal answers a kept INVITE by 503, and repeats that until it is acknowledged, as a transaction would (17.2.1).
func (l *Line) restoredRefusal(log *zap.Logger, d Dialog, req *sipgo.Request) {
	conn, err := l.tp.GetConnection("udp", d.Local.String())
	if err != nil {
		log.Error("no 503 after the restart", zap.Error(err))
		return
	}
	defer release(conn)
	log.Info("503 after the restart", zap.String("to", d.Peer.String()))
	res := unavailable(req)
	write := func() {
		if err := conn.WriteMsg(res); err != nil {
			log.Debug("503", zap.Error(err))
		}
	}
	write()
	key, _ := branchKey(req)
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.branches[key]; b != nil {
		for _, wait := range []time.Duration{t1, 3 * t1, 7 * t1} {
			b.repeats = append(b.repeats, time.AfterFunc(wait, write))
		}
	}
}

// quiet stops the repeats of an earlier run's refusal: req is its INVITE, or the ACK.
func (l *Line) quiet(req *sipgo.Request) {
	key, _ := branchKey(req)
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.branches[key]; b != nil {
		for _, t := range b.repeats {
			t.Stop()
		}
		b.repeats = nil
	}
}

func (l *Line) restoredCancel(log *zap.Logger, d Dialog) {
	req, ok := parseRequest(d)
	if !ok {
		return
	}
	l.mu.Lock()
	l.ghosts[d.CallID] = req.Recipient
	l.mu.Unlock()
	log.Info("CANCEL after the restart", zap.String("to", d.Peer.String()))
	l.cancelRequest(req, d, sipgo.StatusServiceUnavailable)
}

// parseRequest reads the kept INVITE of a dialog.
func parseRequest(d Dialog) (*sipgo.Request, bool) {
	m, err := sipgo.ParseMessage(d.Invite)
	if err != nil {
		return nil, false
	}
	req, ok := m.(*sipgo.Request)
	if ok {
		req.SetTransport(d.Net)
		req.SetSource(d.Peer.String())
	}
	return req, ok
}

// ackGhost acknowledges the refusal of an INVITE that an earlier run sent (17.1.1.3).
func (l *Line) ackGhost(res *sipgo.Response) {
	id := string(*res.CallID())
	l.mu.Lock()
	target, ok := l.ghosts[id]
	l.mu.Unlock()
	if !ok || res.Via() == nil {
		return
	}
	req := sipgo.NewRequest(sipgo.ACK, target)
	req.AppendHeader(sipgo.HeaderClone(res.Via()))
	req.AppendHeader(new(sipgo.MaxForwardsHeader(70)))
	for _, name := range []string{"From", "To", "Call-ID"} {
		sipgo.CopyHeaders(name, res, req)
	}
	req.AppendHeader(&sipgo.CSeqHeader{SeqNo: res.CSeq().SeqNo, MethodName: sipgo.ACK})
	req.SetTransport(res.Transport())
	req.SetDestination(res.Source())
	req.SetBody(nil)
	l.write(req, l.local(res.Transport(), res.Source()))
}
