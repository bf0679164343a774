package siptest_test

import (
	"fmt"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/siptest"
)

// talk makes a call of anna to the wire, which answers it with its own description.
func (w *wire) talk(n *siptest.Network, i siptest.Invite, more ...string) (*siptest.Call, *diary, *sip.Request) {
	w.t.Helper()
	c, d, invite := w.call(n, i)
	w.answer(invite, 200, "gw", offer(), append(more, "Contact: <sip:gw@10.0.0.1:5060>")...)
	w.wantRequest("ACK")
	<-c.Up()
	return c, d, invite
}

// call makes a call of anna, up to its INVITE.
func (w *wire) call(n *siptest.Network, i siptest.Invite) (*siptest.Call, *diary, *sip.Request) {
	w.t.Helper()
	p, d := openPhone(w.t, n, "10.0.1.1", siptest.Options{User: "anna", Password: "pw", Voice: 1})
	i.Number, i.Own = "112", true
	c, err := p.Invite(i)
	if err != nil {
		w.t.Fatal(err)
	}
	return c, d, w.wantRequest("INVITE")
}

// within sends a request within a call that the phone has made.
func (w *wire) within(c *siptest.Call, method, branch string, seq int, body string, more ...string) {
	w.t.Helper()
	w.send(body, append([]string{
		method + " sip:anna@10.0.1.1:5060 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK" + branch,
		"From: <sip:112@10.0.0.1>;tag=gw", "To: <sip:anna@10.0.0.1>;tag=" + siptest.LocalTag(c), "Call-ID: " + c.ID,
		fmt.Sprintf("CSeq: %d %s", seq, method), "Contact: <sip:gw@10.0.0.1:5060>",
	}, more...)...)
}

// described is what a message describes.
func described(m sip.Message) siptest.Media { return siptest.ReadSDP(m.Body()) }

// value is a message's only header of that name; "" where there is none.
func value(t *testing.T, m sip.Message, name string) string {
	t.Helper()
	switch all := m.GetHeaders(name); len(all) {
	case 0:
		return ""
	case 1:
		return all[0].Value()
	}
	t.Errorf("several %s in %s", name, m)
	return ""
}
