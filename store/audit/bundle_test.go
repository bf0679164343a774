package audit_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

// verify verifies a bundle with the ledger's key.
func verify(tb testing.TB, l *ledger, bundle []byte, old []byte) audit.Report {
	tb.Helper()
	b, err := audit.NewBundle(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		tb.Fatal(err)
	}
	defer closed(tb, b)
	r, err := b.Verify(tb.Context(), audit.Check{Key: l.key(), Table: table, Old: old})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func closed(tb testing.TB, c io.Closer) {
	tb.Helper()
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}

func TestBundle(t *testing.T) {
	l := history(t)
	l.act(2, audit.ActErased, audit.ErasedDetail([]uint64{3, 6, 23}, "court", "7"))
	l.erase(3, 6, 23)
	bundle := l.bundle(l.order())
	r := verify(t, l, bundle, nil)
	if !r.OK() {
		t.Fatal(r.Bad)
	}
	want := audit.Counts{Records: 33, Erased: 3, Calls: 18, Shifts: 1, Acts: 2, Rows: 18}
	if diff := cmp.Diff(want, r.Counts); diff != "" {
		t.Error(diff)
	}
	if m := r.Manifest; m.By != "auditor" || m.Why != "yearly audit" || m.Filter != "" || m.Size != 33 {
		t.Errorf("%+v", m)
	}
	for name, content := range unzip(t, bundle) {
		if name == "proof" && strings.Count(content, "\n") != 1 {
			t.Errorf("a whole bundle needs no proof: %q", content)
		}
		if name == "consistency" && strings.Count(content, "siaga112 consistency v1") != 3 {
			t.Errorf("consistency: %q", content)
		}
	}
}

// TestBundleOfSome: whole calls with their amendments, and nothing else; the proof covers the rest.
func TestBundleOfSome(t *testing.T) {
	l := history(t)
	o := l.order()
	o.Filter, o.Want = "kind prank from 08:06", func(r call.Record) bool {
		return r.Kind == call.Prank && r.FirstAt.Minute() >= 6
	}
	bundle := l.bundle(o)
	r := verify(t, l, bundle, nil)
	if !r.OK() {
		t.Fatal(r.Bad)
	}
	if diff := cmp.Diff(audit.Counts{Records: 14, Calls: 7, Rows: 7}, r.Counts); diff != "" {
		t.Error(diff)
	}
	for name, content := range unzip(t, bundle) {
		if name == "records.jsonl" && (strings.Contains(content, "abandoned") || strings.Count(content, "\n") != 14) {
			t.Errorf("records: %s", content)
		}
	}
}

// TestBundleSource: an open bundle gives the pieces that went in.
func TestBundleSource(t *testing.T) {
	l := history(t)
	l.act(2, audit.ActErased, audit.ErasedDetail([]uint64{3}, "court", "7"))
	l.erase(3)
	bundle := l.bundle(l.order())
	b, err := audit.NewBundle(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, b)
	for _, from := range []uint64{0, 3, 32, 33, 1000} {
		got := []call.Sealed{}
		for p, err := range b.Scan(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p)
		}
		if diff := cmp.Diff(append([]call.Sealed{}, l.pieces[min(int(from), len(l.pieces)):]...), got); diff != "" {
			t.Errorf("from %d: %s", from, diff)
		}
	}
	if n, err := b.Size(); n != 33 || err != nil {
		t.Errorf("size %d %v", n, err)
	}
	for _, id := range []call.ID{l.pieces[0].Of, l.pieces[1].Of, l.pieces[31].Of, storetest.ID(call.Call, 99, storetest.Start())} {
		want, _ := l.Pieces(id)
		got, err := b.Pieces(id)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", id, err, diff)
		}
	}
}

func TestBundleAndAnOlderCheckpoint(t *testing.T) {
	l := history(t)
	other := history(t)
	other.secret = l.secret
	other.pieces[2].Leaf[0] ^= 1
	rewritten := newLedger(t)
	rewritten.secret = l.secret
	for i := range 20 {
		rewritten.seal(storetest.Abandoned(storetest.ID(call.Call, 50+i, storetest.Start()), storetest.Start(), "+628115550003")...)
	}
	some := l.order()
	some.Filter, some.Want = "from 08:06", func(r call.Record) bool { return r.FirstAt.Minute() >= 6 }
	for _, c := range []struct {
		name  string
		order audit.Order
		old   []byte
		what  string
	}{
		{"of an older day", l.order(), l.checkpoint(7), ""},
		{"of a minute that has no proof", l.order(), l.checkpoint(9), ""},
		{"of nothing", l.order(), l.checkpoint(0), ""},
		{"the same", l.order(), l.checkpoint(32), ""},
		{"of some, with a proof", some, l.checkpoint(16), ""},
		{"of some, without one", some, l.checkpoint(3), "no proof"},
		{"rewritten, with a proof", l.order(), rewritten.checkpoint(7), "rewritten"},
		{"rewritten, without one", l.order(), rewritten.checkpoint(9), "rewritten"},
		{"of another ledger's key", l.order(), history(t).checkpoint(7), "older checkpoint"},
		{"no checkpoint", l.order(), []byte("x"), "older checkpoint"},
	} {
		r := verify(t, l, l.bundle(c.order), c.old)
		if c.what == "" && (!r.OK() || r.Old == "") || c.what != "" && (r.OK() || !strings.Contains(r.Bad[0].What, c.what)) {
			t.Errorf("%s: %v", c.name, r.Bad)
		}
	}
	short := l.order()
	short.Checkpoint = l.checkpoint(20)
	if r := verify(t, l, l.bundle(short), l.checkpoint(30)); r.OK() || !strings.Contains(r.Bad[0].What, "gone from the end") {
		t.Errorf("an older bundle: %v", r.Bad)
	}
}

// TestBundleErasures: what is gone must be said, and what is said to be gone must be gone.
func TestBundleErasures(t *testing.T) {
	l := history(t)
	l.erase(3)
	if r := verify(t, l, l.bundle(l.order()), nil); len(r.Bad) != 1 || r.Bad[0].Seq != 3 || !strings.Contains(r.Bad[0].What, "no act erased it") {
		t.Errorf("gone: %v", r.Bad)
	}
	l = history(t)
	l.act(2, audit.ActExpired, audit.ErasedDetail([]uint64{5}, "5 years", ""))
	if r := verify(t, l, l.bundle(l.order()), nil); len(r.Bad) != 1 || r.Bad[0].Seq != 5 || !strings.Contains(r.Bad[0].What, "it is there") {
		t.Errorf("there: %v", r.Bad)
	}
}

func TestBundleIsNotWritten(t *testing.T) {
	l := history(t)
	early := l.order()
	l.act(2, audit.ActErased, audit.ErasedDetail([]uint64{3}, "court", "7"))
	if _, err := audit.WriteBundle(t.Context(), io.Discard, early); !errors.Is(err, audit.ErrErasedMeanwhile) {
		t.Errorf("erased meanwhile: %v", err)
	}
	l = history(t)
	l.pieces[4].Body[200] ^= 1
	if _, err := audit.WriteBundle(t.Context(), io.Discard, l.order()); err == nil || !strings.Contains(err.Error(), "record 4 is damaged") {
		t.Errorf("damaged: %v", err)
	}
	l = history(t)
	l.pieces[4].Leaf[0] ^= 1
	l.pieces[4].Body = nil
	if _, err := audit.WriteBundle(t.Context(), io.Discard, l.order()); err == nil || !strings.Contains(err.Error(), "do not fit the checkpoint") {
		t.Errorf("another leaf: %v", err)
	}
	if _, err := audit.WriteBundle(t.Context(), failing{}, history(t).order()); !errors.Is(err, errFull) {
		t.Errorf("full: %v", err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

// says tells whether a finding has the words.
func says(r audit.Report, words string) bool {
	return slices.ContainsFunc(r.Bad, func(b audit.Bad) bool { return strings.Contains(b.String(), words) })
}

func unzip(tb testing.TB, bundle []byte) map[string]string {
	tb.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		out[f.Name] = string(b)
	}
	return out
}

func rezip(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: strings.TrimSuffix(name, "+"), Method: zip.Store})
		if err == nil {
			_, err = io.WriteString(w, files[name])
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestBundleTampered: changes of unpacked files, each found, and the file named.
func TestBundleTampered(t *testing.T) {
	l := history(t)
	l.act(2, audit.ActErased, audit.ErasedDetail([]uint64{3}, "court", "7"))
	l.erase(3)
	some := l.order()
	some.Filter, some.Want = "answered", func(r call.Record) bool { return r.Outcome == call.WasAnswered }
	for which, bundle := range [][]byte{l.bundle(l.order()), l.bundle(some)} {
		files := unzip(t, bundle)
		names := slices.Sorted(maps.Keys(files))
		rng := rand.New(rand.NewPCG(112, uint64(which)))
		for i := range storetest.Times(t, 125) {
			name := names[i%len(names)]
			changed := maps.Clone(files)
			what := tamper(rng, files[name], i/len(names))
			if what.text == files[name] {
				continue
			}
			changed[name] = what.text
			r := verify(t, l, rezip(t, changed), nil)
			named := slices.ContainsFunc(r.Bad, func(b audit.Bad) bool {
				return strings.Contains(b.What, name) || b.Seq != audit.NoSeq || name == "manifest.note" && strings.Contains(b.What, "manifest.json")
			})
			if r.OK() || !named {
				t.Fatalf("bundle %d, change %d: %s: %s: found %v", which, i, name, what.name, r.Bad)
			}
		}
	}
}

type change struct{ name, text string }

// tamper changes a byte, or removes, repeats, swaps or cuts lines.
func tamper(rng *rand.Rand, text string, kind int) change {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	at, other := rng.IntN(len(lines)), rng.IntN(len(lines))
	switch kind % 8 {
	case 0:
		return change{"removed line", strings.Join(slices.Delete(slices.Clone(lines), at, at+1), "")}
	case 1:
		return change{"repeated line", strings.Join(slices.Insert(slices.Clone(lines), at, lines[at]), "")}
	case 2:
		lines[at], lines[other] = lines[other], lines[at]
		return change{"swapped lines", strings.Join(lines, "")}
	case 3:
		return change{"cut off", text[:rng.IntN(len(text))]}
	}
	b := []byte(text)
	i := rng.IntN(len(b))
	b[i] ^= byte(1 + rng.IntN(255))
	return change{fmt.Sprintf("byte %d", i), string(b)}
}

// TestBundleFiles: each file once, and no other.
func TestBundleFiles(t *testing.T) {
	l := history(t)
	files := unzip(t, l.bundle(l.order()))
	for name := range files {
		without := maps.Clone(files)
		without[name+"+"] = files[name]
		if r := verify(t, l, rezip(t, without), nil); !says(r, name+": it is in the bundle 2 times") {
			t.Errorf("%s twice: %v", name, r.Bad)
		}
		delete(without, name+"+")
		delete(without, name)
		if r := verify(t, l, rezip(t, without), nil); !says(r, name+": it is missing") {
			t.Errorf("%s missing: %v", name, r.Bad)
		}
	}
	files["extra.exe"] = "x"
	if r := verify(t, l, rezip(t, files), nil); len(r.Bad) != 1 || !strings.Contains(r.Bad[0].What, "extra.exe: it does not belong") {
		t.Errorf("extra: %v", r.Bad)
	}
	if r := verify(t, history(t), l.bundle(l.order()), nil); r.OK() {
		t.Error("another key verifies it")
	}
}

// TestBundleForged: even the owner of the key cannot make a manifest that hides what does not fit.
func TestBundleForged(t *testing.T) {
	l := history(t)
	files := unzip(t, l.bundle(l.order()))
	for _, c := range []struct{ file, from, to, what string }{
		{"calls.csv", "abandoned", "answered", "calls.csv: line 2 is not"},
		{"records.jsonl", `\"by\":\"caller\"`, `\"by\":\"desk\"`, "leaf is not the hash"},
		{"records.jsonl", `"seq":3,`, `"seq":33,`, "stands after"},
		{"consistency", "old 7 ", "old 8 ", "does not begin with"},
		{"proof", "\n", "\n0 1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "proof"},
	} {
		o := l.order()
		changed := strings.Replace(files[c.file], c.from, c.to, 1)
		bundle := l.resign(o, files, c.file, changed)
		r := verify(t, l, bundle, nil)
		if !says(r, c.what) {
			t.Errorf("%s: want %q, got %v", c.file, c.what, r.Bad)
		}
	}
}

// resign puts another text in a file, and its hash into a manifest that is signed again.
func (l *ledger) resign(o audit.Order, files map[string]string, name, text string) []byte {
	l.tb.Helper()
	changed := maps.Clone(files)
	changed[name] = text
	m := strings.Replace(files["manifest.json"], sum(files[name]), sum(text), 1)
	m = strings.Replace(m, fmt.Sprintf("\"bytes\": %d,\n      \"sha256\": %q", len(files[name]), sum(text)),
		fmt.Sprintf("\"bytes\": %d,\n      \"sha256\": %q", len(text), sum(text)), 1)
	changed["manifest.json"] = m
	signed, err := o.Sign("siaga112 manifest v1\nsiaga112/ktp1\nsha256 " + sum(m) + "\n")
	if err != nil {
		l.tb.Fatal(err)
	}
	changed["manifest.note"] = string(signed)
	return rezip(l.tb, changed)
}
