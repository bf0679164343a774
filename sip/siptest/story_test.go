package siptest_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

var update = flag.Bool("update", false, "write the stories' journals and ends anew")

func fakeGateway(t *testing.T, s siptest.Setting) siptest.Gateway {
	t.Helper()
	f, err := newFake(s.Net, s.Addr, s.Takers)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { siptest.RunStory(t, f, fakeGateway, *update) })
	}
}

// TestStoriesOfTheProject reads those that the gateway itself is tested with.
func TestStoriesOfTheProject(t *testing.T) {
	files, err := filepath.Glob("../../testdata/calls/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := siptest.ParseStory(f, data); err != nil {
			t.Error(err)
		}
	}
}

func TestParseFaults(t *testing.T) {
	data := `# A story with everything wrong.
-- config --
-- takers --
t1
t1 10.0.1.1 color=red
t1 10.0.1.300
gateway 10.0.1.2
-- history --
+62811 prank
+62811 funny 3
+62811 prank 1000
-- story --
now caller INVITE 112
1s caller
0s caller INVITE 112 from=+62811 trust=none
2s caller INVITE 112 trust=asserted
2s caller INVITE 11@2; INVITE 112 color=red; classifies prank; jumps
1s caller sees 200
2s t1 INVITE 112 from=+62811
2s t1 sends 42; sends; sees nobody; hears somebody; says nothing; classifies funny; presses 12
2s gateway sends 200; start
2s t1 sends 200; sees CANCEL
2s gateway kill
48h caller BYE;
-- end --
calls=3 live
-- what --
-- end --
`
	want := []string{
		`x.txtar:4: taker "t1": want NAME ADDRESS`,
		`x.txtar:5: taker t1: color=red is neither password=, department=, digest= nor away`,
		`x.txtar:6: a second taker t1`,
		`x.txtar:6: taker t1: ParseAddr("10.0.1.300"): IPv4 field has value >255`,
		`x.txtar:7: a taker can't be called gateway`,
		`x.txtar:9: history "+62811 prank": want NUMBER KIND COUNT`,
		`x.txtar:10: history kind "funny": want one of [emergency complaint information prank silent wrong-number disconnected test]`,
		`x.txtar:11: history count "1000": want 1 to 365`,
		`x.txtar:13: time "now": want a duration from the start as 8s, or from the line before as +50ms`,
		`x.txtar:14: "1s caller": want TIME WHO VERB`,
		`x.txtar:15: INVITE 112 from=+62811 trust=none: trust=none is a caller without a number: leave from= out`,
		`x.txtar:16: INVITE 112 trust=asserted: trust=asserted wants from=NUMBER`,
		`x.txtar:17: INVITE 11@2: "11@2" is no number`,
		`x.txtar:17: INVITE 112 color=red: "color=red" is not understood`,
		`x.txtar:17: classifies prank: caller can't do that`,
		`x.txtar:17: jumps: no such verb`,
		`x.txtar:18: 1s is before the line before, at 2s`,
		`x.txtar:19: INVITE 112 from=+62811: a call taker calls under the own name: leave from= and trust= out`,
		`x.txtar:20: sends 42: want a status from 101 to 699`,
		`x.txtar:20: sends: what?`,
		`x.txtar:20: sees nobody: want a METHOD, reINVITE, NOTIFY=STATUS, a status, no-answer, no-ack, no-prack, expired or nothing`,
		`x.txtar:20: says nothing: want a duration as 1s`,
		`x.txtar:20: classifies funny: want one of [emergency complaint information prank silent wrong-number disconnected test]`,
		`x.txtar:20: presses 12: want one of 0123456789*#ABCD`,
		`x.txtar:21: sends 200: gateway can't do that`,
		`x.txtar:22: sees CANCEL: what is seen after something was done belongs into a line of its own`,
		`x.txtar:24: time "48h": want a duration from the start as 8s, or from the line before as +50ms`,
		`x.txtar:26: end "calls=3": want invites, ended, leaves, live, legs, ports, waited, talked with =`,
		`x.txtar:26: end "live": want invites, ended, leaves, live, legs, ports, waited, talked with =`,
		`x.txtar:27: section what: want config, takers, history, story, journal or end`,
		`x.txtar:28: a second section end`,
		`x.txtar:20: hears somebody: nobody of that name is in the story`,
		`x.txtar:21: start: after start`,
		`x.txtar:23: the story ends with a killed gateway: nobody can read its journal; start it again`,
	}
	_, err := siptest.ParseStory("x.txtar", []byte(data))
	if _, ok := errors.AsType[*siptest.Fault](err); !ok {
		t.Fatalf("ParseStory: %v, want a *Fault", err)
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
	if _, err := siptest.ParseStory("x.txtar", nil); err == nil {
		t.Error("an empty story has no fault")
	}
}

// TestOptionFaults: an option that is misspelled, misplaced or senseless is a fault of its line.
func TestOptionFaults(t *testing.T) {
	for clause, want := range map[string]string{
		"INVITE 112 100rel=maybe":             "100rel=maybe: want supported, required",
		"INVITE 112 header=Require":           `header=Require: want "NAME: VALUE"`,
		"INVITE 112 peer=rfc3261":             "peer=rfc3261: want rfc2543",
		"INVITE 112 prack":                    `"prack" is not understood`,
		"INVITE 112 hold=zero":                `"hold=zero" is not understood`,
		"INVITE 112 trust=asserted":           "a call taker calls under the own name: leave from= and trust= out",
		"reINVITE hold=on":                    "hold=on: want sendonly, inactive, zero, sendrecv",
		"reINVITE port=7":                     "port=7: want new",
		"UPDATE event=8":                      "event=8: want a payload type from 96 to 127",
		"UPDATE address=here":                 "address=here: want an address",
		"holds hold=zero":                     `"hold=zero" is not understood`,
		"REFER":                               "what?",
		"REFER a@b":                           `"a@b" is no number`,
		"sends 200 rel=":                      `"rel=" is not understood`,
		"sends 180 loud":                      `"loud" is not understood`,
		"sends 200 refresher=me":              "refresher=me: want uac, uas",
		"sends 491 to=Reinvite":               "to=Reinvite: want reINVITE or a METHOD",
		"sees NOTIFY=42":                      "want a status from 100 to 699 after NOTIFY=",
		"sees BYE q850=x":                     "q850=x: want a number",
		"sees 200 media=here":                 "media=here: want sendrecv, sendonly, recvonly, inactive, none",
		`sees 422 has="a; b" min-se=90`:       `"min-se=90" is not understood`,
		"sees 200 session-expires=soon":       "session-expires=soon: want seconds",
		`BYE reason="Q.850;cause=16`:          `a " is missing`,
		"registers expires=0":                 "expires=0: want seconds",
		"registers contacts=20":               "contacts=20: want 1 to 10",
		"hears t1+nobody":                     "nobody of that name is in the story",
		"hears t1+prompt":                     "nobody of that name is in the story",
		"unregisters expires=3":               `"expires=3" is not understood`,
		"sees reINVITE; resumes; sees UPDATE": "what is seen after something was done belongs into a line of its own",
	} {
		_, err := siptest.ParseStory("x.txtar", []byte("-- takers --\nt1 10.0.1.1\n-- story --\n0s t1 "+clause+"\n"))
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "x.txtar:4: ") || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%s: %v, want %s", clause, err, want)
		}
	}
}

// TestStoryOfTheDesign reads the story with which the language was designed.
func TestStoryOfTheDesign(t *testing.T) {
	data, err := os.ReadFile("testdata/design.txt")
	if err != nil {
		t.Fatal(err)
	}
	s, err := siptest.ParseStory("design.txt", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Takers) != 2 || s.Takers[1].ID != "t2" {
		t.Errorf("takers %+v", s.Takers)
	}
}

const storyEnv = "SIPTEST_STORY"

// TestOneStory is run by TestStoriesThatFail in a process of its own.
func TestOneStory(t *testing.T) {
	if file := os.Getenv(storyEnv); file != "" {
		siptest.RunStory(t, file, fakeGateway, false)
	}
}

// TestStoriesThatFail tells stories that go otherwise, and reads how that is said.
func TestStoriesThatFail(t *testing.T) {
	const begin = "-- takers --\nt1 10.0.1.1\n-- story --\n0s ani INVITE 112 from=+628115550001\n"
	for name, c := range map[string]struct{ story, want string }{
		"unwritten": {
			begin + "+50ms ani sees 200\n1s ani BYE\n2s t1 sees CANCEL; sends 487\n",
			":6: at 1s: t1 saw INVITE at 0.002s, which is not written",
		},
		"unwritten at the end": {begin + "+50ms ani sees 200\n", ":5: at 50ms: after the last line: t1 saw INVITE at 0.002s, which is not written"},
		"another":              {begin + "+50ms ani sees 180\n", ":5: at 50ms: ani sees 180: saw 200 at 0.002s instead"},
		"too late":             {begin + "+50ms ani sees BYE\n", "0.002s t1 INVITE"},
		"not seen":             {begin + "+0s ani sees 200\n", ":5: at 0s: ani sees 200: not seen yet"},
		"too early":            {begin + "+1s t1 sees nothing\n", "t1 sees nothing: saw INVITE at 0.002s instead"},
		"before its line": {
			begin + "+50ms ani sees 200\n+300ms ani says 1s\n+2s t1 sees INVITE\n",
			":6: at 350ms: t1 saw INVITE at 0.002s, which is not written",
		},
		"tag":       {begin + "+50ms ani sees 200 tag=A\n+0s t1 sees INVITE tag=A\n", "t1 sees INVITE: tag=A: want ours0 as before, got leg-1"},
		"cause":     {begin + "+50ms ani sees 200\n+0s t1 sees INVITE cause=3\n", "want cause=3, got 0"},
		"silence":   {begin + "+50ms ani sees 200; hears nothing\n", "ani hears nothing: heard prompt"},
		"nobody":    {begin + "+50ms ani sees 200; hears t1\n", "ani hears t1: heard prompt last, until 0."},
		"no call":   {begin + "+0s t1 sends 200\n", "t1 sends 200: there is no call yet"},
		"q850":      {begin + "+50ms ani sees 200\n+0s t1 sees INVITE q850=16\n", "want q850=16, got 0"},
		"media":     {begin + "+50ms ani sees 200 media=inactive\n", "want media=inactive, got sendrecv"},
		"rel":       {begin + "+50ms ani sees 200 rel\n", "want rel=yes, got no"},
		"event":     {begin + "+50ms ani sees 200 event=96\n", "want event=96, got 101"},
		"timer":     {begin + "+50ms ani sees 200 session-expires=90\n", "want session-expires=90, got 0"},
		"header":    {begin + "+50ms ani sees 200 has=\"Contact: sips:\"\n", `has=Contact: sips:: its Contact is ["<sip:10.0.0.1:5060>"]`},
		"no header": {begin + "+50ms ani sees 200 lacks=Contact\n", "lacks=Contact: its Contact is"},
		"no name":   {begin + "+50ms ani sees 200; BYE call=x\n", "ani BYE: there is no call x"},
		"no other":  {begin + "+50ms ani sees 200; REFER t1 replaces=x\n", "ani REFER t1: there is no call x"},
		"of another": {
			begin + "+0s ani INVITE 112 id=b\n+50ms ani sees 200 call=b\n", "ani sees 200: call=b: it belongs to another call",
		},
		"no call to name": {"-- takers --\nt1 10.0.1.1 away\n-- story --\n0s t1 registers expires=5\n+0s t1 sees 423 id=a\n", "id=a: it belongs to no call"},
		"no state":        {begin + "+50ms ani sees 200; CANCEL\n", "ani CANCEL: CANCEL: not possible in this state of the call"},
		"refusal unwritten": {
			"-- takers --\nt1 10.0.1.1 away\n-- story --\n0s t1 registers expires=5\n1s t1 registers\n", "t1 saw 423 at 0.0",
		},
		"change unwritten": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 200\n1s t1 holds\n+50ms t1 sees 200\n3s ani BYE\n",
			"ani saw reINVITE at 1.0",
		},
		"progress unwritten": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 200\n1s t1 REFER t2\n+50ms t1 sees 202\n3s ani BYE\n",
			"t1 saw NOTIFY=100 at 1.0",
		},
		"mix unwritten": {
			"-- takers --\nt1 10.0.1.1\nt2 10.0.1.2 away\n-- story --\n0s t1 INVITE *3\n+50ms t1 sees 200\n1s t1 BYE\n", "t1 hears t1+t2 at 0.0",
		},
		"other mix": {"-- takers --\nt1 10.0.1.1\nt2 10.0.1.2 away\n-- story --\n0s t1 INVITE *3\n+50ms t1 sees 200\n+100ms t1 hears t2\n", "heard t1+t2 last"},
		"bad order": {begin + "+50ms ani sees 200\n+0s t1 sees INVITE; classifies prank\n", "t1 classifies prank: t1 has answered no such call"},
		"voice unwritten": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 200; says 1s\n3s ani BYE\n+50ms t1 sees BYE\n",
			"ani hears t1 at 0.05",
		},
		"heard too late": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 200; hears ani\n3s ani BYE\n",
			":6: at 50ms: t1 hears ani: nothing was heard",
		},
		"journal": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 603\n1s ani BYE\n" +
				"-- journal --\n1 arrived 0 +628115550001 asserted | 2 queued 113\n-- end --\nlive=1 invites=1\n",
			`journal of call ani: want "2 queued 113", got "2 queued 112"; all of it:`,
		},
		"end": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 603\n1s ani BYE\n-- end --\nlive=1\n",
			"end: want live=1, got 0",
		},
		"no such call": {
			begin + "+50ms ani sees 200\n+0s t1 sees INVITE; sends 603\n1s ani BYE\n-- journal --\ncall budi\n1 arrived\n",
			`the story has no call "budi"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "story.txtar")
			if err := os.WriteFile(file, []byte(c.story), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneStory$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), storyEnv+"="+file)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("want a failure with %q, got %v:\n%s", c.want, err, out)
			}
			if strings.Contains(string(out), "deadlock") {
				t.Errorf("goroutines are left:\n%s", out)
			}
		})
	}
}

func TestPastCallsFoldAsWritten(t *testing.T) {
	people := siptest.Population(7, 100)
	for _, p := range siptest.Past(people, start2000, 30, 7) {
		r := foldAll(p.Entries("cPAST", "telkom", "112", call.Party{Taker: "t1"}))
		want := call.WasAnswered
		if p.Talk == 0 {
			want = call.WasAbandoned
		}
		if r.Outcome != want || r.Kind != p.Kind || r.Wait != p.Wait || r.Talk != p.Talk || r.Caller != p.Caller {
			t.Fatalf("%+v folds to %+v", p, r)
		}
		if !p.At.Before(start2000) {
			t.Fatalf("%s is no past", p.At)
		}
	}
}

// FuzzParseStory: whatever is read, it is a story or faults in lines of the file; what is a story is the same story
// when it is written again.
func FuzzParseStory(f *testing.F) {
	for _, pattern := range []string{"testdata/*.txt*", "../../testdata/calls/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := siptest.ParseStory("f", data)
		if err != nil {
			if fault, ok := errors.AsType[*siptest.Fault](err); !ok || fault.Line < 1 || fault.Line > strings.Count(string(data), "\n")+2 {
				t.Fatalf("fault %v", err)
			}
			return
		}
		again, err := siptest.ParseStory("f", siptest.Rewrite(s, nil, nil))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if diff := cmp.Diff(s.Takers, again.Takers, cmp.Comparer(func(a, b siptest.Taker) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
	})
}
