package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

func bound(s *store.Store) map[call.TakerID]string {
	m := map[call.TakerID]string{}
	for id, c := range s.Bound() {
		m[id] = string(c)
	}
	return m
}

func TestTakers(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	sari := store.Taker{ID: "sari", Department: "BPBD", HA1: map[string]string{"MD5": "aa"}, Added: storetest.Start()}
	budi := store.Taker{ID: "budi", HA1: map[string]string{"MD5": "bb", "SHA-256": "cc"}, Added: storetest.Start()}
	for _, k := range []store.Taker{sari, budi, {ID: "tono", Added: storetest.Start()}} {
		if err := s.PutTaker(k); err != nil {
			t.Fatal(err)
		}
	}
	sari.HA1 = map[string]string{"MD5": "dd"}
	if err := errors.Join(s.PutTaker(sari), s.RemoveTaker("tono")); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveTaker("tono"); !errors.Is(err, store.ErrNoTaker) {
		t.Errorf("got %v, want ErrNoTaker", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	ts, err := s.Takers()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]store.Taker{budi, sari}, ts); d != "" {
		t.Error(d)
	}
	ha1, who, ok := s.Account("sari")
	if !ok || who != (call.Party{Taker: "sari", Department: "BPBD"}) || ha1["MD5"] != "dd" {
		t.Errorf("account: %v %v %v", ha1, who, ok)
	}
	for _, user := range []string{"tono", "", "SARI", "sari\x00"} {
		if _, _, ok := s.Account(user); ok {
			t.Errorf("%q has an account", user)
		}
	}
	storetest.Check(t, s)
}

func TestDigestOfATaker(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	for id, tt := range map[call.TakerID]struct {
		ha1  map[string]string
		want string
	}{
		"md5":     {map[string]string{"MD5": "aa"}, "MD5"},
		"sha-256": {map[string]string{"SHA-256": "aa"}, "SHA-256"},
		"both":    {map[string]string{"MD5": "aa", "SHA-256": "bb"}, "MD5"},
		"neither": {nil, "MD5"},
	} {
		if err := s.PutTaker(store.Taker{ID: id, HA1: tt.ha1}); err != nil {
			t.Fatal(err)
		}
		if got := (store.Taker{HA1: tt.ha1}).Digest(); got != tt.want {
			t.Errorf("%s: got %s, want %s", id, got, tt.want)
		}
		if got, _, _ := s.Account(string(id)); !cmp.Equal(got, tt.ha1) {
			t.Errorf("%s: the account has %v", id, got)
		}
	}
}

func TestPutTakerRefuses(t *testing.T) {
	s := open(t, storetest.Dir(t), store.Options{})
	for _, id := range []call.TakerID{"", call.TakerID(strings.Repeat("x", 256))} {
		if err := s.PutTaker(store.Taker{ID: id}); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.PutTaker(store.Taker{ID: "sari"}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, err := s.Takers(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, _, ok := s.Account("sari"); ok {
		t.Error("a closed store has accounts")
	}
}

func TestBind(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	for _, id := range []call.TakerID{"sari", "budi", "tono"} {
		if err := s.PutTaker(store.Taker{ID: id}); err != nil {
			t.Fatal(err)
		}
		s.Bind(id, []byte("sip:"+id+"@10.0.1.1"))
	}
	s.Bind("sari", []byte("sip:sari@10.0.1.2"))
	s.Bind("budi", nil)
	s.Bind("nobody", []byte("sip:nobody@10.0.1.3"))
	if err := s.RemoveTaker("tono"); err != nil {
		t.Fatal(err)
	}
	s.Bind("tono", []byte("too late"))
	if err := s.PutTaker(store.Taker{ID: "sari", Department: "new"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	if d := cmp.Diff(map[call.TakerID]string{"sari": "sip:sari@10.0.1.2"}, bound(s)); d != "" {
		t.Error(d)
	}
}
