package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// backup writes a backup of the store to a file of its own.
func backup(tb testing.TB, s *store.Store) string {
	tb.Helper()
	var b bytes.Buffer
	if err := s.Backup(context.Background(), &b, "admin", "monday.db"); err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(storetest.Dir(tb), "monday.db")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func closed(tb testing.TB, s *store.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// A backup that is made while calls go on verifies, and takes the place of what was lost.
func TestBackupRestore(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	if err := storetest.Fill(s, 200); err != nil {
		t.Fatal(err)
	}
	live := storetest.ID(call.Call, 77, storetest.Start())
	must(t, s, storetest.Answered(live, storetest.Start(), "+62811", "t1")[:4]...)
	file := backup(t, s)
	r, err := store.CheckFile(t.Context(), file)
	if err != nil || !r.OK() || r.Live != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := store.Restore(t.Context(), dir, file, false, ""); !errors.Is(err, store.ErrHeld) {
		t.Errorf("over a store in use: %v", err)
	}
	closed(t, s)
	if err := os.Remove(filepath.Join(dir, store.File)); err != nil {
		t.Fatal(err)
	}
	done, err := store.Restore(t.Context(), dir, file, false, "admin")
	if err != nil || done.Aside != "" || done.Lost != 0 || done.Report.Records != r.Records {
		t.Fatalf("%+v, %v", done, err)
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s)
	said := acts(t, s)
	if len(said) != 2 || said[0] != (call.Acted{By: "admin", What: "backed-up", Detail: "monday.db"}) || said[1].What != "restored" {
		t.Errorf("the ledger says %+v", said)
	}
	for es, err := range s.Live() {
		if err != nil || es[0].Of != live || len(es) != 4 {
			t.Errorf("live: %v, %v", es, err)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// An older backup takes the place of what is newer only by force, and then the newer file is kept aside.
func TestRestoreOlder(t *testing.T) {
	s := crowd(t, 6)
	dir := s.Dir()
	file := backup(t, s)
	unchanged := backup(t, s)
	must(t, s, storetest.Answered(callID(50), storetest.Start(), "+62811", "t1")[:3]...)
	closed(t, s)
	restore := func(file string, force bool) (store.Restored, error) {
		return store.Restore(t.Context(), dir, file, force, "")
	}
	if _, err := restore(unchanged, false); !errors.Is(err, store.ErrOlder) || !strings.Contains(err.Error(), "not ended") {
		t.Errorf("without a live call: %v", err)
	}
	if done, err := restore(file, false); !errors.Is(err, store.ErrOlder) || done.Lost != 1 || done.Aside != "" {
		t.Errorf("without a record: %+v, %v", done, err)
	}
	other := crowd(t, 9)
	otherFile := backup(t, other)
	if _, err := restore(otherFile, false); !errors.Is(err, store.ErrOther) {
		t.Errorf("of another store: %v", err)
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s) // all is as it was
	closed(t, s)
	done, err := restore(file, true)
	if err != nil || done.Lost != 1 || done.Aside == "" {
		t.Fatalf("by force: %+v, %v", done, err)
	}
	again, err := restore(file, true)
	if err != nil || again.Aside == done.Aside {
		t.Fatalf("again, in the same second: %+v, %v", again, err)
	}
	if asides, err := store.Asides(dir); err != nil || len(asides) != 2 {
		t.Errorf("asides %v, %v", asides, err)
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s)
	if _, _, live, err := s.Ledger(); err != nil || live != 0 {
		t.Errorf("%d live, %v", live, err)
	}
	closed(t, s)
	if r, err := store.CheckFile(t.Context(), done.Aside); err != nil || r.Live != 1 {
		t.Errorf("the file aside: %+v, %v", r, err)
	}
}

// A backup that is not whole, or was changed, is refused; what is there stays.
func TestRestoreBad(t *testing.T) {
	s := crowd(t, 40)
	dir := s.Dir()
	file := backup(t, s)
	closed(t, s)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	note := bytes.Index(good, []byte("tertawa"))
	if note < 0 {
		t.Fatal("no note in the backup")
	}
	changed := bytes.Clone(good)
	changed[note] = 'T'
	for name, b := range map[string][]byte{
		"empty": nil, "no store": []byte("hello"), "half": good[:len(good)/64], "changed": changed,
	} {
		bad := filepath.Join(storetest.Dir(t), "bad.db")
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.CheckFile(t.Context(), bad); !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrUnverified) {
			t.Errorf("check of %s: %v", name, err)
		}
		if _, err := store.Restore(t.Context(), dir, bad, true, ""); !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrUnverified) {
			t.Errorf("restore of %s: %v", name, err)
		}
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s)
	if n, err := s.Size(); err != nil || n != 55 {
		t.Errorf("%d records, %v", n, err)
	}
}

// A damaged file is refused with what to do, stays as it is, and a backup takes its place without force.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":      func([]byte) []byte { return nil },
		"both metas": func(b []byte) []byte { copy(b, make([]byte, 8192)); return b },
		"truncated":  func(b []byte) []byte { return b[:5*4096] },
		"garbage":    func([]byte) []byte { return bytes.Repeat([]byte("garbage "), 4096) },
		"no buckets": func(b []byte) []byte { clear(b[8192:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			s := crowd(t, 60)
			dir := s.Dir()
			file := backup(t, s)
			closed(t, s)
			place := filepath.Join(dir, store.File)
			b, err := os.ReadFile(place)
			if err != nil {
				t.Fatal(err)
			}
			b = damage(b)
			if err := os.WriteFile(place, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = store.Open(dir, store.Options{})
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "siaga112 restore") || !strings.Contains(err.Error(), place) {
				if err == nil {
					closed(t, s)
				}
				t.Fatalf("open: %v", err)
			}
			if now, err := os.ReadFile(place); err != nil || !bytes.Equal(now, b) {
				t.Error("the damaged file was changed")
			}
			done, err := store.Restore(t.Context(), dir, file, false, "")
			if err != nil || done.Damage == nil || done.Aside == "" {
				t.Fatalf("restore: %+v, %v", done, err)
			}
			if now, err := os.ReadFile(done.Aside); err != nil || !bytes.Equal(now, b) {
				t.Error("the damaged file was not kept")
			}
			s = open(t, dir, store.Options{})
			storetest.Check(t, s)
		})
	}
}

// A page that is damaged in the middle ends neither the process nor the writing; reading it is an error.
func TestDamagedPage(t *testing.T) {
	s := crowd(t, 60)
	dir := s.Dir()
	closed(t, s)
	place := filepath.Join(dir, store.File)
	b, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(b, []byte(`{"of":"c`)) / 4096 * 4096
	for i := range 4096 {
		b[at+i] = 0xff
	}
	if err := os.WriteFile(place, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = store.Open(dir, store.Options{})
	if err != nil {
		if !errors.Is(err, store.ErrDamaged) {
			t.Fatal(err)
		}
		return
	}
	defer closed(t, s)
	r, err := s.Verify(t.Context())
	if !errors.Is(err, store.ErrDamaged) && (err != nil || r.OK()) {
		t.Errorf("verify: %v, %d bad", err, len(r.Bad))
	}
}
