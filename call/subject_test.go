package call_test

import (
	"testing"

	"github.com/siaga112/siaga112/call"
)

// What begins a subject and what seals it depends on its kind.
func TestBeginsAndSeals(t *testing.T) {
	off := call.TakerChanged{State: call.Off}
	for _, c := range []struct {
		of            call.ID
		ev            call.Event
		begins, seals bool
	}{
		{"c1", call.Arrived{}, true, false},
		{"s1", call.Arrived{}, false, false},
		{"c1", call.Ended{}, false, true},
		{"s1", call.Ended{}, false, false},
		{"s1", call.TakerChanged{State: call.Ready}, true, false},
		{"s1", off, true, true},
		{"c1", off, false, false},
		{"a1", call.Acted{}, true, true},
		{"c1", call.Acted{}, false, false},
		{"c1", call.Left{}, false, false},
	} {
		e := call.Entry{Of: c.of, Event: c.ev}
		if e.Begins() != c.begins || e.Seals() != c.seals {
			t.Errorf("%s %T: begins %t, seals %t", c.of, c.ev, e.Begins(), e.Seals())
		}
	}
}
