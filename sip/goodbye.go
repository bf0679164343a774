package sip

import (
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// goodbyes end the kept dialogs that nobody takes up: BYE where one was answered, CANCEL where a phone was rung. An INVITE
// that no fact tells of yet is served as if it came now, if its peer may still wait for us; else it is refused.
func (l *Line) goodbyes(rest []*survivor) {
	for _, s := range rest {
		l.goodbye(s)
		l.o.Keeper.Keep(s.id, s.g.d.Leg, nil, nil)
	}
}

// goodbye ends one kept dialog.
func (l *Line) goodbye(s *survivor) {
	d := s.g.d
	log := l.log.With(zap.String("call", string(s.id)), zap.Uint16("leg", uint16(d.Leg)))
	switch {
	case d.Answered:
		l.restoredBye(log, d, "")
	case len(d.Invite) == 0:
	case !d.Inbound:
		l.restoredCancel(log, d)
	case s.invite == nil || d.Net != "UDP": // a TCP connection has died with the last run, and the peer knows that
	case d.Leg == 0 && s.id.Kind() == call.Call && !s.known && d.fresh():
		log.Info("an INVITE of before the restart is served")
		l.feed(d.Local, s.invite, nil)
	default:
		log.Info("503 after the restart", zap.String("to", d.Peer.String()))
		l.refused(s)
		if d.Answering { // nobody knows whether the 200 went out: to a caller who has it the 503 says nothing
			l.restoredBye(log, d, s.key)
		}
	}
}

// refused lets the INVITE of an earlier run come in again and be refused.
func (l *Line) refused(s *survivor) {
	l.mu.Lock()
	l.branches[s.key] = &branch{id: s.owner(), refused: true}
	l.expire(s.key)
	l.mu.Unlock()
	l.feed(s.g.d.Local, s.invite, nil)
}

// restoredBye ends a dialog that was answered, or may have been: then the INVITE in that branch is refused too, and a 200 to
// the BYE says that the refusal is nobody's concern.
func (l *Line) restoredBye(log *zap.Logger, d Dialog, refused string) {
	req, err := l.request(&d, sipgo.BYE, d.LocalSeq)
	if err != nil {
		log.Error("no BYE after the restart", zap.Error(err))
		return
	}
	req.AppendHeader(sipgo.NewHeader("Reason", reason(sipgo.StatusServiceUnavailable)))
	log.Info("BYE after the restart", zap.String("to", req.Destination()))
	l.send(req, d.Local, func(res *sipgo.Response) {
		if refused == "" || res == nil || !res.IsSuccess() {
			return
		}
		l.mu.Lock()
		var tx *sipgo.ServerTx
		if b := l.branches[refused]; b != nil {
			tx = b.tx
		}
		l.mu.Unlock()
		if tx != nil {
			tx.Terminate()
		}
	})
}

// restoredCancel ends the ringing of a phone. A 2xx that crosses it gets ACK and BYE (stray), any other final response ACK.
func (l *Line) restoredCancel(log *zap.Logger, d Dialog) {
	req, ok := parseRequest(d)
	if !ok {
		log.Error("no CANCEL after the restart: the kept INVITE can't be read")
		return
	}
	l.mu.Lock()
	l.ghosts[d.CallID] = req.Recipient
	l.mu.Unlock()
	time.AfterFunc(2*lifetime, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ghosts, d.CallID)
	})
	log.Info("CANCEL after the restart", zap.String("to", d.Peer.String()))
	l.cancelRequest(req, d, sipgo.StatusServiceUnavailable)
}

// parseRequest reads the kept INVITE of a dialog.
func parseRequest(d Dialog) (*sipgo.Request, bool) {
	if len(d.Invite) == 0 {
		return nil, false
	}
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
