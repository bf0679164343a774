package main

import (
	"net/netip"
	"testing"
)

func TestOnlyLoopbackIsCalled(t *testing.T) {
	home, away := netip.MustParseAddrPort("127.0.0.1:5060"), netip.MustParseAddrPort("192.0.2.1:5060")
	if err := (flags{Gateway: home, Callers: home.Addr()}).Validate(); err != nil {
		t.Error(err)
	}
	for _, f := range []flags{{Gateway: away, Callers: home.Addr()}, {Gateway: home, Callers: away.Addr()}} {
		if f.Validate() == nil {
			t.Errorf("%s from %s was taken", f.Gateway, f.Callers)
		}
	}
}

func TestParseTaker(t *testing.T) {
	if k, err := parseTaker("lusia:a:b"); err != nil || k.ID != "lusia" || k.Password != "a:b" {
		t.Errorf("%+v, %v", k, err)
	}
	for _, s := range []string{"", "lusia", ":x", "lusia:"} {
		if _, err := parseTaker(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}
