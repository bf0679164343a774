package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// reader walks the syntax tree into cfg and collects what is wrong.
type reader struct {
	file   string
	cfg    *Config
	faults Faults
	at     map[string]int // the line of each known key and list element that stands in the file

	// What check holds against each other, with where it stands.
	listens []placed[Listen]
	nets    [][]placed[netip.Prefix] // by trunk
}

// placed is a value and its key.
type placed[T any] struct {
	key   string
	value T
}

// field is one known key of a mapping.
type field struct {
	name string
	read func(key string, n ast.Node)
}

func (r *reader) fault(line int, key, wrong, right string) {
	r.faults = append(r.faults, Fault{File: r.file, Line: line, Key: key, Wrong: wrong, Right: right})
}

// faultAt is fault at the node's line.
func (r *reader) faultAt(n ast.Node, key, wrong, right string) { r.fault(lineOf(n), key, wrong, right) }

// fine tells that nothing was wrong with the key, above it or below it: what it gave can be held against others.
func (r *reader) fine(key string) bool {
	return !slices.ContainsFunc(r.faults, func(f Fault) bool { return within(f.Key, key) || within(key, f.Key) })
}

// within tells that the key is the other one or stands below it.
func within(key, other string) bool {
	rest, ok := strings.CutPrefix(key, other)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// lineOf is the node's line, from 1; 0 where the parser does not know.
func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// kindOf says in words what a node is.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "is a group of keys"
	case *ast.SequenceNode:
		return "is a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "is text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "is a number"
	case *ast.BoolNode:
		return "is true or false"
	case *ast.NullNode, nil:
		return "has no value"
	}
	return "uses a YAML tag, anchor, alias or directive, which this file does not know"
}

// wrongType says that the node is not what the key needs.
func (r *reader) wrongType(key string, n ast.Node, want string) {
	r.faultAt(n, key, kindOf(n), "want "+want)
}

// mapping reads a group of keys: each known one once, every other is a fault.
func (r *reader) mapping(key string, n ast.Node, fields []field) bool {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		r.wrongType(key, n, "keys under it: "+strings.Join(names(fields), ", "))
		return false
	}
	seen := map[string]int{}
	for _, v := range values {
		name, ok := v.Key.(*ast.StringNode)
		if !ok {
			r.faultAt(v.Key, key, fmt.Sprintf("%q is no key", v.Key.GetToken().Value), oneOf(names(fields)))
			continue
		}
		path := join(key, name.Value)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name.Value })
		first, again := seen[name.Value]
		switch {
		case i < 0:
			r.fault(lineOf(v.Key), path, "is an unknown key", meant(key, name.Value, names(fields)))
		case again:
			r.fault(lineOf(v.Key), path, fmt.Sprintf("stands here a second time, first in line %d", first), "keep one of the two")
		default:
			seen[name.Value] = lineOf(v.Key)
			r.at[path] = lineOf(v.Key)
			fields[i].read(path, v.Value)
		}
	}
	return true
}

// list reads a list of at least one element.
func (r *reader) list(key string, n ast.Node, example string, read func(key string, n ast.Node)) {
	s, ok := n.(*ast.SequenceNode)
	switch {
	case !ok:
		r.wrongType(key, n, "a list: "+example)
	case len(s.Values) == 0:
		r.faultAt(n, key, "is an empty list", "want at least one: "+example)
	default:
		for i, v := range s.Values {
			path := fmt.Sprintf("%s[%d]", key, i)
			r.at[path] = lineOf(v)
			read(path, v)
		}
	}
}

// text reads text; example is shown where it is something else.
func (r *reader) text(key string, n ast.Node, example string) (string, bool) {
	var s string
	switch v := n.(type) {
	case *ast.StringNode:
		s = v.Value
	case *ast.LiteralNode:
		r.faultAt(n, key, "is text of several lines", "want one line: "+example)
		return "", false
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		r.faultAt(n, key, kindOf(n), fmt.Sprintf("want text, in quotes: %q", n.GetToken().Value))
		return "", false
	default:
		r.wrongType(key, n, "text: "+example)
		return "", false
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.faultAt(n, key, fmt.Sprintf("%q has a control character", s), "want plain text: "+example)
		return "", false
	}
	return s, true
}

// word reads a name for records, logs and headers.
func (r *reader) word(key string, n ast.Node, example string) (string, bool) {
	s, ok := r.text(key, n, example)
	if !ok {
		return "", false
	}
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}
	if s == "" || len(s) > 63 || strings.ContainsFunc(s, odd) {
		r.faultAt(n, key, fmt.Sprintf("%q is no name", s), "want 1 to 63 letters, digits, - and _: "+example)
		return "", false
	}
	return s, true
}

// integer reads a whole number in decimal.
func (r *reader) integer(key string, n ast.Node, least int) (int, bool) {
	want := fmt.Sprintf("want a whole number, %d or more", least)
	if s, ok := n.(*ast.StringNode); ok {
		if _, err := strconv.Atoi(s.Value); err == nil {
			r.faultAt(n, key, kindOf(n), "want it without quotes: "+s.Value)
			return 0, false
		}
	}
	if _, ok := n.(*ast.IntegerNode); !ok {
		r.faultAt(n, key, kindOf(n), want)
		return 0, false
	}
	raw := n.GetToken().Value
	i, err := strconv.Atoi(raw)
	if err != nil || i < least {
		r.faultAt(n, key, raw+" is out of range", want)
		return 0, false
	}
	return i, true
}

// duration reads a time span with its unit, from least to most.
func (r *reader) duration(key string, n ast.Node, least, most time.Duration) (time.Duration, bool) {
	want := fmt.Sprintf("want %s to %s, as 10s or 1m30s", short(least), short(most))
	if i, ok := n.(*ast.IntegerNode); ok {
		r.faultAt(n, key, i.GetToken().Value+" has no unit", "want "+i.GetToken().Value+"s if seconds are meant")
		return 0, false
	}
	if _, ok := n.(*ast.StringNode); !ok {
		r.faultAt(n, key, kindOf(n), want)
		return 0, false
	}
	s, ok := r.text(key, n, "10s")
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.faultAt(n, key, fmt.Sprintf("%q is no duration", s), want)
	case d < 0:
		r.faultAt(n, key, s+" is negative", want)
	case d < least || d > most:
		r.faultAt(n, key, s+" is out of range", want)
	default:
		return d, true
	}
	return 0, false
}

// short is a duration without its empty units: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// choice reads one of the words.
func choice[T ~string](r *reader, key string, n ast.Node, words ...T) (T, bool) {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	s, ok := r.text(key, n, strings.Join(all, " or "))
	if !ok {
		return "", false
	}
	if !slices.Contains(all, s) {
		r.faultAt(n, key, fmt.Sprintf("%q is unknown", s), oneOf(all))
		return "", false
	}
	return T(s), true
}

// prefix reads a network.
func (r *reader) prefix(key string, n ast.Node) (netip.Prefix, bool) {
	s, ok := r.text(key, n, "10.20.0.0/24")
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		right := "want ADDRESS/BITS, as 10.20.0.0/24"
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
			a = a.Unmap()
			right = fmt.Sprintf("want %s/%d for this one address", a, a.BitLen())
		}
		r.faultAt(n, key, fmt.Sprintf("%q is no network", s), right)
	case p.Addr().Is4In6():
		r.faultAt(n, key, s+" is an IPv4 network written as IPv6", "want it as 10.20.0.0/24")
	case p != p.Masked():
		r.faultAt(n, key, s+" has bits beyond its length",
			fmt.Sprintf("want %s for the network or %s/%d for the one address", p.Masked(), p.Addr(), p.Addr().BitLen()))
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// names are the keys of a mapping.
func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

// join is the path of a key under another.
func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// oneOf offers the words that would be right.
func oneOf(words []string) string { return "want one of " + strings.Join(words, ", ") }

// meant is what the author of an unknown key may have meant.
func meant(under, name string, known []string) string {
	if n := nearest(name, known); n != "" {
		return "did you mean " + n + "?"
	}
	if i := slices.IndexFunc(allKeys, func(k string) bool { return strings.HasSuffix(k, "."+name) || k == name }); i >= 0 {
		return "it belongs elsewhere: " + allKeys[i]
	}
	if under == "" {
		return "the keys here are " + strings.Join(known, ", ")
	}
	return "the keys of " + under + " are " + strings.Join(known, ", ")
}
