package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// allKeys are the keys below the first level: where a misplaced one belongs.
var allKeys = []string{
	"sip.listen", "sip.advertise", "sip.realm", "sip.answer", "sip.max_calls", "sip.on_stop", "sip.drain_for", "rtp.ports",
	"trunks[].name", "trunks[].numbers", "trunks[].trust",
	"queue.ring_timeout", "queue.wrap_up", "queue.strategy", "queue.announcement", "queue.music", "prank.max_delay",
	"audit.witness", "store.retention.records", "store.night", "store.free_space", "store.reserve", "log.level", "log.format",
	"node", "zone", "data",
}

const (
	exampleListen   = `["udp:127.0.0.1:5060"]`
	exampleNetworks = `["10.20.0.0/24"]`
	exampleNumbers  = `["112"]`
)

// root reads the whole document; false where it holds no keys at all.
func (r *reader) root(n ast.Node) bool {
	return r.mapping("", n, []field{
		{"node", func(k string, n ast.Node) { set(&r.cfg.Node)(r.word(k, n, "ktp1")) }},
		{"zone", r.zone},
		{"data", func(k string, n ast.Node) { r.path(k, n, "./data", &r.cfg.Data) }},
		{"sip", r.sip},
		{"rtp", r.rtp},
		{"trunks", r.trunks},
		{"takers", r.takers},
		{"queue", r.queue},
		{"prank", r.prank},
		{"audit", r.audit},
		{"store", r.store},
		{"log", r.log},
	})
}

// set stores a value that was read; what was not read right leaves the default.
func set[T any](to *T) func(v T, ok bool) {
	return func(v T, ok bool) {
		if ok {
			*to = v
		}
	}
}

func (r *reader) zone(key string, n ast.Node) {
	s, ok := r.text(key, n, "Asia/Pontianak")
	if !ok {
		return
	}
	const want = "want an IANA name: Asia/Jakarta or Asia/Pontianak (WIB), Asia/Makassar (WITA), Asia/Jayapura (WIT)"
	loc, err := time.LoadLocation(s)
	if err != nil || s == "" || s == "Local" {
		r.faultAt(n, key, fmt.Sprintf("%q is an unknown zone", s), want)
		return
	}
	r.cfg.Zone = loc
}

// path reads a path that is relative to the file's folder.
func (r *reader) path(key string, n ast.Node, example string, to *string) {
	s, ok := r.text(key, n, example)
	if !ok {
		return
	}
	if s == "" {
		r.faultAt(n, key, "is empty", "want a path: "+example)
		return
	}
	*to = beside(r.cfg.File, s)
}

func (r *reader) sip(key string, n ast.Node) {
	s := &r.cfg.SIP
	r.mapping(key, n, []field{
		{"listen", func(k string, n ast.Node) {
			s.Listen = nil
			r.list(k, n, exampleListen, r.listen)
		}},
		{"advertise", r.advertise},
		{"realm", r.realm},
		{"answer", func(k string, n ast.Node) { set(&s.Answer)(choice(r, k, n, AnswerQueue, AnswerTaker, AnswerEarly)) }},
		{"max_calls", func(k string, n ast.Node) { set(&s.MaxCalls)(r.integer(k, n, 1)) }},
		{"on_stop", func(k string, n ast.Node) { set(&s.OnStop)(choice(r, k, n, HandOver, Drain, HangUp)) }},
		{"drain_for", func(k string, n ast.Node) { set(&s.DrainFor)(r.duration(k, n, time.Second, 24*time.Hour)) }},
	})
}

// listen reads one socket.
func (r *reader) listen(key string, n ast.Node) {
	s, ok := r.text(key, n, "udp:127.0.0.1:5060")
	if !ok {
		return
	}
	network, addr, _ := strings.Cut(s, ":")
	switch network {
	case "udp", "tcp":
	case "tls", "ws", "wss":
		r.faultAt(n, key, network+" is not yet supported", "want udp or tcp: udp:127.0.0.1:5060")
		return
	default:
		r.faultAt(n, key, fmt.Sprintf("%q does not begin with udp: or tcp:", s), "want as udp:127.0.0.1:5060")
		return
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		wrong, right := noAddrPort(network, addr)
		r.faultAt(n, key, fmt.Sprintf("%q %s", s, wrong), right)
		return
	}
	l := Listen{Network: network, Addr: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
	if slices.Contains(r.cfg.SIP.Listen, l) && l.Addr.Port() != 0 {
		r.faultAt(n, key, s+" stands twice", "keep one of the two")
		return
	}
	r.cfg.SIP.Listen = append(r.cfg.SIP.Listen, l)
	r.listens = append(r.listens, placed[Listen]{key, l})
}

// noAddrPort says what is missing in an address with a port.
func noAddrPort(network, s string) (wrong, right string) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "has no port", "want " + network + ":" + netip.AddrPortFrom(a, 5060).String()
	}
	i := strings.LastIndex(s, ":")
	if i < 0 {
		return "has no port", "want as " + network + ":127.0.0.1:5060"
	}
	if _, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil {
		return "has no port from 1 to 65535", "want as " + network + ":127.0.0.1:5060"
	}
	return "has no IP address", "want a number, not a name: " + network + ":127.0.0.1:" + s[i+1:]
}

func (r *reader) advertise(key string, n ast.Node) {
	s, ok := r.text(key, n, `"203.0.113.7"`)
	if !ok {
		return
	}
	if s == "" {
		return
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		r.faultAt(n, key, fmt.Sprintf("%q is no IP address", s), `want only the address, no port and no name: "203.0.113.7", or "" for the listener's own`)
	case a.IsUnspecified() || a.IsMulticast() || a.Zone() != "":
		r.faultAt(n, key, s+" is no address that a peer can send to", `want the address that the operator sees: "203.0.113.7"`)
	default:
		r.cfg.SIP.Advertise = a.Unmap()
	}
}

func (r *reader) realm(key string, n ast.Node) {
	s, ok := r.text(key, n, "siaga112")
	if !ok {
		return
	}
	if s == "" || len(s) > 63 || strings.ContainsAny(s, "\"\\:") {
		r.faultAt(n, key, fmt.Sprintf("%q is no realm", s), `want 1 to 63 characters without ", \ and a colon: siaga112`)
		return
	}
	r.cfg.SIP.Realm = s
}

func (r *reader) rtp(key string, n ast.Node) {
	r.mapping(key, n, []field{{"ports", r.ports}})
}

// ports reads the range; whether it is long enough is seen when max_calls is known.
func (r *reader) ports(key string, n ast.Node) {
	const want = "want FIRST-LAST, as 20000-29999"
	if _, ok := n.(*ast.IntegerNode); ok {
		r.faultAt(n, key, kindOf(n), want)
		return
	}
	s, ok := r.text(key, n, "20000-29999")
	if !ok {
		return
	}
	a, b, _ := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	switch {
	case err1 != nil || err2 != nil:
		r.faultAt(n, key, fmt.Sprintf("%q is no range of ports", s), want)
	case first < 1024:
		r.faultAt(n, key, fmt.Sprintf("begins at %d, a port of the system", first), "want 1024 or more: 20000-29999")
	case first > last:
		r.faultAt(n, key, "ends before it begins", want)
	case first%2 != 0:
		r.faultAt(n, key, fmt.Sprintf("begins at the odd port %d", first), fmt.Sprintf("want %d-%d: a leg takes an even port and the next", first+1, last))
	case last%2 == 0:
		r.faultAt(n, key, fmt.Sprintf("ends at the even port %d", last), fmt.Sprintf("want %d-%d: a leg takes an even port and the next", first, last+1))
	default:
		r.cfg.RTP = RTP{First: uint16(first), Last: uint16(last)}
	}
}

func (r *reader) trunks(key string, n ast.Node) {
	r.list(key, n, `- {name: telkom, from: ["10.20.0.5/32"], numbers: ["112"], trust: pai}`, r.trunk)
}

// trunk reads one trunk. Its place in cfg is kept even when a part of it is wrong, so that the others are counted right.
func (r *reader) trunk(key string, n ast.Node) {
	t := Trunk{Trust: TrustPAI}
	var nets []placed[netip.Prefix]
	ok := r.mapping(key, n, []field{
		{"name", func(k string, n ast.Node) { set(&t.Name)(r.word(k, n, "telkom")) }},
		{"from", func(k string, n ast.Node) {
			t.From, nets = r.networks(k, n)
		}},
		{"numbers", func(k string, n ast.Node) {
			r.list(k, n, exampleNumbers, func(k string, n ast.Node) { r.number(k, n, &t.Numbers) })
		}},
		{"trust", func(k string, n ast.Node) { set(&t.Trust)(choice(r, k, n, TrustPAI, TrustFrom, TrustNone)) }},
	})
	if ok {
		r.needs(key, n, "name", "telkom", "records and logs need it")
		r.needs(key, n, "from", exampleNetworks, "the operator's networks")
		r.needs(key, n, "numbers", exampleNumbers, "the called numbers it may bring")
	}
	r.cfg.Trunks = append(r.cfg.Trunks, t)
	r.nets = append(r.nets, nets)
}

// needs is a fault where a key without a default is missing.
func (r *reader) needs(key string, n ast.Node, name, example, why string) {
	if _, ok := r.at[join(key, name)]; !ok {
		r.faultAt(n, join(key, name), "is missing: "+why, "want "+name+": "+example)
	}
}

// number reads one called number.
func (r *reader) number(key string, n ast.Node, to *[]string) {
	s, ok := r.text(key, n, `"112"`)
	if !ok {
		return
	}
	odd := func(c rune) bool { return (c < '0' || c > '9') && c != '*' && c != '#' }
	digits := strings.TrimPrefix(s, "+")
	switch {
	case digits == "" || len(digits) > 32 || strings.ContainsFunc(digits, odd):
		r.faultAt(n, key, fmt.Sprintf("%q is no number", s), `want digits as the operator sends them: "112"`)
	case slices.Contains(*to, s):
		r.faultAt(n, key, s+" stands twice", "keep one of the two")
	default:
		*to = append(*to, s)
	}
}

// networks reads a list of networks, and says where each stands.
func (r *reader) networks(key string, n ast.Node) (out []netip.Prefix, where []placed[netip.Prefix]) {
	r.list(key, n, exampleNetworks, func(k string, n ast.Node) {
		p, ok := r.prefix(k, n)
		switch {
		case !ok:
		case slices.Contains(out, p):
			r.faultAt(n, k, p.String()+" stands twice", "keep one of the two")
		default:
			out = append(out, p)
			where = append(where, placed[netip.Prefix]{k, p})
		}
	})
	return out, where
}

func (r *reader) takers(key string, n ast.Node) {
	r.mapping(key, n, []field{{"from", func(k string, n ast.Node) { r.cfg.Takers.From, _ = r.networks(k, n) }}})
}

func (r *reader) queue(key string, n ast.Node) {
	q := &r.cfg.Queue
	r.mapping(key, n, []field{
		{"ring_timeout", func(k string, n ast.Node) { set(&q.RingTimeout)(r.duration(k, n, time.Second, 5*time.Minute)) }},
		{"wrap_up", func(k string, n ast.Node) { set(&q.WrapUp)(r.duration(k, n, 0, time.Hour)) }},
		{"strategy", func(k string, n ast.Node) { set(&q.Strategy)(choice(r, k, n, LongestIdle, RingAll)) }},
		{"announcement", func(k string, n ast.Node) { r.sound(k, n, "./announcement.wav", &q.Announcement) }},
		{"music", func(k string, n ast.Node) { r.sound(k, n, "./music.wav", &q.Music) }},
	})
}

// sound reads the path of a sound file; empty is the built-in one.
func (r *reader) sound(k string, n ast.Node, example string, to *string) {
	if s, ok := n.(*ast.StringNode); !ok || s.Value != "" {
		r.path(k, n, example, to)
	}
}

func (r *reader) prank(key string, n ast.Node) {
	r.mapping(key, n, []field{{"max_delay", func(k string, n ast.Node) {
		set(&r.cfg.Prank.MaxDelay)(r.duration(k, n, 0, time.Minute))
	}}})
}

func (r *reader) log(key string, n ast.Node) {
	l := &r.cfg.Log
	r.mapping(key, n, []field{
		{"level", func(k string, n ast.Node) { set(&l.Level)(choice(r, k, n, "debug", "info", "warn", "error")) }},
		{"format", func(k string, n ast.Node) { set(&l.Format)(choice(r, k, n, "console", "json")) }},
	})
}
