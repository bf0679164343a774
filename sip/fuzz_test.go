package sip_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/siaga112/siaga112/sip"
)

// FuzzMessage: whatever a trunk sends, it is dropped or becomes a request that can be answered, a call with a caller, and
// a dialog that can be kept, read back, and hung up.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{
		invite, strings.Replace(invite, "Contact: ", "Session-Expires: 90;refresher=uac\nSupported: timer, 100rel\nContact: ", 1),
		strings.Replace(invite, "INVITE sip:112@10.0.0.1", "REFER sip:siaga112@10.0.0.1", 1) + "Refer-To: <sip:t2@h?Replaces=a%3Bto-tag%3Db>\n",
		strings.NewReplacer("From:", "f:", "Via:", "v:", "branch=z9hG4bKa;rport", "x=\"a,b\"").Replace(invite),
	} {
		f.Add([]byte(strings.ReplaceAll(text[1:], "\n", "\r\n")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := sipgo.ParseMessage(raw)
		if err != nil {
			return
		}
		req, ok := m.(*sipgo.Request)
		if !ok {
			return
		}
		req.SetTransport("UDP")
		req.SetSource("10.0.2.1:5060")
		code, _, res := sip.Validate(req)
		if code != 0 {
			if res != nil && res.StatusCode != code {
				t.Fatalf("refused with %d, answered %d", code, res.StatusCode)
			}
			return
		}
		sip.Read(req)
		d := sip.ServerDialog(req, "ours", netip.MustParseAddrPort("10.0.0.1:5060"))
		back, err := sip.DecodeDialog(d.Encode())
		if err != nil {
			t.Fatalf("a kept dialog can't be read: %v", err)
		}
		if bye, err := back.Request(sipgo.BYE, 1, back.Local); err == nil && len(bye.String()) == 0 {
			t.Fatal("an empty BYE")
		}
	})
}

// FuzzDialog: whatever a caller and a call taker's phone say inside their dialogs, nothing breaks, and each leg that is
// dropped leaves exactly once.
func FuzzDialog(f *testing.F) {
	f.Add("INVITE", "Session-Expires: 90\nSupported: timer", session(trunk, 4000)+"a=sendonly\n", true)
	f.Add("UPDATE", "Contact: <sip:a@b>", "", false)
	f.Add("REFER", "Refer-To: <sip:t2@h?Replaces=a%3Bto-tag%3Db>", "", true)
	f.Add("PRACK", "RAck: 1 1 INVITE", "", false)
	f.Add("BYE", "Reason: Q.850;cause=16", "", true)
	f.Add("OPTIONS", "", "x", false)
	f.Fuzz(func(t *testing.T, method, headers, body string, phone bool) {
		synctest.Test(t, func(t *testing.T) {
			seen, logs := observer.New(zapcore.WarnLevel)
			r := newRig(t)
			r.options.Log = zap.New(seen)
			r.open()
			c, ph := talking(r)
			ph.seq++
			request := c.within(method, body, headers)
			from := c.peer
			if phone {
				request, from = withBody(inDialog(ph.invite, method, ph.seq, "p"), body, headers), ph.peer
			}
			from.send(request)
			pass(10 * time.Millisecond)
			r.line.Drop(c.id, 1, 0)
			r.line.Drop(c.id, 0, 0)
			pass(2 * lifetime)
			left := map[string]int{}
			for fact := range strings.FieldsSeq(r.story(c.id)) {
				if strings.HasPrefix(fact, "left:") && !strings.HasSuffix(fact, ":node") {
					left[fact[:len("left:0")]]++
				}
			}
			if left["left:0"] != 1 || left["left:1"] != 1 {
				t.Errorf("facts of the call: %s", r.story(c.id))
			}
			r.wantGone()
			if n := logs.FilterMessageSnippet("panic").Len() + logs.FilterMessageSnippet("broke").Len(); n > 0 {
				t.Errorf("it broke: %v", logs.All())
			}
		})
	})
}
