package store_test

import (
	"slices"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

// What the gateway runs with is an act each time that it changes, over a restart as well.
func TestConfigured(t *testing.T) {
	dir := t.TempDir()
	var acts []string
	for _, with := range []string{"a", "a", "b", "a"} {
		s := open(t, dir, store.Options{Sealed: func(r call.Record) { acts = append(acts, r.Act.What+" "+r.Act.Detail) }})
		if err := s.Configured(t.Context(), with); err != nil {
			t.Fatal(err)
		}
		must(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"configured a", "configured b", "configured a"}; !slices.Equal(acts, want) {
		t.Errorf("%q", acts)
	}
}
