package config_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/config"
)

// faults are what Parse says about the text, without the file's name.
func faults(t *testing.T, text string) []string {
	t.Helper()
	cfg, err := config.Parse("f", []byte(text))
	if err == nil {
		return nil
	}
	var fs config.Faults
	if !errors.As(err, &fs) || len(fs) == 0 || cfg != nil {
		t.Fatalf("got %v and %v, want only Faults", cfg, err)
	}
	var out []string
	for _, f := range fs {
		out = append(out, strings.TrimPrefix(f.String(), "f:"))
	}
	return out
}

// TestFaults: each text has one fault; a good trunk is put after it.
func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		// keys
		"nod: a":                          `1: nod: is an unknown key; did you mean node?`,
		"max_calls: 3":                    `1: max_calls: is an unknown key; it belongs elsewhere: sip.max_calls`,
		"sip: {from: [10.0.0.0/8]}":       `1: sip.from: is an unknown key; the keys of sip are listen, advertise, realm, answer, max_calls, on_stop, drain_for`,
		"fruit: red":                      `1: fruit: is an unknown key; the keys here are node, zone, data, sip, rtp, trunks, takers, queue, prank, audit, store, log`,
		"log: {fruit: red}":               `1: log.fruit: is an unknown key; the keys of log are level, format`,
		"queue: {wrap-up: 1s}":            `1: queue.wrap-up: is an unknown key; did you mean wrap_up?`,
		"SIP: {}":                         `1: SIP: is an unknown key; did you mean sip?`,
		"node: a\nnode: b":                `2: node: stands here a second time, first in line 1; keep one of the two`,
		"1: a":                            `1: "1" is no key; want one of node, zone, data, sip, rtp, trunks, takers, queue, prank, audit, store, log`,
		"<<: {node: a}":                   `1: "<<" is no key; want one of node, zone, data, sip, rtp, trunks, takers, queue, prank, audit, store, log`,
		"log: {level: info, level: info}": `1: log.level: stands here a second time, first in line 1; keep one of the two`,

		// what is kept
		"store: {retention: {records: 5}}":     `1: store.retention.records: 5 has no unit; want days or years, as 90d or 5y, or 0 for ever`,
		"store: {retention: {records: 5m}}":    `1: store.retention.records: "5m" is no age; want days or years, as 90d or 5y, or 0 for ever`,
		"store: {retention: {records: 1000y}}": `1: store.retention.records: "1000y" is no age; want days or years, as 90d or 5y, or 0 for ever`,
		"store: {retention: {location: 1y}}":   `1: store.retention.location: is an unknown key; the keys of store.retention are records`,
		`store: {night: "24:00"}`:              `1: store.night: "24:00" is no time of the day; want HH:MM in quotes: "03:00"`,
		"store: {free_space: 200}":             `1: store.free_space: has no unit; want a size in MB or GB, as 200MB`,
		"store: {free_space: 0MB}":             `1: store.free_space: 0MB is too little; want at least 1MB`,
		"store: {reserve: 64M}":                `1: store.reserve: "64M" is no size; want a size in MB or GB, as 200MB`,

		// types
		"sip: udp":                   `1: sip: is text; want keys under it: listen, advertise, realm, answer, max_calls, on_stop, drain_for`,
		"sip:":                       `1: sip: has no value; want keys under it: listen, advertise, realm, answer, max_calls, on_stop, drain_for`,
		"sip: []":                    `1: sip: is a list; want keys under it: listen, advertise, realm, answer, max_calls, on_stop, drain_for`,
		"node: 7":                    `1: node: is a number; want text, in quotes: "7"`,
		"node: true":                 `1: node: is true or false; want text, in quotes: "true"`,
		"node:":                      `1: node: has no value; want text: ktp1`,
		"node: {a: b}":               `1: node: is a group of keys; want text: ktp1`,
		"node: &x ktp1":              `1: node: uses a YAML tag, anchor, alias or directive, which this file does not know; want text: ktp1`,
		"node: !!str ktp1":           `1: node: uses a YAML tag, anchor, alias or directive, which this file does not know; want text: ktp1`,
		"node: |\n  a\n":             `1: node: is text of several lines; want one line: ktp1`,
		`node: "a\u0007"`:            `1: node: "a\a" has a control character; want plain text: ktp1`,
		"takers: {from: 10.0.0.0/8}": `1: takers.from: is text; want a list: ["10.20.0.0/24"]`,
		"takers: {from: []}":         `1: takers.from: is an empty list; want at least one: ["10.20.0.0/24"]`,
		"sip: {max_calls: many}":     `1: sip.max_calls: is text; want a whole number, 1 or more`,
		"sip: {max_calls: 1.5}":      `1: sip.max_calls: is a number; want a whole number, 1 or more`,
		"sip: {max_calls: 0}":        `1: sip.max_calls: 0 is out of range; want a whole number, 1 or more`,
		"sip: {max_calls: -3}":       `1: sip.max_calls: -3 is out of range; want a whole number, 1 or more`,
		"sip: {max_calls: 0x10}":     `1: sip.max_calls: 0x10 is out of range; want a whole number, 1 or more`,

		// words
		`node: ""`:             `1: node: "" is no name; want 1 to 63 letters, digits, - and _: ktp1`,
		"node: a b":            `1: node: "a b" is no name; want 1 to 63 letters, digits, - and _: ktp1`,
		`data: ""`:             `1: data: is empty; want a path: ./data`,
		"zone: Local":          `1: zone: "Local" is an unknown zone; ` + zones,
		`zone: ""`:             `1: zone: "" is an unknown zone; ` + zones,
		"zone: Asia/Pontianac": `1: zone: "Asia/Pontianac" is an unknown zone; ` + zones,
		`sip: {realm: ""}`:     `1: sip.realm: "" is no realm; want 1 to 63 characters without ", \ and a colon: siaga112`,
		"sip: {answer: later}": `1: sip.answer: "later" is unknown; want one of queue, taker, early`,
		"queue: {strategy: x}": `1: queue.strategy: "x" is unknown; want one of longest-idle, ring-all`,
		"log: {level: trace}":  `1: log.level: "trace" is unknown; want one of debug, info, warn, error`,
		"log: {format: text}":  `1: log.format: "text" is unknown; want one of console, json`,

		// durations
		"queue: {ring_timeout: 15}":             `1: queue.ring_timeout: 15 has no unit; want 15s if seconds are meant`,
		"queue: {ring_timeout: soon}":           `1: queue.ring_timeout: "soon" is no duration; want 1s to 5m, as 10s or 1m30s`,
		"queue: {ring_timeout: 0s}":             `1: queue.ring_timeout: 0s is out of range; want 1s to 5m, as 10s or 1m30s`,
		"queue: {ring_timeout: []}":             `1: queue.ring_timeout: is a list; want 1s to 5m, as 10s or 1m30s`,
		"queue: {wrap_up: -1s}":                 `1: queue.wrap_up: -1s is negative; want 0s to 1h, as 10s or 1m30s`,
		"queue: {wrap_up: 90m}":                 `1: queue.wrap_up: 90m is out of range; want 0s to 1h, as 10s or 1m30s`,
		"audit: {witness: [\"http://a/b\"]}":    `1: audit.witness[0]: http://a/b is not encrypted: who sits between could drop checkpoints unseen; want https://a/b`,
		"audit: {witness: [ftp]}":               `1: audit.witness[0]: "ftp" is no witness; want "https://saksi.example.go.id/siaga112", "file:/media/usb" or {command: [mail, -s, checkpoint, auditor@example.go.id]}`,
		"audit: {witness: [\"file:\"]}":         `1: audit.witness[0]: has no path; want as file:/media/usb`,
		"audit: {witness: [{}]}":                `1: audit.witness[0].command: is missing: a group of keys is a witness by command; want command: [mail, -s, checkpoint, auditor@example.go.id]`,
		"audit: {witness: [{command: [\"\"]}]}": `1: audit.witness[0]: the name of the program is empty; want "https://saksi.example.go.id/siaga112", "file:/media/usb" or {command: [mail, -s, checkpoint, auditor@example.go.id]}`,
		"prank: {max_delay: 61s}":               `1: prank.max_delay: 61s is out of range; want 0s to 1m, as 10s or 1m30s`,

		// addresses
		`sip: {listen: ["udp:127.0.0.1"]}`:                    `1: sip.listen[0]: "udp:127.0.0.1" has no port; want udp:127.0.0.1:5060`,
		`sip: {listen: ["udp:[::1]"]}`:                        `1: sip.listen[0]: "udp:[::1]" has no port; want udp:[::1]:5060`,
		`sip: {listen: ["udp:"]}`:                             `1: sip.listen[0]: "udp:" has no port; want as udp:127.0.0.1:5060`,
		`sip: {listen: ["udp:127.0.0.1:sip"]}`:                `1: sip.listen[0]: "udp:127.0.0.1:sip" has no port from 1 to 65535; want as udp:127.0.0.1:5060`,
		`sip: {listen: ["udp:localhost:5060"]}`:               `1: sip.listen[0]: "udp:localhost:5060" has no IP address; want a number, not a name: udp:127.0.0.1:5060`,
		`sip: {listen: ["127.0.0.1:5060"]}`:                   `1: sip.listen[0]: "127.0.0.1:5060" does not begin with udp: or tcp:; want as udp:127.0.0.1:5060`,
		`sip: {listen: ["wss:127.0.0.1:443"]}`:                `1: sip.listen[0]: wss is not yet supported; want udp or tcp: udp:127.0.0.1:5060`,
		`sip: {listen: ["udp:10.0.0.1:5", "udp:10.0.0.1:5"]}`: `1: sip.listen[1]: udp:10.0.0.1:5 stands twice; keep one of the two`,
		`sip: {listen: ["udp:10.0.0.1:5", "udp:10.0.0.2:5"]}`: `1: sip.listen[1]: udp:10.0.0.2:5 is the second udp socket, after udp:10.0.0.1:5; want one: listen on 0.0.0.0 or [::] and set sip.advertise`,
		`sip: {listen: ["udp:0.0.0.0:5060"]}`:                 `1: sip.listen[0]: udp:0.0.0.0:5060 is every address of the machine, and sip.advertise is empty; set sip.advertise to the address that the operator sees, or listen on that address`,
		`sip: {listen: ["udp:127.0.0.1:20002"]}`:              `1: sip.listen[0]: port 20002 lies among the rtp.ports 20000-29999; want a port outside them, as 5060`,
		"sip: {listen: []}":                                   `1: sip.listen: is an empty list; want at least one: ["udp:127.0.0.1:5060"]`,
		"sip: {advertise: gw.example.id}":                     `1: sip.advertise: "gw.example.id" is no IP address; want only the address, no port and no name: "203.0.113.7", or "" for the listener's own`,
		"sip: {advertise: 0.0.0.0}":                           `1: sip.advertise: 0.0.0.0 is no address that a peer can send to; want the address that the operator sees: "203.0.113.7"`,
		"takers: {from: [10.0.0.0]}":                          `1: takers.from[0]: "10.0.0.0" is no network; want 10.0.0.0/32 for this one address`,
		"takers: {from: [10.0.0.0/33]}":                       `1: takers.from[0]: "10.0.0.0/33" is no network; want ADDRESS/BITS, as 10.20.0.0/24`,
		"takers: {from: [10.0.0.5/24]}":                       `1: takers.from[0]: 10.0.0.5/24 has bits beyond its length; want 10.0.0.0/24 for the network or 10.0.0.5/32 for the one address`,
		`takers: {from: ["::ffff:1.2.3.4/128"]}`:              `1: takers.from[0]: ::ffff:1.2.3.4/128 is an IPv4 network written as IPv6; want it as 10.20.0.0/24`,
		"takers: {from: [10.0.0.0/8, 10.0.0.0/8]}":            `1: takers.from[1]: 10.0.0.0/8 stands twice; keep one of the two`,

		// ports
		"rtp: {ports: 20000}":       `1: rtp.ports: is a number; want FIRST-LAST, as 20000-29999`,
		"rtp: {ports: many}":        `1: rtp.ports: "many" is no range of ports; want FIRST-LAST, as 20000-29999`,
		"rtp: {ports: 20000-70001}": `1: rtp.ports: "20000-70001" is no range of ports; want FIRST-LAST, as 20000-29999`,
		"rtp: {ports: 1000-29999}":  `1: rtp.ports: begins at 1000, a port of the system; want 1024 or more: 20000-29999`,
		"rtp: {ports: 30000-20001}": `1: rtp.ports: ends before it begins; want FIRST-LAST, as 20000-29999`,
		"rtp: {ports: 20001-29999}": `1: rtp.ports: begins at the odd port 20001; want 20002-29999: a leg takes an even port and the next`,
		"rtp: {ports: 20000-29998}": `1: rtp.ports: ends at the even port 29998; want 20000-29999: a leg takes an even port and the next`,
		"rtp: {ports: 20000-20099}": `1: rtp.ports: 20000-20099 are 100 ports: too few for 500 calls; want 4 ports for each of sip.max_calls, or max_calls: 25`,
		"sip: {max_calls: 2501}":    `1: sip.max_calls: 20000-29999 are 10000 ports: too few for 2501 calls; want 4 ports for each of sip.max_calls, or max_calls: 2500`,

		// a fault in one key makes none in another
		"rtp: {ports: 20000-20099}\nsip: 5": `2: sip: is a number; want keys under it: listen, advertise, realm, answer, max_calls, on_stop, drain_for`,
	} {
		if diff := cmp.Diff([]string{want}, faults(t, text+"\n"+trunk)); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
}

const zones = "want an IANA name: Asia/Jakarta or Asia/Pontianak (WIB), Asia/Makassar (WITA), Asia/Jayapura (WIT)"

func TestTrunkFaults(t *testing.T) {
	const missing = ` trunks: is missing: nobody could call; want trunks: [{name: telkom, from: ["10.20.0.5/32"], numbers: ["112"]}]`
	for _, c := range []struct {
		text string
		want []string
	}{
		{"node: a", []string{missing}},
		{"trunks:", []string{`1: trunks: has no value; want a list: - {name: telkom, from: ["10.20.0.5/32"], numbers: ["112"], trust: pai}`}},
		{"trunks: []", []string{`1: trunks: is an empty list; want at least one: - {name: telkom, from: ["10.20.0.5/32"], numbers: ["112"], trust: pai}`}},
		{"trunks: [telkom]", []string{`1: trunks[0]: is text; want keys under it: name, from, numbers, trust`}},
		{"trunks: [{trust: pai}]", []string{
			`1: trunks[0].name: is missing: records and logs need it; want name: telkom`,
			`1: trunks[0].from: is missing: the operator's networks; want from: ["10.20.0.0/24"]`,
			`1: trunks[0].numbers: is missing: the called numbers it may bring; want numbers: ["112"]`,
		}},
		{"trunks:\n- name: a\n  from: [10.0.0.0/24]\n  numbers: [112, \"1-2\", '112', '112', '+']\n  trust: all", []string{
			`4: trunks[0].numbers[0]: is a number; want text, in quotes: "112"`,
			`4: trunks[0].numbers[1]: "1-2" is no number; want digits as the operator sends them: "112"`,
			`4: trunks[0].numbers[3]: 112 stands twice; keep one of the two`,
			`4: trunks[0].numbers[4]: "+" is no number; want digits as the operator sends them: "112"`,
			`5: trunks[0].trust: "all" is unknown; want one of pai, from, none`,
		}},
		{"trunks:\n- {name: a, from: [10.0.0.0/24, 10.0.0.0/16], numbers: ['112']}\n- {name: b, from: [10.1.0.0/24, 10.0.0.7/32], numbers: ['112']}\n- {name: a, from: [10.2.0.0/24], numbers: ['112']}", []string{
			`3: trunks[1].from[1]: 10.0.0.7/32 overlaps 10.0.0.0/24 of the trunk a in line 2; each address belongs to one trunk`,
			`3: trunks[1].from[1]: 10.0.0.7/32 overlaps 10.0.0.0/16 of the trunk a in line 2; each address belongs to one trunk`,
			`4: trunks[2].name: a is already the name of the trunk in line 2; want another name`,
		}},
		{"trunks:\n- {name: '', from: [10.0.0.0/24], numbers: ['112']}\n- {name: '', from: [10.0.0.0/24], numbers: ['112']}", []string{
			`2: trunks[0].name: "" is no name; want 1 to 63 letters, digits, - and _: telkom`,
			`3: trunks[1].name: "" is no name; want 1 to 63 letters, digits, - and _: telkom`,
			`3: trunks[1].from[0]: 10.0.0.0/24 overlaps 10.0.0.0/24 of the trunk trunks[0] in line 2; each address belongs to one trunk`,
		}},
	} {
		if diff := cmp.Diff(c.want, faults(t, c.text)); diff != "" {
			t.Errorf("%s\n%s", c.text, diff)
		}
	}
}

func TestDocumentFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                                ` is empty; siaga112 init DIR writes a file that runs as it is`,
		"# only a comment\n":              ` is empty; siaga112 init DIR writes a file that runs as it is`,
		"node: ktp1\nsip: [\n":            `2: YAML: sequence end token ']' not found`,
		"a: b: c\n":                       `1: YAML: mapping value is not allowed in this context`,
		"node: a\n\tzone: b\n":            `2: YAML: found character '\t' that cannot start any token`,
		"node: \xff":                      `1: has bytes that are not UTF-8; save it as UTF-8 text`,
		"node: é\n\n# \xc3":               `3: has bytes that are not UTF-8; save it as UTF-8 text`,
		trunk + "---\nnode: b\n":          `3: a second YAML document begins here; one file is one document: delete --- and what follows`,
		"- node: a\n":                     `1: is a list; want keys under it: node, zone, data, sip, rtp, trunks, takers, queue, prank, audit, store, log`,
		strings.Repeat("# ", 1<<19) + "#": ` is 1048577 bytes long; want at most 1048576: is it a configuration?`,
	} {
		got := faults(t, text)
		if len(got) == 0 || got[0] != want {
			t.Errorf("%.40q: got %q, want %q", text, got, want)
		}
	}
}

func TestWindowsFile(t *testing.T) {
	text := strings.ReplaceAll("\ufeff"+string(config.Template()), "\n", "\r\n")
	if got := faults(t, text); got != nil {
		t.Errorf("got %q, want none", got)
	}
}

// FuzzParse: whatever the bytes, the answer is a whole configuration or faults that say where.
func FuzzParse(f *testing.F) {
	f.Add(config.Template())
	for _, s := range []string{"", trunk, "a: &a [*a]", "? {a: b}\n: c", "node: \"\\x", "%YAML 1.2\n--- !!map {}", "{", "- - - -", "a: |2\n x", "<<: *x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse("f", data)
		var fs config.Faults
		switch {
		case err == nil:
			if cfg == nil || cfg.Zone == nil || len(cfg.Trunks) == 0 || len(cfg.SIP.Listen) == 0 || len(cfg.Takers.From) == 0 || cfg.RTP.First >= cfg.RTP.Last {
				t.Errorf("accepted, but not whole: %+v", cfg)
			}
		case !errors.As(err, &fs) || len(fs) == 0 || cfg != nil:
			t.Errorf("got %v and %v, want only Faults", cfg, err)
		}
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + 1
		for _, one := range fs {
			if one.Wrong == "" || one.File != "f" || one.Line < 0 || one.Line > lines {
				t.Errorf("fault %+v in a file of %d lines", one, lines)
			}
		}
	})
}
