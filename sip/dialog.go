package sip

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/sdp"
)

// Dialog is one leg's dialog (RFC 3261, 12) as a plain value: it is kept as JSON and read back after a crash. Nothing in
// it points into a transaction or a connection.
type Dialog struct {
	Leg       call.Leg       `json:"leg"`
	CallID    string         `json:"call_id"`
	LocalTag  string         `json:"local_tag"`
	RemoteTag string         `json:"remote_tag,omitempty"`
	LocalURI  string         `json:"local_uri"`  // a name-addr, without its tag
	RemoteURI string         `json:"remote_uri"` // a name-addr, without its tag
	Target    string         `json:"target"`     // the remote target: Request-URI of what we send; a 2xx refreshes it
	Routes    []string       `json:"routes,omitempty"`
	Net       string         `json:"net"`                 // UDP TCP
	Local     netip.AddrPort `json:"local"`               // the listener that the dialog uses, as bound
	Peer      netip.AddrPort `json:"peer"`                // the flow that the peer's last message came over
	Flow      bool           `json:"flow,omitempty"`      // requests go over the flow whatever Target says: a registered phone
	LocalSeq  uint32         `json:"local_seq"`           // after a restart 100 more: the last Keep may be stale
	RemoteSeq uint32         `json:"remote_seq"`          // 0: none yet
	Unacked   uint32         `json:"unacked,omitempty"`   // CSeq of our INVITE whose ACK goes out once this is durable; a second ACK does no harm
	Invite    []byte         `json:"invite,omitempty"`    // raw: the peer's until a Keep after our 2xx has its ACK, ours to a phone until it answered
	Answering bool           `json:"answering,omitempty"` // our 2xx may go out from now on
	Answered  bool           `json:"answered,omitempty"`  // a 2xx has gone out or come in: the dialog ends by BYE
	Inbound   bool           `json:"inbound,omitempty"`   // the first INVITE, and so the Call-ID, is the peer's
	Update    bool           `json:"update,omitempty"`    // the peer takes UPDATE (RFC 3311)
	Timer     Interval       `json:"timer,omitzero"`      // RFC 4028
	Session   sdp.Session    `json:"session,omitzero"`    // offer and answer
	Fresh     time.Time      `json:"fresh,omitzero"`      // when the peer's INVITE came; then when a 2xx made or refreshed the session
	Answer    []byte         `json:"answer,omitempty"`    // to the first offer of the peer, as long as Invite
	Agreed    bool           `json:"agreed,omitempty"`    // offer and answer were done before the 2xx: it needs none
	RSeq      uint32         `json:"rseq,omitempty"`      // of our last provisional response that was acknowledged (RFC 3262)
	Media     sdp.Media      `json:"media,omitzero"`      // what the last offer and answer came to, or are to come to with our 2xx
	Ports     [2]uint16      `json:"ports,omitzero"`      // our RTP and RTCP ports
	Stream    media.Mark     `json:"stream,omitzero"`     // where our sound stood
	Who       call.TakerID   `json:"who,omitempty"`       // whose phone the peer is; "": the caller's
	Caller    string         `json:"caller,omitempty"`    // of leg 0: the caller's number
	Refer     *referral      `json:"refer,omitempty"`     // a REFER whose outcome is still to be told
	Rung      call.Leg       `json:"rung,omitempty"`      // of the call: the highest leg that was rung
	Dialed    int            `json:"dialed,omitempty"`    // of the call: how many legs call takers have dialed into it
}

// encode is what Keep stores.
func (d Dialog) encode() []byte {
	b, err := json.Marshal(d)
	if err != nil { // only strings, numbers and bytes: cannot happen
		panic(err)
	}
	return b
}

// decodeDialog reads what encode wrote.
func decodeDialog(b []byte) (Dialog, error) {
	var d Dialog
	if err := json.Unmarshal(b, &d); err != nil {
		return Dialog{}, fmt.Errorf("kept dialog: %w", err)
	}
	return d, nil
}

// serverDialog is the dialog that our 2xx to the INVITE makes (12.1.1).
func serverDialog(req *sipgo.Request, localTag string, local netip.AddrPort) Dialog {
	d := Dialog{
		CallID:    string(*req.CallID()),
		LocalTag:  localTag,
		RemoteTag: fromTag(req),
		LocalURI:  nameAddr(req.To().DisplayName, req.To().Address),
		RemoteURI: nameAddr(req.From().DisplayName, req.From().Address),
		Net:       req.Transport(),
		Local:     local,
		Peer:      addrPort(req.Source()),
		RemoteSeq: req.CSeq().SeqNo,
		Invite:    []byte(req.String()),
		Inbound:   true,
	}
	d.refresh(req)
	for _, h := range req.GetHeaders("Record-Route") {
		d.Routes = append(d.Routes, splitRoutes(h.Value())...)
	}
	return d
}

// accept takes from a 2xx (or an early 1xx) to our INVITE what the dialog needs (12.1.2).
func (d *Dialog) accept(res *sipgo.Response) {
	if to := res.To(); to != nil {
		d.RemoteTag = to.Params.GetOr("tag", "")
	}
	d.refresh(res)
	d.Routes = nil
	for _, h := range res.GetHeaders("Record-Route") {
		d.Routes = append(d.Routes, splitRoutes(h.Value())...)
	}
	slices.Reverse(d.Routes)
}

// request builds a request inside the dialog (12.2.1.1); at is the address that its Via names. ACK has the number of its
// INVITE, all others the next one.
func (d *Dialog) request(method sipgo.RequestMethod, seq uint32, at netip.AddrPort) (*sipgo.Request, error) {
	var target sipgo.Uri
	if err := sipgo.ParseUri(d.Target, &target); err != nil {
		return nil, fmt.Errorf("%s in dialog %s: the remote target is no URI", method, d.CallID) // it has a number in it: not into a log
	}
	routes, err := parseRoutes(d.Routes)
	if err != nil {
		return nil, fmt.Errorf("%s in dialog %s: a route is no URI", method, d.CallID)
	}
	if len(routes) > 0 && !routes[0].UriParams.Has("lr") { // strict router (12.2.1.1)
		target, routes = routes[0], append(routes[1:], target)
	}
	req := sipgo.NewRequest(method, target)
	req.AppendHeader(via(d.Net, at))
	for _, r := range routes {
		req.AppendHeader(&sipgo.RouteHeader{Address: r})
	}
	req.AppendHeader(new(sipgo.MaxForwardsHeader(70)))
	appendText(req, "From", d.LocalURI+";tag="+d.LocalTag)
	to := d.RemoteURI
	if d.RemoteTag != "" {
		to += ";tag=" + d.RemoteTag
	}
	appendText(req, "To", to)
	req.AppendHeader(new(sipgo.CallIDHeader(d.CallID)))
	req.AppendHeader(&sipgo.CSeqHeader{SeqNo: seq, MethodName: method})
	req.AppendHeader(sipgo.NewHeader("User-Agent", userAgent))
	req.SetTransport(d.Net)
	req.SetDestination(d.next(routes, target).String())
	req.SetBody(nil)
	return req, nil
}

// next is where the next request of the dialog goes: the flow for a registered phone, else the first route or the remote
// target where that is an address, else the flow. Over TCP a connection that is open is better: Line.request.
func (d *Dialog) next(routes []sipgo.Uri, target sipgo.Uri) netip.AddrPort {
	if d.Flow {
		return d.Peer
	}
	if len(routes) > 0 {
		target = routes[0]
	}
	host, err := netip.ParseAddr(strings.Trim(target.Host, "[]"))
	if err != nil {
		return d.Peer
	}
	port := target.Port
	if port == 0 {
		port = sipgo.DefaultUdpPort
	}
	return netip.AddrPortFrom(host.Unmap(), uint16(port))
}

// via is the top Via of a request of ours, with a fresh branch and rport (RFC 3581).
func via(network string, local netip.AddrPort) *sipgo.ViaHeader {
	h := &sipgo.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: network, Host: hostText(local.Addr()), Port: int(local.Port())}
	h.Params.Add("branch", sipgo.GenerateBranchN(16))
	h.Params.Add("rport", "")
	return h
}

// contact is where the peer of a dialog reaches us.
func contact(network string, local netip.AddrPort) sipgo.Header {
	uri := "<sip:siaga112@" + local.String()
	if network != "UDP" {
		uri += ";transport=" + strings.ToLower(network)
	}
	return sipgo.NewHeader("Contact", uri+">")
}

// appendText appends an address header from its text; what does not parse is sent as it is.
func appendText(m sipgo.Message, name, value string) {
	var uri sipgo.Uri
	var params sipgo.HeaderParams
	display, err := sipgo.ParseAddressValue(value, &uri, &params)
	switch {
	case err != nil:
		m.AppendHeader(sipgo.NewHeader(name, value))
	case name == "From":
		m.AppendHeader(&sipgo.FromHeader{DisplayName: display, Address: uri, Params: params})
	default:
		m.AppendHeader(&sipgo.ToHeader{DisplayName: display, Address: uri, Params: params})
	}
}

// nameAddr is an address as it was parsed: its display name still has the escapes of a quoted-string.
func nameAddr(display string, uri sipgo.Uri) string {
	if display == "" {
		return "<" + uri.String() + ">"
	}
	return `"` + display + `" <` + uri.String() + ">"
}

// quoted escapes what may not stand in a quoted-string.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", " ", "\n", " ")

// quote is a quoted-string (25.1).
func quote(s string) string { return `"` + quoted.Replace(s) + `"` }

func hostText(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// splitRoutes splits a Record-Route value at the commas between its name-addrs.
func splitRoutes(value string) []string {
	var out []string
	depth, start := 0, 0
	for i, c := range value {
		switch {
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == ',' && depth == 0:
			out, start = append(out, strings.TrimSpace(value[start:i])), i+1
		}
	}
	return append(out, strings.TrimSpace(value[start:]))
}

func parseRoutes(values []string) ([]sipgo.Uri, error) {
	var out []sipgo.Uri
	for _, v := range values {
		var uri sipgo.Uri
		if _, err := sipgo.ParseAddressValue(v, &uri, &sipgo.HeaderParams{}); err != nil {
			return nil, fmt.Errorf("route %q: %w", v, err)
		}
		out = append(out, uri)
	}
	return out, nil
}
