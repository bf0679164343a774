package siptest_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

var start2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func foldAll(es []call.Entry) call.Record { return call.Fold(slices.Values(es)) }

func comparePeople(a, b siptest.Person) bool { return a == b }

func TestPopulation(t *testing.T) {
	people := siptest.Population(7, 1000)
	if diff := cmp.Diff(people, siptest.Population(7, 1000), cmp.Comparer(comparePeople)); diff != "" {
		t.Errorf("the same seed made others: %s", diff)
	}
	if slices.Equal(people, siptest.Population(8, 1000)) {
		t.Error("another seed made the same")
	}
	fictional := regexp.MustCompile(`^\+628\d{2}5550\d{3}$`)
	seen := map[string]bool{}
	count := map[siptest.Profile]int{}
	for _, p := range people {
		count[p.Profile]++
		if p.Profile == siptest.Withheld {
			if p.Caller.Number != "" || p.Caller.Trust != call.None {
				t.Errorf("withheld: %+v", p.Caller)
			}
			continue
		}
		if !fictional.MatchString(p.Caller.Number) || seen[p.Caller.Number] {
			t.Errorf("number %s", p.Caller.Number)
		}
		seen[p.Caller.Number] = true
	}
	want := map[siptest.Profile]int{
		siptest.Prankster: 100, siptest.Silent: 100, siptest.Withheld: 100, siptest.Newcomer: 200, siptest.Genuine: 500,
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
	if got := len(siptest.Population(1, siptest.MostPeople+5)); got != siptest.MostPeople {
		t.Errorf("%d people", got)
	}
}

func TestPastOfProfiles(t *testing.T) {
	people := siptest.Population(7, 100)
	past := siptest.Past(people, start2000, 30, 7)
	kinds := map[string]map[call.Kind]int{}
	for i, c := range past {
		if i > 0 && c.At.Before(past[i-1].At) {
			t.Fatal("not in order of time")
		}
		if kinds[c.Caller.Number] == nil {
			kinds[c.Caller.Number] = map[call.Kind]int{}
		}
		kinds[c.Caller.Number][c.Kind]++
	}
	for _, p := range people {
		got := kinds[p.Caller.Number]
		switch p.Profile {
		case siptest.Prankster:
			if got[call.Prank] < 10 || got[call.Emergency] > 0 {
				t.Errorf("prankster: %v", got)
			}
		case siptest.Silent:
			if got[call.Silent] < 3 {
				t.Errorf("silent: %v", got)
			}
		case siptest.Newcomer:
			if len(got) > 0 {
				t.Errorf("newcomer: %v", got)
			}
		case siptest.Genuine:
			if got[call.Prank] > 0 {
				t.Errorf("genuine: %v", got)
			}
		case siptest.Withheld:
		}
	}
	if got := siptest.Prankster.String() + siptest.Profile(9).String(); got != "pranksterprofile(9)" {
		t.Error(got)
	}
}
