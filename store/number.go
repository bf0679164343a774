package store

import (
	"slices"
	"strings"
)

// shortestForm is how many digits a number needs to be looked for in texts: a shorter one is found everywhere.
const shortestForm = 6

// country is Indonesia's code: a number is dialed with it, or with a 0 in its place.
const country = "62"

// notations are how trunks may deliver a number: as it is, and in the other forms that the same line has in Indonesia. A hold of
// one is a hold of all; an erasure is of the one that was named, and tells of calls of the others.
func notations(number string) []string {
	rest, ok := strings.CutPrefix(number, "+"+country)
	for _, prefix := range []string{"00" + country, country, "0"} {
		if !ok {
			rest, ok = strings.CutPrefix(number, prefix)
		}
	}
	if !ok || len(rest) < shortestForm-1 || strings.Trim(rest, "0123456789") != "" || rest[0] == '0' {
		return []string{number}
	}
	all := []string{"+" + country + rest, country + rest, "0" + rest, "00" + country + rest}
	return append([]string{number}, slices.DeleteFunc(all, func(n string) bool { return n == number })...)
}

// forms are how a number may stand in a text, without a plus. None for "", and none that is too short.
func forms(number string) []string {
	var out []string
	for _, n := range notations(number) {
		if n = strings.TrimPrefix(n, "+"); len(n) >= shortestForm && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// names tells whether a text has the number in one of its forms: not as a part of a longer number, but perhaps in groups,
// with a space or a hyphen between them.
func names(text []byte, forms []string) bool {
	for _, f := range forms {
		for i := range text {
			if text[i] == f[0] && (i == 0 || !isDigit(text[i-1])) && standsAt(text[i:], f) {
				return true
			}
		}
	}
	return false
}

// standsAt tells whether the text begins with the form, and the number ends there.
func standsAt(text []byte, form string) bool {
	// What is written in groups is longer than a date.
	const grouped = 9
	at := 0
	for i := range len(form) {
		if i > 0 && len(form) >= grouped && at < len(text) && (text[at] == ' ' || text[at] == '-') {
			at++
		}
		if at == len(text) || text[at] != form[i] {
			return false
		}
		at++
	}
	return at == len(text) || !isDigit(text[at])
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
