package sip

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
)

const (
	maxExpires  = time.Hour   // the longest registration that is granted (RFC 3261, 10.3)
	minExpires  = time.Minute // the shortest: less is refused with 423
	maxContacts = 5           // of a call taker
)

// change is what a REGISTER asks for.
type change struct {
	now      time.Time
	all      bool       // every binding is to go: Contact *
	contacts []*binding // as they are to be; Until now: to go
}

// change reads the Contacts of a REGISTER (10.3, steps 6 and 7).
func (r *registrar) change(req *sipgo.Request) (change, *refusal) {
	c := change{now: time.Now().UTC()}
	headers := req.GetHeaders("Contact")
	if len(headers) > maxContacts {
		return c, tooMany
	}
	from := binding{
		CallID: string(*req.CallID()), Seq: req.CSeq().SeqNo, Net: req.Transport(),
		Local: r.l.local(req.Transport(), req.Source()), Peer: addrPort(req.Source()), Since: c.now,
	}
	for _, h := range headers {
		contact, ok := h.(*sipgo.ContactHeader)
		if !ok {
			return c, badRequest("a Contact can't be read")
		}
		asked := expires(req, contact)
		if contact.Address.Wildcard {
			if c.all = true; len(headers) > 1 || asked != 0 {
				return c, badRequest("* stands alone and goes with Expires 0")
			}
			c.contacts = append(c.contacts, &from)
			break
		}
		if asked > 0 && asked < minExpires {
			return c, &refusal{code: 423, reason: "Interval Too Brief", headers: []sipgo.Header{
				sipgo.NewHeader("Min-Expires", strconv.Itoa(int(minExpires.Seconds()))),
			}}
		}
		b := from
		b.Contact, b.Until = strings.TrimSpace(contact.Address.String()), c.now.Add(min(asked, maxExpires))
		if err := readContact(b.Contact, &b.uri); err != nil {
			return c, badRequest(err.Error())
		}
		if slices.ContainsFunc(c.contacts, func(o *binding) bool { return sameURI(&o.uri, &b.uri) }) {
			return c, badRequest("a Contact stands twice")
		}
		c.contacts = append(c.contacts, &b)
	}
	return c, nil
}

var tooMany = &refusal{code: sipgo.StatusForbidden, reason: fmt.Sprintf("Forbidden: more than %d contacts", maxContacts)}

func badRequest(why string) *refusal {
	return &refusal{code: sipgo.StatusBadRequest, reason: "Bad Request: " + why}
}

// expires is how long the contact asks for, its own parameter first; a malformed value is an hour (10.2.1.1, 20.10).
func expires(req *sipgo.Request, c *sipgo.ContactHeader) time.Duration {
	v, ok := parameter(c.Params, "expires")
	if h := req.GetHeader("Expires"); !ok && h != nil {
		v = h.Value()
	}
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
	if err != nil {
		return maxExpires
	}
	return time.Duration(n) * time.Second
}

// apply is what becomes of the bindings (10.3, steps 6 and 7). A REGISTER that is older than the last one of its Call-ID
// changes nothing. Where a phone registers anew over its flow, its earlier contact there goes: some phones make up another
// one at each start. Beyond maxContacts the first to expire of those that do not answer OPTIONS goes; else it is refused.
func (c change) apply(old []*binding) ([]*binding, *refusal) {
	next := append([]*binding{}, old...)
	for _, asked := range c.contacts {
		for _, b := range c.predecessors(asked, old) {
			if asked.CallID == b.CallID && asked.Seq <= b.Seq {
				return nil, &refusal{code: sipgo.StatusInternalServerError, reason: "Server Internal Error: the CSeq is not higher"}
			}
			asked.succeed(b)
			next = slices.DeleteFunc(next, func(o *binding) bool { return o == b })
		}
	}
	kept := next
	for _, asked := range c.contacts {
		if asked.Until.After(c.now) {
			next = append(next, asked)
		}
	}
	for len(next) > maxContacts {
		i := leastUseful(next, kept)
		if i < 0 {
			return nil, tooMany
		}
		next = slices.Delete(slices.Clone(next), i, i+1)
	}
	slices.SortFunc(next, func(a, b *binding) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Contact, b.Contact))
	})
	return next, nil
}

// predecessors are the bindings that a contact takes the place of: that of the same URI; for * all; for a new contact those
// on the same flow.
func (c change) predecessors(asked *binding, old []*binding) []*binding {
	var out []*binding
	for _, b := range old {
		if c.all || sameURI(&asked.uri, &b.uri) {
			out = append(out, b)
		}
	}
	if len(out) > 0 || !asked.Until.After(c.now) {
		return out
	}
	for _, b := range old {
		if asked.flow(b) {
			out = append(out, b)
		}
	}
	return out
}

// succeed takes over what is known of the phone from the binding that b replaces.
func (b *binding) succeed(old *binding) {
	if b.CallID == old.CallID {
		b.Since = old.Since
	}
	b.up = b.up || old.up
	if old.answered.After(b.answered) {
		b.answered = old.answered
	}
}

// leastUseful is the place of the binding that gives way to a new one, -1 when each answers OPTIONS.
func leastUseful(all, kept []*binding) int {
	least := -1
	for i, b := range all {
		if slices.Contains(kept, b) && !b.up && (least < 0 || b.Until.Before(all[least].Until)) {
			least = i
		}
	}
	return least
}

// sameURI tells whether two SIP URIs are equal (19.1.4).
func sameURI(a, b *sipgo.Uri) bool {
	return a.Scheme == b.Scheme && unescaped(a.User) == unescaped(b.User) && unescaped(a.Password) == unescaped(b.Password) &&
		strings.EqualFold(a.Host, b.Host) && a.Port == b.Port &&
		within(a.UriParams, b.UriParams, "user", "ttl", "method", "maddr", "transport") &&
		within(b.UriParams, a.UriParams, "user", "ttl", "method", "maddr", "transport") &&
		within(a.Headers, b.Headers) && within(b.Headers, a.Headers)
}

// within tells whether each parameter of a has the same value in b; one that b lacks matters when it is among decisive, or
// when there are none such.
func within(a, b sipgo.HeaderParams, decisive ...string) bool {
	for _, p := range a {
		v, ok := parameter(b, p.K)
		if ok && !strings.EqualFold(unescaped(v), unescaped(p.V)) ||
			!ok && (len(decisive) == 0 || slices.Contains(decisive, strings.ToLower(p.K))) {
			return false
		}
	}
	return true
}

// parameter is the value of a parameter, whose name is in any case.
func parameter(ps sipgo.HeaderParams, name string) (string, bool) {
	for _, p := range ps {
		if strings.EqualFold(p.K, name) {
			return p.V, true
		}
	}
	return "", false
}

// unescaped is the text without its escapes; as it is when they are none.
func unescaped(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
