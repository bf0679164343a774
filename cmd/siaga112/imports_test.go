package main_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

const (
	module = "github.com/siaga112/siaga112"
	root   = "../.."
)

// room is a folder of the tree: what it may import of ours, and why nothing else.
type room struct {
	may []string
	why string
}

// rooms are all of them. An arrow that is not here is forbidden; .golangci.yml says the same to editors.
var rooms = map[string]room{
	"call":            {nil, "it is the vocabulary of all rooms: a name comes in only if the journal or an export writes it"},
	"config":          {nil, "it is read by every room: it imports none, so that a room never comes in through it"},
	"queue":           {[]string{"call", "config", "queue/prank"}, "the desk decides and knows neither line nor store: it tells them through interfaces of its own, which run.go joins"},
	"queue/prank":     {[]string{"call"}, "the score is a pure function of sealed records: call is all it reads"},
	"sip":             {[]string{"call", "config", "sip/media", "sip/sdp"}, "the line carries and does not decide: queue and store stand behind interfaces of its own, which run.go joins"},
	"sip/sdp":         {nil, "offer and answer are pure functions: sip uses them, they know nobody"},
	"sip/media":       {nil, "it is the lowest room: it moves packets and does not know calls"},
	"sip/siptest":     {[]string{"call", "sip/media", "sip/sdp"}, "the test phones speak to the gateway from outside: sharing its code, they would share its mistakes"},
	"store":           {[]string{"call", "config", "store/audit"}, "the store remembers what call names and knows nobody who asks"},
	"store/audit":     {[]string{"call"}, "an auditor verifies without a store, with a file and a key"},
	"store/export":    {[]string{"call"}, "formats are pure functions of records: an auditor may run them without a store"},
	"store/reconcile": {[]string{"call"}, "it compares lists of calls: where they come from is not its business"},
	"store/storetest": {[]string{"call", "store"}, "the conformance suite holds for every store: it knows only call and store"},
	"web":             {[]string{"call", "config", "store/export"}, "it asks through interfaces of its own, which run.go joins"},
	"cmd/callgen":     {[]string{"call", "config", "sip/siptest"}, "it is a thin command over the traffic of siptest: a gateway is what it calls, not what it holds"},
}

// meeting is where the rooms meet: it may import all of them, and nothing imports it.
const meeting = "cmd/siaga112"

// benches are rooms that exist for tests: every room's tests may use them, and the rooms below their own.
var benches = []string{"sip/siptest", "store/storetest"}

// owners are modules whose types stay in these rooms and below them; elsewhere the room's own words stand for them.
var owners = map[string][]string{
	"github.com/alecthomas/kong": {"cmd"},
	"github.com/emiago/sipgo":    {"sip"},
	"github.com/goccy/go-yaml":   {"config", "sip/siptest", "store/reconcile"},
	"github.com/parquet-go":      {"store/export"},
	"github.com/pion/rtp":        {"sip"},
	"github.com/pion/sdp":        {"sip"},
	"go.etcd.io/bbolt":           {"store"},
}

// under tells that a path is the other or stands below it.
func under(path, other string) bool { return path == other || strings.HasPrefix(path, other+"/") }

// forbidden tells why a file of the room must not import the path; "" where it may.
func forbidden(from, path string, test bool) string {
	for mod, in := range owners {
		if !test && under(path, mod) && !slices.ContainsFunc(in, func(owner string) bool { return under(from, owner) }) {
			return fmt.Sprintf("%s must not import %s: its types stay in %s", from, path, strings.Join(in, " and "))
		}
	}
	if from == "call" && !test && strings.Contains(path, ".") && !strings.HasPrefix(path, "github.com/oklog/ulid/") {
		return fmt.Sprintf("call must not import %s: it is the standard library and a ULID, for everybody has it", path)
	}
	to, ours := strings.CutPrefix(path, module+"/")
	switch {
	case !ours || from == meeting || test && (under(to, from) || slices.Contains(benches, to)):
		return ""
	case to == meeting:
		return fmt.Sprintf("%s must not import %s: that is where the rooms meet, at the top", from, to)
	}
	r, known := rooms[from]
	switch {
	case !known:
		return fmt.Sprintf("%s is no room: say in the table what it may import and why", from)
	case slices.Contains(r.may, to):
		return ""
	}
	return fmt.Sprintf("%s must not import %s: %s; it may import %s", from, to, r.why, orNone(r.may))
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none of ours"
	}
	return strings.Join(words, ", ")
}

// TestImports holds every file of the tree to the table.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(rel))
		seen[from] = true
		if _, known := rooms[from]; !known && from != meeting {
			t.Errorf("%s: %s is no room: say in the table what it may import and why", rel, from)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			target, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if why := forbidden(from, target, strings.HasSuffix(name, "_test.go")); why != "" {
				t.Errorf("%s: %s", rel, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"call", "queue", "sip", "store", meeting} {
		if !seen[must] {
			t.Errorf("%s was not looked at: is the root %q?", must, root)
		}
	}
}

// TestForbidden holds the test to its word: it sees the arrows that it is there for.
func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		from, path string
		test       bool
		want       string
	}{
		{"queue", module + "/call", false, ""},
		{"queue", module + "/queue/prank", false, ""},
		{"queue", "go.uber.org/zap", false, ""},
		{"sip", module + "/sip/siptest", true, ""},
		{"sip", module + "/sip", true, ""},
		{"store", module + "/store/export", true, ""},
		{"web", "go.etcd.io/bbolt", true, ""},
		{meeting, module + "/sip/siptest", false, ""},
		{"sip", module + "/queue", false, "sip must not import queue: the line carries and does not decide: queue and store stand behind interfaces of its own, which run.go joins; it may import call, config, sip/media, sip/sdp"},
		{"sip", module + "/store", true, "sip must not import store: the line carries and does not decide: queue and store stand behind interfaces of its own, which run.go joins; it may import call, config, sip/media, sip/sdp"},
		{"sip", module + "/sip/siptest", false, "sip must not import sip/siptest: the line carries and does not decide: queue and store stand behind interfaces of its own, which run.go joins; it may import call, config, sip/media, sip/sdp"},
		{"sip/media", module + "/call", false, "sip/media must not import call: it is the lowest room: it moves packets and does not know calls; it may import none of ours"},
		{"web", module + "/" + meeting, false, "web must not import cmd/siaga112: that is where the rooms meet, at the top"},
		{"web", "go.etcd.io/bbolt", false, "web must not import go.etcd.io/bbolt: its types stay in store"},
		{"queue", "github.com/emiago/sipgo/sip", false, "queue must not import github.com/emiago/sipgo/sip: its types stay in sip"},
		{"call", "go.uber.org/zap", false, "call must not import go.uber.org/zap: it is the standard library and a ULID, for everybody has it"},
		{"util", module + "/call", false, "util is no room: say in the table what it may import and why"},
	} {
		if diff := cmp.Diff(c.want, forbidden(c.from, c.path, c.test)); diff != "" {
			t.Errorf("%s imports %s\n%s", c.from, c.path, diff)
		}
	}
}

// TestLinterAgrees: depguard in .golangci.yml allows each room what the table allows it.
func TestLinterAgrees(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Files, Allow []string
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	want, got := map[string][]string{}, map[string][]string{}
	for name, r := range rooms {
		want[name] = append([]string{}, r.may...)
	}
	for _, rule := range file.Linters.Settings.Depguard.Rules {
		name := strings.TrimSuffix(strings.TrimPrefix(rule.Files[0], "**/"), "/*.go")
		got[name] = []string{}
		for _, a := range rule.Allow {
			if to, ours := strings.CutPrefix(a, module+"/"); ours {
				got[name] = append(got[name], strings.TrimSuffix(to, "$"))
			}
		}
		slices.Sort(got[name])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
