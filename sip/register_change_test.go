package sip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/sip"
)

// enroll sends a REGISTER with these names and Contacts after its challenge, and is the answer.
func (p *peer) enroll(callID string, seq int, headers string) message {
	p.tb.Helper()
	p.ignore = append(p.ignore, "OPTIONS")
	p.send(p.registration("t1", ""))
	challenge := p.want("SIP/2.0 401").header("WWW-Authenticate")
	text := p.registration("t1", "Authorization: "+authorization(p.tb, challenge, "t1", "rahasia")+"\n")
	head, tail, _ := strings.Cut(text, "Call-ID: ")
	_, tail, _ = strings.Cut(tail, "Expires: 3600\n")
	if headers != "" {
		headers += "\n"
	}
	p.send(fmt.Sprintf("%sCall-ID: %s\nCSeq: %d REGISTER\n%s%s", head, callID, seq, headers, tail))
	return p.want("SIP/2.0 ")
}

// contacts is the list in a 200 in short: "t1@a 3600, t1@b 60".
func (m message) contacts() string {
	var out []string
	for _, c := range m.headers("Contact") {
		out = append(out, strings.TrimPrefix(strings.Replace(c, ">;expires=", " ", 1), "<sip:"))
	}
	return strings.Join(out, ", ")
}

// RFC 3261, 10.3, step by step. Two phones, a and b, register one after the other; each REGISTER is answered with the
// contacts that there are then, or refused. After the last one they are as its row says.
func TestRegistrarSteps(t *testing.T) {
	type step struct {
		phone   string
		callID  string
		seq     int
		headers string // no Contact: a query
		want    string // a code, or the contacts of a 200
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"6: no Contact is a query", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"a", "x", 2, "", "t1@a 3600"},
			{"b", "y", 1, "Expires: 0", "t1@a 3600"},
		}},
		{"6: * with another Contact", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"a", "x", 2, "Contact: *\nContact: <sip:t1@b>\nExpires: 0", "400"},
			{"a", "x", 3, "Contact: <sip:t1@b>;expires=0\nContact: *\nExpires: 0", "400"},
			{"a", "x", 4, "", "t1@a 3600"},
		}},
		{"6: * without Expires 0", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"a", "x", 2, "Contact: *", "400"},
			{"a", "x", 3, "Contact: *\nExpires: 60", "400"},
			{"a", "x", 4, "", "t1@a 3600"},
		}},
		{"6: * takes all contacts away, of other Call-IDs too", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"b", "y", 9, "Contact: <sip:t1@b>", "t1@a 3600, t1@b 3600"},
			{"a", "x", 2, "Contact: *\nExpires: 0", ""},
		}},
		{"6: an old * is aborted, and takes nothing", []step{
			{"a", "x", 5, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"b", "y", 1, "Contact: <sip:t1@b>", "t1@a 3600, t1@b 3600"},
			{"a", "x", 5, "Contact: *\nExpires: 0", "500"},
			{"a", "x", 4, "Contact: *\nExpires: 0", "500"},
			{"a", "x", 6, "", "t1@a 3600, t1@b 3600"},
		}},
		{"7: the Contact's own expires before the header's", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>;expires=120, <sip:t1@b>\nExpires: 600", "t1@a 120, t1@b 600"},
		}},
		{"7: a parameter's name in any case, an addr-spec, a display name with a comma", []step{
			{"a", "x", 1, "Contact: sip:t1@a;Expires=120, \"Ibu, Sri\" <sip:t1@b>;q=0.5", "t1@a 120, t1@b 3600"},
		}},
		{"7: compact form", []step{{"a", "x", 1, "m: <sip:t1@a>", "t1@a 3600"}}},
		{"7: too brief", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>;expires=59", "423"},
			{"a", "x", 2, "Contact: <sip:t1@a>;expires=60\nContact: <sip:t1@b>;expires=1", "423"},
			{"a", "x", 3, "", ""},
		}},
		{"7: a new Call-ID updates", []step{
			{"a", "x", 9, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"a", "z", 1, "Contact: <sip:t1@a>;expires=60", "t1@a 60"},
			{"a", "x", 1, "Contact: <sip:t1@a>;expires=90", "t1@a 90"},
		}},
		{"7: a new Call-ID removes", []step{
			{"a", "x", 9, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"a", "z", 1, "Contact: <sip:t1@a>;expires=0", ""},
		}},
		{"7: the same Call-ID needs a higher CSeq", []step{
			{"a", "x", 9, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"a", "x", 9, "Contact: <sip:t1@a>;expires=0", "500"},
			{"a", "x", 8, "Contact: <sip:t1@a>;expires=60", "500"},
			{"a", "x", 10, "Contact: <sip:t1@a>;expires=60", "t1@a 60"},
		}},
		{"7: all or nothing", []step{
			{"a", "x", 9, "Contact: <sip:t1@a>", "t1@a 3600"},
			{"b", "x", 9, "Contact: <sip:t1@b>, <sip:t1@a>;expires=0", "500"},
			{"b", "y", 1, "Contact: <sip:t1@b>, <tel:112>", "400"},
			{"b", "y", 2, "Contact: <sip:t1@b>, <sip:t1@c>;expires=5", "423"},
			{"b", "y", 3, "Contact: <sip:t1@b>, <sip:T1@B>, <sip:t1@B>", "400"},
			{"b", "y", 4, "", "t1@a 3600"},
		}},
		{"7: what is not named stays", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>, <sip:t1@b>", "t1@a 3600, t1@b 3600"},
			{"a", "x", 2, "Contact: <sip:t1@a>;expires=90", "t1@a 90, t1@b 3600"},
			{"a", "x", 3, "Contact: <sip:t1@c>;expires=0", "t1@a 90, t1@b 3600"},
			{"a", "x", 4, "Contact: <sip:t1@a>;expires=0", "t1@b 3600"},
		}},
		{"7, 19.1.4: the same contact in other words", []step{
			{"a", "x", 1, "Contact: <sip:t1@a;ob>", "t1@a;ob 3600"},
			{"a", "x", 2, "Contact: <sip:%741@A>;expires=90", "%741@A 90"},
		}},
		{"7, 19.1.4: another port is another contact", []step{
			{"a", "x", 1, "Contact: <sip:t1@a>, <sip:t1@a:5060>", "t1@a 3600, t1@a:5060 3600"},
		}},
		{"a phone that makes up another user part at each start", []step{
			{"b", "y", 1, "Contact: <sip:t1@b>", "t1@b 3600"},
			{"a", "x", 7, "Contact: <sip:t1-0x55@a>", "t1@b 3600, t1-0x55@a 3600"},
			{"a", "z", 1, "Contact: <sip:t1-0x77@a>", "t1@b 3600, t1-0x77@a 3600"},
			{"a", "z", 1, "Contact: <sip:t1-0x99@a>", "500"},
		}},
		{"more contacts than five in one", []step{
			{"a", "x", 1, "Contact: <sip:1@a>, <sip:2@a>, <sip:3@a>, <sip:4@a>, <sip:5@a>", "1@a 3600, 2@a 3600, 3@a 3600, 4@a 3600, 5@a 3600"},
			{"a", "x", 2, "Contact: <sip:1@a>, <sip:2@a>, <sip:3@a>, <sip:4@a>, <sip:5@a>, <sip:6@a>", "403"},
			{"a", "x", 3, "Contact: <sip:1@a>, <sip:2@a>, <sip:3@a>, <sip:4@a>, <sip:5@a>, <sip:6@a>\nExpires: 0", "403"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				phones := map[string]*peer{"a": r.peer(desk), "b": r.peer(desk2)}
				for i, s := range tt.steps {
					m := phones[s.phone].enroll(s.callID, s.seq, s.headers)
					got := strings.Fields(m.start())[1]
					if got == "200" {
						got = m.contacts()
						if _, err := time.Parse(time.RFC1123, m.header("Date")); err != nil {
							t.Errorf("step %d: the 200 has no Date (10.3, 8): %v", i, err)
						}
					}
					if got != s.want {
						t.Errorf("step %d: got %q, want %q", i, got, s.want)
					}
					if got == "423" && m.header("Min-Expires") != "60" {
						t.Errorf("step %d: Min-Expires %q (20.23)", i, m.header("Min-Expires"))
					}
				}
			})
		})
	}
}

// The order of CSeqs and the place of a phone outlive a restart.
func TestRestoredOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.peer(desk), r.peer(desk2)
		a.enroll("x", 5, "Contact: <sip:t1@a>")
		b.enroll("y", 5, "Contact: <sip:t1@b>")
		pass(10 * time.Second)
		r.line.Kill()
		r.open()
		if got := a.enroll("x", 5, "Contact: <sip:t1@a>;expires=0").start(); !strings.HasPrefix(got, "SIP/2.0 500") {
			t.Errorf("an old REGISTER after the restart: %s", got)
		}
		if got := a.enroll("x", 6, "Contact: <sip:t1@a>").contacts(); got != "t1@a 3600, t1@b 3590" {
			t.Errorf("contacts %q", got)
		}
		if got := r.line.Phones(); len(got) != 1 || got[0].Contacts != 2 {
			t.Errorf("phones %+v", got)
		}
	})
}

// Five contacts and no more: the sixth takes the place of one that does not answer OPTIONS, the first to expire, and is
// refused while all five answer.
func TestSixthContact(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var phones []*peer
		for i := range 7 {
			p := r.peerAt(desk, uint16(5060+i))
			phones = append(phones, p)
			if i == 5 {
				break
			}
			p.enroll("x", i, fmt.Sprintf("Contact: <sip:%d@a>;expires=%d", i, 3600-i*600))
			p.ignore = nil
			p.reply(p.want("OPTIONS"), "200 OK", "x")
		}
		pass(time.Second)
		sixth := phones[5]
		if got := sixth.enroll("y", 1, "Contact: <sip:5@a>").start(); !strings.HasPrefix(got, "SIP/2.0 403") {
			t.Errorf("all answer, but the sixth gets %s", got)
		}
		for i, p := range phones[:5] {
			options := p.wantWithin("OPTIONS", time.Minute)
			if i != 1 && i != 3 { // these two are silent
				p.reply(options, "200 OK", "x")
			}
			p.ignore = []string{"OPTIONS"}
		}
		pass(lifetime - 5*time.Second)
		for _, i := range []int{0, 2, 4} { // the next one
			phones[i].ignore = nil
			phones[i].reply(phones[i].find("OPTIONS", time.Minute), "200 OK", "x")
		}
		pass(5 * time.Second)
		m := sixth.enroll("y", 2, "Contact: <sip:5@a>")
		var users []string
		for c := range strings.SplitSeq(m.contacts(), ", ") {
			users = append(users, c[:1])
		}
		if diff := cmp.Diff([]string{"0", "1", "2", "4", "5"}, users); diff != "" {
			t.Errorf("contacts (-want +got):\n%s\n%s", diff, m.text)
		}
	})
}

// What a REGISTER may do to bindings, whatever it asks for.
func TestReviseHolds(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		var old []*sip.Binding
		last := map[string]uint32{} // the highest CSeq that was taken, by Call-ID and contact
		for n := range rapid.IntRange(1, 12).Draw(rt, "registers") {
			now := start.Add(time.Duration(n) * time.Minute)
			var asked []*sip.Binding
			id, seq := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "call-id"), rapid.Uint32Range(1, 9).Draw(rt, "cseq")
			peer := netip.AddrPortFrom(netip.MustParseAddr(desk), rapid.Uint16Range(1, 4).Draw(rt, "port"))
			for _, user := range rapid.SliceOfNDistinct(rapid.IntRange(0, 7), 1, 5, rapid.ID).Draw(rt, "contacts") {
				until := now
				if rapid.Bool().Draw(rt, "bind") {
					until = now.Add(time.Hour)
				}
				asked = append(asked, sip.NewBinding(sip.Binding{
					Contact: fmt.Sprintf("sip:%d@a", user), CallID: id, Seq: seq, Net: "UDP", Peer: peer, Since: now, Until: until,
				}, rapid.Bool().Draw(rt, "up")))
			}
			before := slices.Clone(old)
			next, code := sip.Revise(now, false, asked, old)
			if !slices.Equal(before, old) {
				rt.Fatal("it changed what it was given")
			}
			if code != 0 {
				if code != 500 && code != 403 {
					rt.Fatalf("refused with %d", code)
				}
				continue
			}
			if len(next) > 5 || !slices.IsSortedFunc(next, func(a, b *sip.Binding) int { return a.Since.Compare(b.Since) }) {
				rt.Fatalf("%d contacts, or not by age", len(next))
			}
			have := map[string]bool{}
			for _, b := range next {
				if have[b.Contact] {
					rt.Fatalf("%s stands twice", b.Contact)
				}
				have[b.Contact] = true
				if key := b.CallID + b.Contact; slices.Contains(asked, b) {
					if slices.ContainsFunc(old, func(o *sip.Binding) bool { return o.CallID == b.CallID && o.Contact == b.Contact }) && seq <= last[key] {
						rt.Fatalf("%s went back from CSeq %d to %d", key, last[key], seq)
					}
					last[key] = seq
				} else if !slices.Contains(old, b) {
					rt.Fatal("a binding that nobody asked for")
				}
			}
			for _, b := range asked {
				if have[b.Contact] != b.Until.After(now) {
					rt.Fatalf("%s is there: %v", b.Contact, have[b.Contact])
				}
			}
			for _, b := range old {
				named := slices.ContainsFunc(asked, func(o *sip.Binding) bool { return o.Contact == b.Contact })
				if !named && !have[b.Contact] && b.Peer != peer && b.Up() {
					rt.Fatalf("%s answers, was not named, and is gone", b.Contact)
				}
			}
			old = next
		}
	})
}

// The examples of RFC 3261, 19.1.4, and some of what phones send.
func TestSameURI(t *testing.T) {
	for same, pairs := range map[bool][][2]string{
		true: {
			{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"},
			{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"},
			{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"},
			{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"},
			{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"},
			{"sip:t1@[2001:db8::1]:5060;ob", "sip:t1@[2001:DB8::1]:5060"},
		},
		false: {
			{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"},
			{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"},
			{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"},
			{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"},
			{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"},
			{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"},
			{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"},
			{"sip:t1@a", "sips:t1@a"},
			{"sip:t1@a;maddr=b", "sip:t1@a"},
			{"sip:t1:p@a", "sip:t1@a"},
			{"sip:t1%00@a", "sip:t1@a"},
			{"sip:t1%zz@a", "sip:t1@a"},
		},
	} {
		for _, p := range pairs {
			if sip.SameURI(p[0], p[1]) != same || sip.SameURI(p[1], p[0]) != same {
				t.Errorf("%s and %s: want %v", p[0], p[1], same)
			}
		}
	}
}
