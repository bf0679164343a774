package siptest

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/siaga112/siaga112/call"
)

// Story is a parsed file of testdata/calls: what happens at the gateway, line by line, and what its journal says
// afterwards.
//
// The file is a txtar archive. Its comment says what it is about; its sections are:
//
//	-- config --    keys of the gateway's configuration that differ from the usual ones, in YAML
//	-- takers --    NAME ADDRESS [password=WORD] [department=WORD] [digest=MD5|SHA-256] [away]
//	-- history --   NUMBER KIND COUNT: so many calls of that number in the past, one a day, classified so
//	-- story --     TIME WHO VERB…; VERB…
//	-- journal --   the entries of each call, a word or two for each, divided by |
//	-- end --       KEY=COUNT … of what is left
//
// TIME is from the start, or + from the line before. WHO is the gateway, a taker, or any other name: a caller on the
// trunk. A taker's phone is registered before the story begins, unless it is away. What has spaces or a semicolon in it
// stands between double quotes: reason="Q.850;cause=16".
//
//	gateway  kill | start | stop [within=DURATION] | hurries | stalls WHAT
//	taker    registers [expires=SECONDS] [contacts=COUNT] | unregisters | pauses | ready
//	taker    classifies KIND [call=NAME of the caller's call]
//	both     INVITE NUMBER [id=NAME of the call] [priority=WORD] [header="NAME: VALUE"] [password=WORD] [offer=none]
//	           [100rel=supported|required] [prack=no] [peer=rfc2543] [form=compact|folded] TIMER
//	caller     [from=NUMBER] [trust=asserted|claimed|none]
//	both     CANCEL [reason=TEXT] | BYE [reason=TEXT]
//	both     sends CODE [rel] [sdp] [reason=TEXT] TIMER | sends CODE to=reINVITE|METHOD
//	both     reINVITE CHANGE | UPDATE CHANGE | holds | resumes
//	both     REFER NUMBER [replaces=NAME of another call]
//	both     says DURATION | presses KEY | dies
//	both     sees METHOD|reINVITE|NOTIFY=CODE|CODE|no-answer|no-ack|no-prack|expired|nothing [id=NAME] [tag=NAME]
//	           [cause=CODE] [q850=CODE] [rel=yes|no] [media=sendrecv|sendonly|recvonly|inactive|none] [event=NUMBER]
//	           [session-expires=SECONDS] [refresher=uac|uas] [has="NAME: TEXT"] [lacks="NAME: TEXT"]
//	both     hears prompt|NAME|NAME+NAME|nothing
//
//	TIMER    [session-expires=SECONDS] [min-se=SECONDS] [refresher=uac|uas] [timer=supported|required]
//	           [refreshes|refreshes=reINVITE|UPDATE|no]
//	CHANGE   [offer=none] [hold=sendonly|inactive|zero|sendrecv] [port=new] [address=ADDRESS] [event=NUMBER] [contact=new]
//
// A kill is kill -9 between two instructions, and what was written to the disk is there at the next start. To kill it between
// two others it stalls first: from then on nothing reaches the disk (disk), dialogs do but the journal does not (journal), or
// both do but nothing follows from it (verbs). A stop is SIGTERM, and goes on while the lines after it are told, 5 s or as long
// as within says; hurries is a second SIGTERM.
//
// A phone may have several calls. One that it made with id=NAME, or that was seen so, is named by call=NAME; every verb
// in a call takes that. Without it, it is the latest call that the verb fits: a call that talks and is not on hold
// before one that is. Sound and descriptions: hold is the direction that the phone offers from then on, zero c=0.0.0.0
// (RFC 3264, 8.4); sdp puts a description into a provisional response; event is the payload type of telephone-event;
// port, address and contact are where the phone goes on, with its RTP or with its SIP.
//
// What a phone answers by itself is not told: 100, ACK, PRACK (RFC 3262), the credentials for a 401 or 407, 200 to BYE,
// CANCEL, PRACK, OPTIONS and NOTIFY, its own refreshes (RFC 4028) and the 200 to them, all that is repeated. What
// changes or refreshes a call is answered by itself too, with 200, or with 491 where the phone's own change is under way
// (RFC 3261, 14.2; RFC 3311), unless sends CODE to=METHOD has said otherwise before; yet it must be written: sees
// reINVITE, sees UPDATE. So must each NOTIFY of a REFER's progress (RFC 3515) and the status of all that a phone has
// sent by its script, a REGISTER's refusal among them. Of the rest everything must be written where it is seen: between
// the line before and the time of its own line, with Slack on the early side; and voices of people, where they are
// heard, those that speak at once as NAME+NAME. A tag is given the gateway's tag where it is written first, and must be
// equal to it wherever it is written again.
type Story struct {
	File    string
	Config  []byte
	Takers  []Taker
	History []History

	lines   []line
	callers []string // in the order of their first line
	journal []golden
	end     []count
	archive *txtar.Archive
}

// Slack is how much earlier than the line before a line may have come true, and how long after its own line what is
// heard may take.
const Slack = 250 * time.Millisecond

// Taker is a call taker with a phone.
type Taker struct {
	ID         call.TakerID
	Password   string
	Department string
	Digest     string     // MD5 or SHA-256, of the account; empty: the gateway's usual one
	Addr       netip.Addr // of the phone
	Away       bool       // not registered at the start
}

// History is a number's past.
type History struct {
	Number string
	Kind   call.Kind
	Count  int
}

// line is one line of a story.
type line struct {
	no      int // in the file
	at      time.Duration
	who     string
	clauses []clause
}

// golden is what a call's journal must be; name is empty where the story has one call only.
type golden struct {
	no      int
	name    string
	entries []string
}

// count is one KEY=VALUE of the end.
type count struct {
	no         int
	key, value string
}

// theGateway is the gateway's name in a story.
const theGateway = "gateway"

// Fault is one thing wrong in a story's file.
type Fault struct {
	File string
	Line int
	What string
}

// Error is the place and what is wrong there.
func (f *Fault) Error() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What) }

// ParseStory reads a story. The error joins every *Fault.
func ParseStory(file string, data []byte) (*Story, error) {
	p := parser{s: &Story{File: file, archive: txtar.Parse(data)}, sections: map[string]bool{}}
	no := 1 + bytes.Count(p.s.archive.Comment, newline)
	for _, f := range p.s.archive.Files {
		p.section(f.Name, string(f.Data), no)
		no += 1 + bytes.Count(f.Data, newline)
	}
	if len(p.s.lines) == 0 {
		p.fault(no, "there is no line in a section story")
	}
	p.check()
	if err := errors.Join(p.faults...); err != nil {
		return nil, err
	}
	return p.s, nil
}

var newline = []byte{'\n'}

type parser struct {
	s        *Story
	sections map[string]bool
	faults   []error
}

func (p *parser) fault(no int, format string, args ...any) {
	p.faults = append(p.faults, &Fault{p.s.File, no, fmt.Sprintf(format, args...)})
}

// section reads one section; its marker is in line no.
func (p *parser) section(name, text string, no int) {
	if p.sections[name] {
		p.fault(no, "a second section %s", name)
		return
	}
	p.sections[name] = true
	var read func(no int, text string)
	switch name {
	case "config":
		p.s.Config = []byte(text)
		return
	case "takers":
		read = p.taker
	case "history":
		read = p.history
	case "story":
		read = p.line
	case "journal":
		read = p.golden
	case "end":
		read = p.counts
	default:
		p.fault(no, "section %s: want config, takers, history, story, journal or end", name)
		return
	}
	for n, l := range textLines(text) {
		read(no+1+n, l)
	}
}

// textLines are the lines that say something, with their index.
func textLines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n := 0
		for l := range strings.SplitSeq(text, "\n") {
			l = strings.TrimSpace(l)
			if l != "" && !strings.HasPrefix(l, "#") && !yield(n, l) {
				return
			}
			n++
		}
	}
}

func (p *parser) taker(no int, text string) {
	words := strings.Fields(text)
	if len(words) < 2 {
		p.fault(no, "taker %q: want NAME ADDRESS", text)
		return
	}
	t := Taker{ID: call.TakerID(words[0]), Password: "secret-of-" + words[0]}
	if words[0] == theGateway || words[0] == "prompt" || words[0] == "nothing" {
		p.fault(no, "a taker can't be called %s", words[0])
	}
	if p.s.taker(words[0]) != nil {
		p.fault(no, "a second taker %s", words[0])
	}
	addr, err := netip.ParseAddr(words[1])
	if err != nil {
		p.fault(no, "taker %s: %v", words[0], err)
	}
	t.Addr = addr
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "password":
			t.Password = value
		case "department":
			t.Department = value
		case "digest":
			t.Digest = value
		case "away":
			t.Away = true
		default:
			p.fault(no, "taker %s: %s is neither password=, department=, digest= nor away", words[0], w)
		}
	}
	p.s.Takers = append(p.s.Takers, t)
}

func (s *Story) taker(name string) *Taker {
	for i := range s.Takers {
		if string(s.Takers[i].ID) == name {
			return &s.Takers[i]
		}
	}
	return nil
}

// mostHistory bounds a number's past.
const mostHistory = 365

func (p *parser) history(no int, text string) {
	words := strings.Fields(text)
	if len(words) != 3 {
		p.fault(no, "history %q: want NUMBER KIND COUNT", text)
		return
	}
	n, err := strconv.Atoi(words[2])
	if err != nil || n < 1 || n > mostHistory {
		p.fault(no, "history count %q: want 1 to %d", words[2], mostHistory)
		return
	}
	kind := call.Kind(words[1])
	if !slices.Contains(call.Kinds, kind) {
		p.fault(no, "history kind %q: want one of %v", words[1], call.Kinds)
		return
	}
	p.s.History = append(p.s.History, History{words[0], kind, n})
}

func (p *parser) golden(no int, text string) {
	if name, ok := strings.CutPrefix(text, "call "); ok && !strings.Contains(text, "|") {
		p.s.journal = append(p.s.journal, golden{no: no, name: strings.TrimSpace(name)})
		return
	}
	if len(p.s.journal) == 0 {
		p.s.journal = append(p.s.journal, golden{no: no})
	}
	g := &p.s.journal[len(p.s.journal)-1]
	for e := range strings.SplitSeq(text, "|") {
		if e = strings.Join(strings.Fields(e), " "); e != "" {
			g.entries = append(g.entries, e)
		}
	}
}

// endKeys are the counts of the end, in the order in which they are written.
var endKeys = []string{"invites", "ended", "leaves", "live", "legs", "ports", "waited", "talked"}

func (p *parser) counts(no int, text string) {
	for w := range strings.FieldsSeq(text) {
		key, value, ok := strings.Cut(w, "=")
		if !ok || !slices.Contains(endKeys, key) {
			p.fault(no, "end %q: want %s with =", w, strings.Join(endKeys, ", "))
			continue
		}
		p.s.end = append(p.s.end, count{no, key, value})
	}
}

// check holds the lines against each other.
func (p *parser) check() {
	state, last := verbStart, 0
	for _, l := range p.s.lines {
		last = l.no
		for _, c := range l.clauses {
			switch c.verb {
			case verbHurries, verbStalls:
				if want := map[string]string{verbHurries: verbStop, verbStalls: verbStart}[c.verb]; state != want {
					p.fault(l.no, "%s: after %s", c.verb, state)
				}
			case verbKill, verbStop, verbStart:
				if (state == verbStart) == (c.verb == verbStart) {
					p.fault(l.no, "%s: after %s", c.verb, state)
				}
				state = c.verb
			case verbHears:
				p.checkVoice(l.no, c.arg)
			}
		}
	}
	if state == verbKill {
		p.fault(last, "the story ends with a killed gateway: nobody can read its journal; start it again")
	}
	if len(p.s.callers)+len(p.s.Takers) > mostPeople {
		p.fault(last, "more than %d people", mostPeople)
	}
}

// mostPeople is how many callers fit into their network; each has a voice.
const mostPeople = 250

// checkVoice wants prompt, nothing, or names that + joins.
func (p *parser) checkVoice(no int, what string) {
	if what == "prompt" || what == "nothing" {
		return
	}
	for name := range strings.SplitSeq(what, "+") {
		if p.s.taker(name) == nil && !slices.Contains(p.s.callers, name) {
			p.fault(no, "hears %s: nobody of that name is in the story", name)
		}
	}
}
