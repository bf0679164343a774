package config

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

func (r *reader) store(key string, n ast.Node) {
	s := &r.cfg.Store
	r.mapping(key, n, []field{
		{"retention", func(k string, n ast.Node) {
			r.mapping(k, n, []field{{"records", func(k string, n ast.Node) { set(&s.Retention.Records)(r.age(k, n)) }}})
		}},
		{"night", func(k string, n ast.Node) { set(&s.Night)(r.hour(k, n)) }},
		{"free_space", func(k string, n ast.Node) { set(&s.FreeSpace)(r.bytes(k, n, 1<<20)) }},
		{"reserve", func(k string, n ast.Node) { set(&s.Reserve)(r.bytes(k, n, 0)) }},
	})
}

var (
	agePattern   = regexp.MustCompile(`^([1-9][0-9]{0,4})([dy])$`)
	bytesPattern = regexp.MustCompile(`^([0-9]{1,6})(MB|GB)$`)
)

// age reads days or years; 0 is for ever.
func (r *reader) age(key string, n ast.Node) (Age, bool) {
	const want = "want days or years, as 90d or 5y, or 0 for ever"
	if i, ok := n.(*ast.IntegerNode); ok {
		if fmt.Sprint(i.Value) == "0" {
			return Age{}, true
		}
		r.faultAt(n, key, fmt.Sprintf("%v has no unit", i.Value), want)
		return Age{}, false
	}
	s, ok := r.text(key, n, "5y")
	if !ok {
		return Age{}, false
	}
	if s == "0" {
		return Age{}, true
	}
	m := agePattern.FindStringSubmatch(s)
	if m == nil {
		r.faultAt(n, key, fmt.Sprintf("%q is no age", s), want)
		return Age{}, false
	}
	number, err := strconv.Atoi(m[1])
	if err != nil || m[2] == "y" && number > 999 {
		r.faultAt(n, key, fmt.Sprintf("%q is no age", s), want)
		return Age{}, false
	}
	if m[2] == "y" {
		return Age{Years: number}, true
	}
	return Age{Days: number}, true
}

// hour reads a time of the day.
func (r *reader) hour(key string, n ast.Node) (Hour, bool) {
	s, ok := r.text(key, n, `"03:00"`)
	if !ok {
		return Hour{}, false
	}
	at, err := time.Parse("15:04", s)
	if err != nil {
		r.faultAt(n, key, fmt.Sprintf("%q is no time of the day", s), `want HH:MM in quotes: "03:00"`)
		return Hour{}, false
	}
	return Hour{Hour: at.Hour(), Minute: at.Minute()}, true
}

// bytes reads a size on the disk.
func (r *reader) bytes(key string, n ast.Node, least uint64) (uint64, bool) {
	const want = "want a size in MB or GB, as 200MB"
	if _, ok := n.(*ast.IntegerNode); ok {
		r.faultAt(n, key, "has no unit", want)
		return 0, false
	}
	s, ok := r.text(key, n, "200MB")
	if !ok {
		return 0, false
	}
	m := bytesPattern.FindStringSubmatch(s)
	if m == nil {
		r.faultAt(n, key, fmt.Sprintf("%q is no size", s), want)
		return 0, false
	}
	number, err := strconv.ParseUint(m[1], 10, 64)
	size := number << 20
	if m[2] == "GB" {
		size = number << 30
	}
	if err != nil || size < least {
		r.faultAt(n, key, s+" is too little", fmt.Sprintf("want at least %dMB", least>>20))
		return 0, false
	}
	return size, true
}
