package main

import (
	"slices"
	"testing"

	"github.com/siaga112/siaga112/call"
)

// Which legs of a call a start looks for; a call that has none left but has not ended is taken up all the same.
func TestOpenLegs(t *testing.T) {
	arrived, offered := call.Arrived{Trunk: "telkom"}, call.Offered{Leg: 3}
	left := func(n call.Leg) call.Event { return call.Left{Leg: n} }
	for name, tt := range map[string]struct {
		events []call.Event
		legs   []call.Leg
		ended  bool
	}{
		"a caller":              {[]call.Event{arrived}, []call.Leg{0}, false},
		"and a phone":           {[]call.Event{arrived, offered, call.Rang{Leg: 3}}, []call.Leg{3, 0}, false},
		"the phone has left":    {[]call.Event{arrived, offered, left(3)}, []call.Leg{0}, false},
		"the caller has left":   {[]call.Event{arrived, offered, left(0)}, []call.Leg{3}, false},
		"all have, its end due": {[]call.Event{arrived, offered, left(0), left(3)}, nil, false},
		"it has ended":          {[]call.Event{arrived, left(0), call.Ended{}}, nil, true},
		"no caller":             {[]call.Event{offered}, []call.Leg{3}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var es []call.Entry
			for i, ev := range tt.events {
				es = append(es, call.Entry{N: uint32(i + 1), Event: ev})
			}
			legs, ended := openLegs(es)
			if !slices.Equal(legs, tt.legs) || ended != tt.ended {
				t.Errorf("%v, ended %t; want %v, %t", legs, ended, tt.legs, tt.ended)
			}
		})
	}
}
