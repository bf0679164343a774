package siptest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

// TestKillCopiesTheData: what a killed gateway writes while it ends is not there at the next start.
func TestKillCopiesTheData(t *testing.T) {
	story := filepath.Join(t.TempDir(), "kill.txtar")
	text := "-- config --\nsip: {answer: taker}\nnode: other\n-- takers --\nt1 10.0.1.1\n-- history --\n+6281 prank 3\n+6282 silent 1\n" +
		"-- story --\n0s ani INVITE 112\n+50ms ani sees 200\n+0s t1 sees INVITE\n1s gateway kill\n2s gateway start\n" +
		"3s ani dies\n+0s t1 sends 486\n4s gateway stop\n5s gateway start\n"
	if err := os.WriteFile(story, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var settings []siptest.Setting
	siptest.RunStory(t, story, func(t *testing.T, s siptest.Setting) siptest.Gateway {
		t.Helper()
		settings = append(settings, s)
		g := &dying{fakeGateway(t, s), s.Data}
		note(t, s.Data, "started")
		return g
	}, false)
	if len(settings) != 3 {
		t.Fatalf("%d starts, want 3", len(settings))
	}
	first, second, third := settings[0], settings[1], settings[2]
	if first.Again || !second.Again || second.Data == first.Data || third.Data != second.Data {
		t.Errorf("settings %+v", settings)
	}
	names, err := os.ReadDir(second.Data)
	if err != nil || len(names) != 1 || names[0].Name() != "started" {
		t.Errorf("data at the second start: %v, %v", names, err)
	}
	config := string(first.Config)
	for _, want := range []string{"answer: taker", "realm: siaga112", "node: other", "data: " + first.Data, "max_delay: 30s"} {
		if !strings.Contains(config, want) {
			t.Errorf("no %q in the configuration:\n%s", want, config)
		}
	}
	var past []string
	for _, c := range first.History {
		past = append(past, c.At.Format("01-02 15:04 ")+c.Caller.Number+" "+string(c.Kind))
	}
	want := []string{"12-29 00:00 +6281 prank", "12-30 00:00 +6281 prank", "12-31 00:00 +6281 prank", "12-31 00:01 +6282 silent"}
	if diff := cmp.Diff(want, past); diff != "" {
		t.Error(diff)
	}
}

// dying writes something while it is killed.
type dying struct {
	siptest.Gateway
	data string
}

func (d *dying) Kill() {
	d.Gateway.Kill()
	_ = os.WriteFile(filepath.Join(d.data, "last words"), nil, 0o600)
}

func note(t *testing.T, folder, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCompact: every event has its words.
func TestCompact(t *testing.T) {
	for want, ev := range map[string]call.Event{
		"arrived 0 +6281 claimed called=113 priority=emergency test reject=404": call.Arrived{
			Called: "113", Priority: "emergency", Test: true, Reject: 404, Caller: call.Caller{Number: "+6281", Trust: call.Claimed},
		},
		"arrived 0 withheld none":       call.Arrived{Called: "112", Caller: call.Caller{Trust: call.None}},
		"scored unknown":                call.Scored{P: -1},
		"scored 0.93 delay=30s":         call.Scored{P: 0.934, Delay: 30 * time.Second},
		"scored 0.50":                   call.Scored{P: 0.5},
		"queued 112 passed=2":           call.Queued{Queue: "112", Passed: 2},
		"offered 1 t1":                  call.Offered{Leg: 1, To: call.Party{Taker: "t1"}, For: "answer"},
		"offered 2 sip:a for duty":      call.Offered{Leg: 2, To: call.Party{URI: "sip:a"}, For: "duty"},
		"rang 1":                        call.Rang{Leg: 1},
		"answered 0":                    call.Answered{},
		"role 0 talking":                call.RoleSet{Role: call.Talking},
		"heard 0 dtmf:1":                call.Heard{What: "dtmf:1"},
		"left 1 node":                   call.Left{Leg: 1, By: "node", Code: 487},
		"left 1 taker 486":              call.Left{Leg: 1, By: "taker", Code: 486},
		"left 0 caller Q.850;cause=16":  call.Left{By: "caller", Reason: "Q.850;cause=16"},
		"left 2 taker 486 SIP;text=a/b": call.Left{Leg: 2, By: "taker", Code: 486, Reason: "SIP;text=a|b"},
		"restored":                      call.Restored{Node: "n"},
		"ended answered":                call.Ended{Outcome: call.WasAnswered},
		"classified prank":              call.Classified{By: "t1", Kind: call.Prank},
		"taker t1 ready":                call.TakerChanged{Taker: "t1", State: call.Ready},
		"acted export":                  call.Acted{What: "export"},
	} {
		if got := siptest.CompactEntry(call.Entry{N: 7, Event: ev}); got != "7 "+want {
			t.Errorf("got %q, want %q", got, "7 "+want)
		}
	}
}

// TestUpdateWritesJournalAndEnd: the rest of the file stays as it is, and the story then passes.
func TestUpdateWritesJournalAndEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "story.txtar")
	before := "# About.\n-- takers --\n# nobody\n-- story --\n0s ani INVITE 113\n+50ms ani sees 404\n"
	if err := os.WriteFile(file, []byte(before+"-- end --\nlive=7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	siptest.RunStory(t, file, fakeGateway, true)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := before + "-- journal --\n1 arrived 0 withheld none called=113 reject=404 | 2 left 0 caller | 3 ended rejected\n" +
		"-- end --\ninvites=1 ended=1 leaves=1 live=0 legs=0 ports=0 waited=0.0s talked=0.0s\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	siptest.RunStory(t, file, fakeGateway, false)
}
