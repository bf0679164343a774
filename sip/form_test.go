package sip_test

import (
	"strings"
	"testing"
	"time"
)

// RFC 3261, 7.3.1 and 7.3.3: an INVITE may be written in many ways; it is the same call.
func TestFormsOfAnINVITE(t *testing.T) {
	compact := []string{
		"Via:", "v:", "From:", "f:", "To:", "t:", "Call-ID:", "i:", "Contact:", "m:", "Content-Type:", "c:", "Content-Length:", "l:",
	}
	for name, pairs := range map[string][]string{
		"compact":             compact,
		"lower case":          {"Via:", "via:", "From:", "FROM:", "CSeq:", "cseq:", "Contact:", "contact:", "Call-ID:", "call-id:"},
		"folded":              {"From: ", "From:\n ", "Contact: ", "Contact:\n\t ", "CSeq: 1 INVITE", "CSeq: 1\n  INVITE", "Max-Forwards: ", "Max-Forwards:\n  "},
		"blanks":              {"From: ", "From:\t  ", "Max-Forwards: 70", "Max-Forwards: 70  "},
		"no angle brackets":   {"Contact: <sip:caller@10.0.2.1:5060>", "Contact: sip:caller@10.0.2.1:5060"},
		"a display name":      {"From: <sip", `From: "Siti \"Kiki\" <b>" <sip`},
		"unknown headers":     {"Max-Forwards: 70", "Max-Forwards: 70\nX-Anything: <>;;;\nP-Charging-Vector: icid-value=1"},
		"unknown parameters":  {";rport", ";rport;x=1;y"},
		"several in one line": {"P-Asserted-Identity: <tel:+628115550001>", "P-Asserted-Identity: <tel:+628115550001>, <sip:+628115550001@ims>"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).arrive(pairs...)
				r.line.Answer(c.id, 0)
				c.answered()
				c.ack()
				pass(time.Millisecond)
				c.send(strings.NewReplacer(compact...).Replace(c.request("BYE", 2)))
				c.want("SIP/2.0 200")
				pass(0)
				r.wantStory(c.id, "arrived answered:0 left:0:caller")
			})
		})
	}
}

// RFC 3261, 12.1.1, 17.2.3 and 8.1.1.7: an RFC 2543 peer has no magic cookie in its branch and no tag in its From, and
// two of its calls may look alike but for Call-ID and CSeq.
func TestRFC2543Peer(t *testing.T) {
	old := func(c *caller) []string {
		return []string{";branch=" + c.branch + ";rport", ";branch=1", ";tag=" + c.from, ""}
	}
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		c := r.caller(p)
		c.arrive(old(c)...)
		c.send(c.invite(old(c)...)) // it comes again
		pass(10 * time.Millisecond)
		other := r.caller(p)
		other.arrive(old(other)...)
		if n := len(r.ids()); n != 2 {
			t.Fatalf("%d calls, want 2", n)
		}
		r.line.Answer(c.id, 0)
		c.answered()
		c.send(strings.NewReplacer(old(c)...).Replace(c.requestWith(c.branch, "ACK", 1))) // in the branch of its INVITE
		c.none(5 * time.Second)
		c.from = ""
		c.send(strings.ReplaceAll(c.requestWith("2", "BYE", 2), ";tag=\n", "\n"))
		c.find("SIP/2.0 200", time.Second)
		pass(0)
		r.wantStory(c.id, "arrived answered:0 left:0:caller")
		r.line.Answer(other.id, 0)
		other.answered()
		other.send(strings.NewReplacer(old(other)...).Replace(other.requestWith(other.branch, "ACK", 1)))
		pass(time.Millisecond)
		r.line.Drop(other.id, 0, 0)
		bye := other.want("BYE")
		if strings.Contains(bye.header("To"), "tag=") {
			t.Errorf("To: %s", bye.header("To"))
		}
		other.reply(bye, "200 OK", "")
	})
}

// What each refusal must carry (RFC 3261, 21.4 and 20): Allow, Accept, Accept-Encoding, Unsupported, and never a version.
func TestHeadersOfRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		pairs        []string
		code         string
		header, want string
	}{
		"405 (21.4.6)":                   {[]string{"INVITE sip", "PUBLISH sip", "1 INVITE", "1 PUBLISH"}, "405", "Allow", "UPDATE"},
		"415 (21.4.13)":                  {[]string{"application/sdp", "text/html"}, "415", "Accept", "application/sdp"},
		"415, the encoding (20.12)":      {[]string{"Content-Type", "Content-Encoding: gzip\nContent-Type"}, "415", "Accept-Encoding", "identity"},
		"416 (21.4.14)":                  {[]string{"INVITE sip:112@", "INVITE im:112@"}, "416", "", ""},
		"420 (8.2.2.3)":                  {[]string{"Content-Type", "Require: gruu,timer, 100rel\nContent-Type"}, "420", "Unsupported", "gruu"},
		"483 (21.4.20)":                  {[]string{"Max-Forwards: 70", "Max-Forwards: 0"}, "483", "", ""},
		"400 (21.4.1)":                   {[]string{"CSeq: 1 INVITE", "CSeq: 1 BYE"}, "400", "", ""},
		"505 (21.5.6)":                   {[]string{"112@10.0.0.1 SIP/2.0", "112@10.0.0.1 SIP/3.0"}, "505", "", ""},
		"401 for a call taker's phone":   {nil, "401", "WWW-Authenticate", "Digest"},
		"481 for a dialog that is not":   {[]string{"To: <sip:112@10.0.0.1>", "To: <sip:112@10.0.0.1>;tag=gone"}, "481", "", ""},
		"481, CANCEL of nothing (9.2)":   {[]string{"INVITE sip", "CANCEL sip", "1 INVITE", "1 CANCEL"}, "481", "", ""},
		"481, PRACK of nothing (3262 3)": {[]string{"INVITE sip", "PRACK sip", "1 INVITE", "1 PRACK"}, "481", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				host := trunk
				if tt.code == "401" {
					host = desk
				}
				c := r.caller(r.peer(host))
				c.send(c.invite(tt.pairs...))
				m := c.want("SIP/2.0 " + tt.code)
				if !strings.Contains(m.header(tt.header), tt.want) {
					t.Errorf("%s: %q, want %s", tt.header, m.header(tt.header), tt.want)
				}
				if got := m.header("Server"); got != "Siaga112" {
					t.Errorf("Server: %q", got)
				}
				if m.tag("To") == "" && tt.code != "400" {
					t.Errorf("no To tag (8.2.6.2)\n%s", m.text)
				}
			})
		})
	}
}
