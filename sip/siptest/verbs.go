package siptest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

// clause is one verb of a line with what belongs to it.
type clause struct {
	verb    string
	arg     string
	code    int
	length  time.Duration
	options map[string]string
	after   bool // something was done earlier in the same line
}

func (c clause) String() string { return strings.TrimSpace(c.verb + " " + c.arg) }

// The verbs of a story.
const (
	verbKill        = "kill"
	verbStart       = "start"
	verbStop        = "stop"
	verbHurries     = "hurries"
	verbStalls      = "stalls"
	verbInvite      = "INVITE"
	verbCancel      = "CANCEL"
	verbBye         = "BYE"
	verbReinvite    = "reINVITE"
	verbUpdate      = "UPDATE"
	verbHolds       = "holds"
	verbResumes     = "resumes"
	verbRefer       = "REFER"
	verbSends       = "sends"
	verbSees        = "sees"
	verbHears       = "hears"
	verbSays        = "says"
	verbPresses     = "presses"
	verbDies        = "dies"
	verbRegisters   = "registers"
	verbUnregisters = "unregisters"
	verbPauses      = "pauses"
	verbReady       = "ready"
	verbClassifies  = "classifies"
)

// kindOf tells apart who may use a verb.
type kindOf uint8

const (
	gatewayOnly kindOf = 1 << iota
	callersToo
	takersToo
	phones = callersToo | takersToo
)

// grammar is what a verb takes: read reads its argument, nil where it has none.
type grammar struct {
	who     kindOf
	read    func(c *clause) error
	options []string
}

// What several verbs take.
var (
	inviteOptions = []string{
		"from", "trust", "priority", "id", "header", "password", "offer", "100rel", "prack", "session-expires", "min-se",
		"refresher", "timer", "refreshes", "peer", "form",
	}
	sendOptions   = []string{"rel", "sdp", "session-expires", "min-se", "refresher", "refreshes", "reason", "to", "call"}
	seeOptions    = []string{"tag", "cause", "q850", "rel", "media", "event", "session-expires", "refresher", "has", "lacks", "id", "call"}
	changeOptions = []string{"offer", "hold", "port", "address", "contact", "event", "call"}
	ofCall        = []string{"call"}
	withReason    = []string{"reason", "call"}
)

func verb(name string) (grammar, bool) {
	switch name {
	case verbKill, verbStart, verbHurries:
		return grammar{who: gatewayOnly}, true
	case verbStop:
		return grammar{who: gatewayOnly, options: []string{"within"}}, true
	case verbStalls:
		return grammar{who: gatewayOnly, read: readStall}, true
	case verbInvite:
		return grammar{phones, readNumber, inviteOptions}, true
	case verbCancel, verbBye:
		return grammar{who: phones, options: withReason}, true
	case verbReinvite, verbUpdate:
		return grammar{who: phones, options: changeOptions}, true
	case verbHolds, verbResumes:
		return grammar{who: phones, options: ofCall}, true
	case verbRefer:
		return grammar{phones, readNumber, []string{"replaces", "call"}}, true
	case verbDies:
		return grammar{who: phones}, true
	case verbSends:
		return grammar{phones, readCode, sendOptions}, true
	case verbSees:
		return grammar{phones, readSeen, seeOptions}, true
	case verbHears:
		return grammar{phones, readWord, ofCall}, true
	case verbSays:
		return grammar{phones, readLength, ofCall}, true
	case verbPresses:
		return grammar{phones, readKey, ofCall}, true
	case verbRegisters:
		return grammar{who: takersToo, options: []string{"expires", "contacts"}}, true
	case verbUnregisters, verbPauses, verbReady:
		return grammar{who: takersToo}, true
	case verbClassifies:
		return grammar{takersToo, readKind, ofCall}, true
	}
	return grammar{}, false
}

// longest is the longest story, and the longest that anybody may speak.
const longest = 24 * time.Hour

// line reads one line of a story.
func (p *parser) line(no int, text string) {
	when, rest, _ := strings.Cut(text, " ")
	who, what, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if who == "" || strings.TrimSpace(what) == "" {
		p.fault(no, "%q: want TIME WHO VERB", text)
		return
	}
	l := line{no: no, who: who}
	before := time.Duration(0)
	if n := len(p.s.lines); n > 0 {
		before = p.s.lines[n-1].at
	}
	at, err := time.ParseDuration(strings.TrimPrefix(when, "+"))
	if err != nil || at < 0 || at > longest {
		p.fault(no, "time %q: want a duration from the start as 8s, or from the line before as +50ms", when)
		return
	}
	if l.at = at; strings.HasPrefix(when, "+") {
		l.at += before
	}
	if l.at < before {
		p.fault(no, "%s is before the line before, at %s", when, before)
		return
	}
	if l.at > longest {
		p.fault(no, "a story is over after %s", longest)
		return
	}
	for part := range quoted(what, ';') {
		c, err := p.clause(who, part, l.clauses)
		if err != nil {
			p.fault(no, "%s: %v", strings.TrimSpace(part), err)
			continue
		}
		l.clauses = append(l.clauses, c)
	}
	if who != theGateway && p.s.taker(who) == nil && !slices.Contains(p.s.callers, who) {
		p.s.callers = append(p.s.callers, who)
	}
	p.s.lines = append(p.s.lines, l)
}

func (p *parser) clause(who, text string, before []clause) (clause, error) {
	words, err := fields(text)
	if err != nil {
		return clause{}, err
	}
	if len(words) == 0 {
		return clause{}, fmt.Errorf("there is no verb")
	}
	c := clause{verb: words[0], options: map[string]string{}}
	g, ok := verb(c.verb)
	if !ok {
		return c, fmt.Errorf("no such verb")
	}
	if g.who&p.kind(who) == 0 {
		return c, fmt.Errorf("%s can't do that", who)
	}
	words = words[1:]
	if g.read != nil {
		if len(words) == 0 {
			return c, fmt.Errorf("what?")
		}
		c.arg, words = words[0], words[1:]
		if err := g.read(&c); err != nil {
			return c, err
		}
	}
	for _, w := range words {
		if err := c.option(w, g.options); err != nil {
			return c, err
		}
	}
	c.after = slices.ContainsFunc(before, func(b clause) bool { return !b.looks() })
	if c.verb == verbSees && c.after {
		return c, fmt.Errorf("what is seen after something was done belongs into a line of its own")
	}
	return c, c.check(g.who&p.kind(who) == takersToo)
}

// looks tells whether the verb does nothing.
func (c clause) looks() bool { return c.verb == verbSees || c.verb == verbHears }

func (p *parser) kind(who string) kindOf {
	switch {
	case who == theGateway:
		return gatewayOnly
	case p.s.taker(who) != nil:
		return takersToo
	}
	return callersToo
}

func readNumber(c *clause) error {
	if strings.ContainsAny(c.arg, "<>@;\"=") {
		return fmt.Errorf("%q is no number", c.arg)
	}
	return nil
}

func readWord(*clause) error { return nil }

func readStall(c *clause) error {
	if !slices.Contains(stalls, Stall(c.arg)) {
		return fmt.Errorf("want one of %v", stalls)
	}
	return nil
}

func readCode(c *clause) error {
	n, err := strconv.Atoi(c.arg)
	if err != nil || n <= 100 || n > 699 {
		return fmt.Errorf("want a status from 101 to 699")
	}
	c.code = n
	return nil
}

// readSeen takes a status, a method, or what Event.String makes of something missing.
func readSeen(c *clause) error {
	if c.arg != "" && c.arg[0] >= '0' && c.arg[0] <= '9' {
		return readCode(c)
	}
	if slices.Contains([]string{"no-answer", "no-ack", "no-prack", expired, "nothing", verbReinvite}, c.arg) {
		return nil
	}
	if code, ok := strings.CutPrefix(c.arg, "NOTIFY="); ok {
		if n, err := strconv.Atoi(code); err != nil || n < 100 || n > 699 {
			return fmt.Errorf("want a status from 100 to 699 after NOTIFY=")
		}
		return nil
	}
	if c.arg != strings.ToUpper(c.arg) {
		return fmt.Errorf("want a METHOD, reINVITE, NOTIFY=STATUS, a status, no-answer, no-ack, no-prack, expired or nothing")
	}
	return nil
}

func readLength(c *clause) (err error) {
	c.length, err = time.ParseDuration(c.arg)
	if err != nil || c.length <= 0 || c.length > longest {
		return fmt.Errorf("want a duration as 1s")
	}
	return nil
}

func readKey(c *clause) error {
	if len(c.arg) != 1 || !strings.Contains(keys, c.arg) {
		return fmt.Errorf("want one of %s", keys)
	}
	return nil
}

func readKind(c *clause) error {
	if !slices.Contains(call.Kinds, call.Kind(c.arg)) {
		return fmt.Errorf("want one of %v", call.Kinds)
	}
	return nil
}
