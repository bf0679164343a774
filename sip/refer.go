package sip

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
)

// referLife is how long a REFER's subscription lasts (RFC 3515, 2.4.4): longer than any phone is rung.
const referLife = 6 * time.Minute

// referral is a REFER of the peer's whose outcome is not known yet (RFC 3515). The first leg that the desk rings after it
// carries it.
type referral struct {
	Seq    uint32   `json:"seq"`              // of the REFER, the id of its event
	Silent bool     `json:"silent,omitempty"` // no NOTIFY is wanted (RFC 4488)
	leg    call.Leg // that carries it; 0: none yet
}

// onRefer takes a REFER: a call taker gives the caller away. A trunk may not: it would have us call whom it likes.
func (a *actor) onRefer(g *leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	target, replaced, ok := referTo(req)
	switch {
	case g.who == "" || g.d.Inbound:
		a.l.respond(tx, refuse(sipgo.StatusForbidden).response(req))
		return
	case !ok:
		a.l.respond(tx, refuse(sipgo.StatusBadRequest).response(req))
		return
	case g.refer != nil:
		a.l.respond(tx, refuse(sipgo.StatusRequestPending).response(req))
		return
	}
	g.refer = &referral{Seq: req.CSeq().SeqNo, Silent: lists("false", fields(req, "Refer-Sub"))}
	res := respond(req, sipgo.StatusAccepted, nil)
	res.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
	if g.refer.Silent {
		res.AppendHeader(sipgo.NewHeader("Refer-Sub", "false"))
	}
	a.l.respond(tx, res)
	a.keep(g)
	a.notify(g, sipgo.StatusTrying)
	a.after(g, referTimer, referLife, func() { a.referred(g, sipgo.StatusRequestTimeout) })
	switch {
	case replaced == "":
		a.ask(g.d.Leg, WantTransfer, call.Party{URI: target})
	case a.dialedBy(g.who, replaced):
		a.ask(g.d.Leg, WantReplace, call.Party{URI: target})
	default:
		a.referred(g, sipgo.StatusCallTransactionDoesNotExists)
	}
}

// referTo reads the one Refer-To of a REFER: whom, and the dialog that is replaced there (RFC 3891, 6), if any.
func referTo(req *sipgo.Request) (user, replaces string, ok bool) {
	values := fields(req, "Refer-To", "r")
	if len(values) != 1 {
		return "", "", false
	}
	var uri sipgo.Uri
	if _, err := sipgo.ParseAddressValue(values[0], &uri, &sipgo.HeaderParams{}); err != nil {
		return "", "", false
	}
	if method, found := uri.UriParams.Get("method"); found && !strings.EqualFold(method, "INVITE") {
		return "", "", false
	}
	if escaped, found := uri.Headers.Get("Replaces"); found {
		if replaces, ok = unescape(escaped); !ok {
			return "", "", false
		}
	}
	return dialed(uri), replaces, true
}

func unescape(s string) (string, bool) {
	out, err := url.PathUnescape(s)
	return out, err == nil
}

// dialedBy tells whether a Replaces names a dialog that the taker's phone has dialed into this call (RFC 3891, 3): the To
// tag in it is ours, for the phone is its other end.
func (a *actor) dialedBy(who call.TakerID, replaces string) bool {
	id, params, _ := strings.Cut(replaces, ";")
	tags := map[string]string{}
	for p := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(p, "=")
		tags[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
	}
	for _, g := range a.legs {
		ours := g.d.LocalTag == tags["to-tag"] && g.d.RemoteTag == tags["from-tag"]
		swapped := g.d.LocalTag == tags["from-tag"] && g.d.RemoteTag == tags["to-tag"] // as some phones write them
		if g.who == who && g.d.Inbound && g.state != inviting && g.d.CallID == strings.TrimSpace(id) && (ours || swapped) {
			return true
		}
	}
	return false
}

// notify tells the peer how its REFER goes (RFC 3515, 2.4.5): a final status ends the subscription.
func (a *actor) notify(g *leg, code int) {
	if g.refer.Silent {
		return
	}
	state := fmt.Sprintf("active;expires=%d", int(referLife.Seconds()))
	if code >= sipgo.StatusOK {
		state = "terminated;reason=noresource"
	}
	event := fmt.Sprintf("refer;id=%d", g.refer.Seq)
	a.request(g, sipgo.NOTIFY, func(req *sipgo.Request) {
		req.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
		req.AppendHeader(sipgo.NewHeader("Event", event))
		req.AppendHeader(sipgo.NewHeader("Subscription-State", state))
		req.AppendHeader(sipgo.NewHeader("Content-Type", "message/sipfrag;version=2.0"))
		req.SetBody(fmt.Appendf(nil, "SIP/2.0 %d %s\r\n", code, reasons[code]))
	}, nil)
}

// referred ends a REFER with a final status.
func (a *actor) referred(g *leg, code int) {
	if g.refer == nil {
		return
	}
	if _, known := reasons[code]; !known || code < sipgo.StatusOK {
		code = sipgo.StatusTemporarilyUnavailable
	}
	a.notify(g, code)
	g.refer = nil
	g.stop(referTimer)
	if a.legs[g.d.Leg] == g {
		a.keep(g)
	}
}

// carries is the leg whose REFER the leg n carries, or nil; n 0: the one that no leg carries yet.
func (a *actor) carries(n call.Leg) *leg {
	for _, g := range a.sorted() {
		if g.refer != nil && g.refer.leg == n {
			return g
		}
	}
	return nil
}
