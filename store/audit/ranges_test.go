package audit_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/store/audit"
)

func TestErasedDetail(t *testing.T) {
	for _, c := range []struct {
		seqs          []uint64
		reason, order string
		want          string
	}{
		{[]uint64{12}, "court", "7/2026", "records 12; court; 7/2026"},
		{[]uint64{19, 12, 15, 16, 18, 17, 12}, "court", "7", "records 12 15-19; court; 7"},
		{[]uint64{0, 1}, "", "", "records 0-1; ; "},
		{[]uint64{3}, "a; b\nc", "1;2", "records 3; a, b c; 1,2"},
	} {
		if diff := cmp.Diff(c.want, audit.ErasedDetail(c.seqs, c.reason, c.order)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestErased(t *testing.T) {
	for _, c := range []struct {
		detail string
		want   []audit.Range
	}{
		{"records 12 15-19; court; 7", []audit.Range{{12, 12}, {15, 19}}},
		{"records 0; ; ", []audit.Range{{0, 0}}},
		{"records 12 15-19; older than 5 years", []audit.Range{{12, 12}, {15, 19}}},
		{"records 12 15-19", nil},
		{"records ; court; 7", nil},
		{"record 12; court; 7", nil},
		{"records 12  15; court; 7", nil},
		{"records 15 12; court; 7", nil},
		{"records 12 12; court; 7", nil},
		{"records 12 13; court; 7", nil},
		{"records 12-12; court; 7", nil},
		{"records 19-15; court; 7", nil},
		{"records 012; court; 7", nil},
		{"records +12; court; 7", nil},
		{"records 12-; court; 7", nil},
		{"records 12-15-19; court; 7", nil},
		{"records 18446744073709551616; court; 7", nil},
		{"records 12;a", nil},
		{"csv from - to -", nil},
	} {
		got, ok := audit.Erased(c.detail)
		if diff := cmp.Diff(c.want, got); diff != "" || ok != (c.want != nil) {
			t.Errorf("%q: %v %s", c.detail, ok, diff)
		}
	}
}

// TestErasedRoundTrip: what ErasedDetail writes names exactly the records that went in.
func TestErasedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seqs := rapid.SliceOfN(rapid.Uint64Range(0, 60), 1, 40).Draw(t, "seqs")
		detail := audit.ErasedDetail(seqs, rapid.String().Draw(t, "reason"), rapid.String().Draw(t, "order"))
		rs, ok := audit.Erased(detail)
		if !ok {
			t.Fatalf("%q is not read", detail)
		}
		for n := range uint64(62) {
			if audit.Holds(rs, n) != slices.Contains(seqs, n) {
				t.Fatalf("%q: record %d", detail, n)
			}
		}
		if diff := cmp.Diff(rs, audit.Union(rs)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestUnion(t *testing.T) {
	got := audit.Union([]audit.Range{{8, 9}, {1, 3}, {2, 2}, {4, 5}, {20, 30}})
	if diff := cmp.Diff([]audit.Range{{1, 5}, {8, 9}, {20, 30}}, got); diff != "" {
		t.Error(diff)
	}
}
