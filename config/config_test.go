package config_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/config"
)

// trunk is what every configuration must have.
const trunk = "trunks: [{name: telkom, from: [127.0.0.2/32], numbers: [\"112\"]}]\n"

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Sum" }, cmp.Ignore()),
}

func TestSum(t *testing.T) {
	text := []byte("trunks: [{name: telkom, from: [127.0.0.2/32], numbers: [\"112\"]}]\n")
	got, err := config.Parse("/etc/s.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(text); got.Sum != want {
		t.Errorf("the sum is %x, want %x", got.Sum, want)
	}
	if config.Default("/etc/s.yaml").Sum != ([32]byte{}) {
		t.Error("no file has a sum")
	}
}

func TestTemplateIsDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), config.FileName)
	if err := os.WriteFile(file, config.Template(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(file), got, compare); diff != "" {
		t.Error(diff)
	}
}

func TestTemplateIsACopy(t *testing.T) {
	config.Template()[0] = 'x'
	if config.Template()[0] != '#' {
		t.Error("a caller changed the template")
	}
}

func TestOnlyTrunksIsDefault(t *testing.T) {
	want := config.Default("/etc/s.yaml")
	got, err := config.Parse("/etc/s.yaml", []byte("trunks: [{name: telkom, from: [127.0.0.2/32], numbers: [\"112\"]}]"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Error(diff)
	}
}

func TestEveryKey(t *testing.T) {
	got, err := config.Parse("/srv/siaga/siaga112.yaml", []byte(`
node: "kalbar_2"
zone: Asia/Jayapura
data: /var/lib/siaga112/
sip:
  listen: ["tcp:10.1.0.1:5080", "udp:[fd00::1]:5080", tcp:0.0.0.0:5062]
  advertise: "203.0.113.7"
  realm: kalbar.go.id
  answer: taker
  max_calls: 7
  on_stop: drain
  drain_for: 1h
rtp: {ports: 40000-40099}
trunks:
  - {name: a, from: [10.0.0.0/24, "fd01::/64"], numbers: ["112", "+62561112"], trust: from}
  - name: b
    from: [10.0.1.0/24]
    numbers: ['112']
    trust: none
takers: {from: [10.9.0.0/16, 192.168.0.0/24]}
queue: {ring_timeout: 1m30s, wrap_up: 0s, strategy: ring-all, announcement: sound/wait.wav, music: sound/hold.al}
prank: {max_delay: 0s}
audit: {witness: ["file:usb/latest", "https://saksi.example.go.id/s", {command: [mail, -s, "a b"]}]}
store: {retention: {records: 5y}, night: "23:30", free_space: 1GB, reserve: 0MB}
log: {level: debug, format: json}
`))
	if err != nil {
		t.Fatal(err)
	}
	zone, _ := time.LoadLocation("Asia/Jayapura")
	prefix := netip.MustParsePrefix
	want := &config.Config{
		File: "/srv/siaga/siaga112.yaml",
		Node: "kalbar_2",
		Zone: zone,
		Data: "/var/lib/siaga112",
		SIP: config.SIP{
			Listen: []config.Listen{
				{Network: "tcp", Addr: netip.MustParseAddrPort("10.1.0.1:5080")},
				{Network: "udp", Addr: netip.MustParseAddrPort("[fd00::1]:5080")},
				{Network: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:5062")},
			},
			Advertise: netip.MustParseAddr("203.0.113.7"),
			Realm:     "kalbar.go.id",
			Answer:    config.AnswerTaker,
			MaxCalls:  7,
			OnStop:    config.Drain,
			DrainFor:  time.Hour,
		},
		RTP: config.RTP{First: 40000, Last: 40099},
		Trunks: []config.Trunk{
			{Name: "a", From: []netip.Prefix{prefix("10.0.0.0/24"), prefix("fd01::/64")}, Numbers: []string{"112", "+62561112"}, Trust: config.TrustFrom},
			{Name: "b", From: []netip.Prefix{prefix("10.0.1.0/24")}, Numbers: []string{"112"}, Trust: config.TrustNone},
		},
		Takers: config.Takers{From: []netip.Prefix{prefix("10.9.0.0/16"), prefix("192.168.0.0/24")}},
		Queue: config.Queue{
			RingTimeout:  90 * time.Second,
			Strategy:     config.RingAll,
			Announcement: "/srv/siaga/sound/wait.wav",
			Music:        "/srv/siaga/sound/hold.al",
		},
		Audit: config.Audit{Witness: []config.Witness{
			{File: "/srv/siaga/usb/latest"}, {URL: "https://saksi.example.go.id/s"}, {Command: []string{"mail", "-s", "a b"}},
		}},
		Store: config.Store{
			Retention: config.Retention{Records: config.Age{Years: 5}}, Night: config.Hour{Hour: 23, Minute: 30}, FreeSpace: 1 << 30,
		},
		Log: config.Log{Level: "debug", Format: "json"},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Error(diff)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	got, err := config.Parse("conf/s.yaml", []byte(trunk+"data: ../var\nqueue: {announcement: a.wav}"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "conf/s.yaml"), filepath.Join(dir, "var"), filepath.Join(dir, "conf/a.wav")}
	if diff := cmp.Diff(want, []string{got.File, got.Data, got.Queue.Announcement}); diff != "" {
		t.Error(diff)
	}
}

func TestReadMissingFile(t *testing.T) {
	_, err := config.Read(filepath.Join(t.TempDir(), "none.yaml"))
	var faults config.Faults
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &faults) {
		t.Errorf("got %v, want an error that is fs.ErrNotExist", err)
	}
}

// TestTenFaults is the promise of the package: ten faults, ten lines, each with where and what would be right.
func TestTenFaults(t *testing.T) {
	data, err := os.ReadFile("testdata/ten.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/ten.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse("ten.yaml", data)
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want Faults", err)
	}
	if len(faults) != 10 {
		t.Errorf("got %d faults, want 10", len(faults))
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestListenString(t *testing.T) {
	l := config.Listen{Network: "udp", Addr: netip.MustParseAddrPort("[::1]:5060")}
	if got := l.String(); got != "udp:[::1]:5060" {
		t.Error(got)
	}
}

// An age reaches back by the calendar, and the night is the next one, by the clock of the zone.
func TestAgeAndHour(t *testing.T) {
	now := time.Date(2028, 3, 31, 3, 0, 0, 0, time.UTC)
	if got := (config.Age{Years: 5}).Before(now); !got.Equal(time.Date(2023, 3, 31, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("five years before is %s", got)
	}
	if got := (config.Age{Days: 90}).Before(now); !got.Equal(time.Date(2028, 1, 1, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("ninety days before is %s", got)
	}
	for age, want := range map[config.Age]string{{}: "0", {Days: 90}: "90d", {Years: 5}: "5y"} {
		if age.String() != want {
			t.Errorf("%s, want %s", age, want)
		}
	}
	for hour, want := range map[config.Hour]time.Time{
		{Hour: 3}:            time.Date(2028, 4, 1, 3, 0, 0, 0, time.UTC),
		{Hour: 3, Minute: 1}: time.Date(2028, 3, 31, 3, 1, 0, 0, time.UTC),
		{}:                   time.Date(2028, 4, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got := hour.Next(now); !got.Equal(want) {
			t.Errorf("%v is next at %s, want %s", hour, got, want)
		}
	}
}
