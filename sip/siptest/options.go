package siptest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

// fields are the words of a text; a space between double quotes divides nothing, and the quotes go.
func fields(text string) ([]string, error) {
	if strings.Count(text, `"`)%2 != 0 {
		return nil, errors.New(`a " is missing`)
	}
	var all []string
	for w := range quoted(strings.ReplaceAll(text, "\t", " "), ' ') {
		if w != "" {
			all = append(all, strings.ReplaceAll(w, `"`, ""))
		}
	}
	return all, nil
}

// flags are the options that may stand alone.
var flags = []string{"rel", "sdp", "refreshes"}

// option reads KEY=VALUE or a flag.
func (c *clause) option(word string, known []string) error {
	key, value, ok := strings.Cut(word, "=")
	if !slices.Contains(known, key) || ok == (value == "") || !ok && !slices.Contains(flags, key) {
		return fmt.Errorf("%q is not understood", word)
	}
	if !ok {
		value = "yes"
	}
	if want := wrong(key, value); want != "" {
		return fmt.Errorf("%s=%s: want %s", key, value, want)
	}
	c.options[key] = value
	return nil
}

// words are the values of the options that have few.
var words = map[string][]string{
	"100rel":    {"supported", "required"},
	"timer":     {"supported", "required"},
	"prack":     {"no"},
	"offer":     {"none"},
	"refresher": {theUAC, theUAS},
	"refreshes": {"yes", "no", verbReinvite, verbUpdate},
	"peer":      {"rfc2543"},
	"form":      {string(Compact), string(Folded)},
	"hold":      {sendonly, inactive, "zero", sendrecv},
	"port":      {"new"},
	"contact":   {"new"},
	"rel":       {"yes", "no"},
	"sdp":       {"yes"},
	"media":     {sendrecv, sendonly, recvonly, inactive, "none"},
}

// wrong tells what an option wants instead of its value; "" where it is good.
func wrong(key, value string) string {
	if list := words[key]; list != nil {
		if !slices.Contains(list, value) {
			return strings.Join(list, ", ")
		}
		return ""
	}
	n, err := strconv.Atoi(value)
	switch key {
	case "session-expires", "min-se", "expires":
		if err != nil || n < 1 || n > int(longest/time.Second) {
			return "seconds"
		}
	case "event":
		if err != nil || n < 96 || n > 127 {
			return "a payload type from 96 to 127"
		}
	case "contacts":
		if err != nil || n < 1 || n > 10 {
			return "1 to 10"
		}
	case "cause", "q850":
		if err != nil || n < 0 {
			return "a number"
		}
	case "address":
		if _, err := netip.ParseAddr(value); err != nil {
			return "an address"
		}
	case "to":
		if value != verbReinvite && value != strings.ToUpper(value) {
			return "reINVITE or a METHOD"
		}
	case "header":
		if name, _, ok := strings.Cut(value, ":"); !ok || name == "" {
			return `"NAME: VALUE"`
		}
	}
	return ""
}

// check holds the options against each other.
func (c *clause) check(taker bool) error {
	if c.verb != verbInvite {
		return nil
	}
	from, trust := c.options["from"], call.Trust(c.options["trust"])
	if taker && (from != "" || trust != "") {
		return errors.New("a call taker calls under the own name: leave from= and trust= out")
	}
	switch trust {
	case "":
	case call.Asserted, call.Claimed:
		if from == "" {
			return fmt.Errorf("trust=%s wants from=NUMBER", trust)
		}
	case call.None:
		if from != "" {
			return errors.New("trust=none is a caller without a number: leave from= out")
		}
	default:
		return fmt.Errorf("trust=%s: want asserted, claimed or none", trust)
	}
	return nil
}

// caller is who calls: asserted unless the story says otherwise, withheld without a number.
func (c *clause) caller() call.Caller {
	who := call.Caller{Number: c.options["from"], Trust: call.Trust(c.options["trust"])}
	if who.Trust == "" {
		who.Trust = call.Asserted
	}
	if who.Number == "" {
		who.Trust = call.None
	}
	return who
}

// number is an option that is one; 0 where it is not there.
func (c *clause) number(key string) int {
	n, _ := strconv.Atoi(c.options[key])
	return n
}

func (c *clause) seconds(key string) time.Duration { return time.Duration(c.number(key)) * time.Second }

// list is an option of which there is none or one.
func (c *clause) list(key string) []string {
	if v := c.options[key]; v != "" {
		return []string{v}
	}
	return nil
}

func (c *clause) timer() Timer {
	return Timer{
		Expires: c.seconds("session-expires"), Min: c.seconds("min-se"), Refresher: c.options["refresher"],
		Extension: c.options["timer"], Update: c.options["refreshes"] == verbUpdate, Never: c.options["refreshes"] == "no",
	}
}

func (c *clause) invite() Invite {
	i := Invite{
		Number: c.arg, From: c.caller(), Priority: c.options["priority"], Password: c.options["password"],
		Headers: c.list("header"), NoOffer: c.options["offer"] == "none",
		Reliable: c.options["100rel"], NoPrack: c.options["prack"] == "no", Timer: c.timer(),
		Old: c.options["peer"] != "", Form: Form(c.options["form"]),
	}
	return i
}

func (c *clause) change() Change {
	ch := Change{
		Update: c.verb == verbUpdate, NoOffer: c.options["offer"] == "none", Hold: c.options["hold"],
		Port: c.options["port"] != "", Contact: c.options["contact"] != "", Event: uint8(c.number("event")),
	}
	ch.Addr, _ = netip.ParseAddr(c.options["address"])
	return ch
}

func (c *clause) response() Response {
	return Response{
		Code: c.code, Reliable: c.options["rel"] == "yes", Described: c.options["sdp"] != "", Timer: c.timer(),
		Reason: c.options["reason"],
	}
}

// method is the method that to= names.
func (c *clause) method() string { return strings.TrimPrefix(c.options["to"], "re") }

// differs holds what was seen against the options that say more of it.
func (c *clause) differs(e Event) error {
	expires, refresher := time.Duration(0), ""
	if e.message != nil {
		expires, refresher = expiresOf(e.message)
	}
	media, rel := e.Media.Direction, "no"
	if media == "" {
		media = "none"
	}
	if e.Reliable {
		rel = "yes"
	}
	for _, is := range []struct{ key, got string }{
		{"cause", strconv.Itoa(e.Cause)},
		{"q850", strconv.Itoa(e.Q850)},
		{"rel", rel},
		{"media", media},
		{"event", strconv.Itoa(int(e.Media.Event))},
		{"session-expires", seconds(expires)},
		{"refresher", refresher},
	} {
		if want := c.options[is.key]; want != "" && want != is.got {
			return fmt.Errorf("want %s=%s, got %s", is.key, want, is.got)
		}
	}
	for key, want := range map[string]bool{"has": true, "lacks": false} {
		if v := c.options[key]; v != "" && e.says(v) != want {
			name, _, _ := strings.Cut(v, ":")
			return fmt.Errorf("%s=%s: its %s is %q", key, v, name, e.Header(name))
		}
	}
	return nil
}

// says tells whether the message has a header of that NAME, with that text in it where it is NAME:TEXT.
func (e Event) says(what string) bool {
	name, text, _ := strings.Cut(what, ":")
	return slices.ContainsFunc(e.Header(name), func(value string) bool {
		return strings.Contains(strings.ToLower(value), strings.ToLower(strings.TrimSpace(text)))
	})
}
