// Package config is the typed configuration of the gateway: its doc comments are the manual of siaga112.yaml.
//
// A file is read strictly: an unknown key, a wrong type or a value that cannot work is a fault, and all faults of a file
// are told at once. What is read is whole and is never changed afterwards. The package imports nothing of ours.
package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // a zone must be known on a machine that has no zone files
)

// FileName is the file that every command reads when it is not told another.
const FileName = "siaga112.yaml"

// SocketName is the administration socket in the data folder.
const SocketName = "siaga112.sock"

// Config is one whole, valid configuration. A key that the file leaves out has its default, except trunks: a gateway that
// hears nobody would be dead in silence, so at least one must be written.
type Config struct {
	// File is where it was read from, as an absolute path.
	File string
	// Sum is the SHA-256 of the file's bytes; zero for Default.
	Sum [32]byte
	// Node (node) names this gateway among others, in records: letters, digits, - and _, at most 63.
	// Default ktp1.
	Node string
	// Zone (zone) is the time zone of hours, shifts and exports, by its IANA name: Asia/Jakarta and Asia/Pontianak are
	// WIB, Asia/Makassar WITA, Asia/Jayapura WIT. The program brings its own zone table. Default Asia/Pontianak.
	Zone *time.Location
	// Data (data) is the folder of the database and of the administration socket; it is made if it is missing. A relative
	// path is relative to the file's folder; here it is absolute. Default ./data.
	Data string

	SIP    SIP     // sip: signaling
	RTP    RTP     // rtp: sound
	Trunks []Trunk // trunks: the operators that bring calls to 112; at least one
	Takers Takers  // takers: the call takers' phones
	Queue  Queue   // queue: how calls find a call taker
	Prank  Prank   // prank: what a history of pranks costs
	Audit  Audit   // audit: who can prove that records are as they were written
	Store  Store   // store: what is kept, for how long, and the disk it lies on
	Log    Log     // log: what the process writes to standard error
}

// SIP is the signaling (sip).
type SIP struct {
	// Listen (listen) are the sockets, at least one, written udp:ADDRESS:PORT or tcp:ADDRESS:PORT. The address is an IP
	// address, never a name; an IPv6 address stands in brackets. One udp socket at most. A port in use is an error at start. Port 0 takes any free
	// port and is for tests. Default udp:127.0.0.1:5060 and tcp:127.0.0.1:5060.
	Listen []Listen
	// Advertise (advertise) is the address in Via, Contact and SDP when it differs from the listener's: behind NAT, or when
	// a listener is 0.0.0.0 or [::] (then it must be set). Empty, here the zero Addr: the listener's own. Default empty.
	Advertise netip.Addr
	// Realm (realm) is the digest realm of the phones' registration. A taker's password is stored only as a hash over it:
	// when it changes, every taker needs a new password. Default siaga112.
	Realm string
	// Answer (answer) says when a call is answered. Default queue.
	Answer Answer
	// MaxCalls (max_calls) is the number of live calls, 1 or more, above which a call gets 503; that raises an alarm and is
	// a record with the outcome refused. Default 500.
	MaxCalls int
	// OnStop (on_stop) says what becomes of live calls when SIGTERM stops the gateway, as systemctl does. Ctrl-C and a closed
	// terminal always hang up. Default hand-over.
	OnStop OnStop
	// DrainFor (drain_for) is how long a drain waits for the live calls to end, at most; 1s to 24h. What still lives then, or
	// at a second signal, is handed over. It matters with on_stop: drain alone; systemd's TimeoutStopSec must be longer.
	// Default 5m.
	DrainFor time.Duration
}

// OnStop says how the gateway stops.
type OnStop string

// What a stop does with live calls.
const (
	// HandOver ends the process without a word to any peer, once everything is on the disk; the next start takes the calls up
	// where they are: who waits keeps the place, who talks goes on. For a restart, and so for an upgrade. Until that start nobody
	// hears anything: who stops for longer wants drain.
	HandOver OnStop = "hand-over"
	// Drain refuses new calls with 503 and lets the live ones go on until they end. For a machine that is taken away.
	Drain OnStop = "drain"
	// HangUp ends every call with a BYE or CANCEL; their records end as restart.
	HangUp OnStop = "hang-up"
)

// Listen is one signaling socket.
type Listen struct {
	Network string // udp or tcp
	Addr    netip.AddrPort
}

// String is the socket as it stands in the file: udp:127.0.0.1:5060.
func (l Listen) String() string { return l.Network + ":" + l.Addr.String() }

// Answer says when the gateway answers a call from a trunk.
type Answer string

// When a call is answered.
const (
	AnswerQueue Answer = "queue" // 200 at once, then the waiting announcement
	AnswerTaker Answer = "taker" // 180 at once, 200 when a call taker answers
	AnswerEarly Answer = "early" // 183 at once with the waiting announcement, 200 when a call taker answers
)

// RTP is the range of UDP ports for sound (rtp.ports), written FIRST-LAST: both ends belong to it, First is even and at
// least 1024, Last is odd. Each leg takes a pair, so the range must hold 4 × sip.max_calls ports, and no udp listener may
// lie in it. Default 20000-29999.
type RTP struct{ First, Last uint16 }

// Trunk is one operator's way in (trunks).
type Trunk struct {
	// Name (name) is the trunk in records and logs; no two are alike. Letters, digits, - and _, at most 63.
	Name string
	// From (from) are the networks from which the trunk calls, at least one, as prefixes: 127.0.0.2/32. The networks of two
	// trunks do not overlap. Who is in no network of a trunk or of takers gets no reply at all and is counted.
	From []netip.Prefix
	// Numbers (numbers) are the called numbers that are served, at least one, in quotes: "112". Another number gets 404 and
	// is a record with the outcome rejected.
	Numbers []string
	// Trust (trust) says whose word makes a caller's number asserted. Default pai.
	Trust Trust
}

// Trust says which header of a trunk stands for the caller's number.
type Trust string

// What a trunk's numbers are worth.
const (
	TrustPAI  Trust = "pai"  // P-Asserted-Identity (RFC 3325) is asserted, From only claimed
	TrustFrom Trust = "from" // From is asserted
	TrustNone Trust = "none" // every number is only claimed
)

// Takers are the call takers' phones (takers).
type Takers struct {
	// From (from) are the networks whose REGISTER is heard, at least one. An address that is also a trunk's is the trunk's.
	// Default 127.0.0.1/32.
	From []netip.Prefix
}

// Queue says how calls find a call taker (queue).
type Queue struct {
	// RingTimeout (ring_timeout) is how long a phone rings before the call is offered to the next taker; the caller keeps
	// the place. 1s to 5m. Default 15s.
	RingTimeout time.Duration
	// WrapUp (wrap_up) is how long a taker is not rung after a call; 0s to 1h. Default 10s.
	WrapUp time.Duration
	// Strategy (strategy) says which ready taker is rung. Default longest-idle.
	Strategy Strategy
	// Announcement (announcement) is the file that callers hear while they wait: raw A-law or WAV, 8 kHz mono. A relative
	// path is relative to the file's folder; here it is absolute. A missing file is an error at start. Empty: the built-in
	// Indonesian announcement. Default empty.
	Announcement string
	// Music (music) is the file that callers hear while a call taker has put them on hold, as for announcement. Empty: the
	// built-in music. Default empty.
	Music string
}

// Strategy says which ready taker a call is offered to.
type Strategy string

// The strategies.
const (
	LongestIdle Strategy = "longest-idle" // the one who has been free for the longest time
	RingAll     Strategy = "ring-all"     // all at once; the first to answer has the call
)

// Prank says what a history of pranks costs a call (prank). No call is refused for it.
type Prank struct {
	// MaxDelay (max_delay) is the longest that a call gives way to later ones; at most 3 of them, and none once it has
	// waited 60 s. 0s to 60s; 0s: the order is that of arrival. Default 30s.
	MaxDelay time.Duration
}

// Audit says who keeps proof that nothing was rewritten (audit).
type Audit struct {
	// Witness (witness) are the places out of the reach of this machine's owner to which each signed checkpoint goes. Each is
	// file:/path (a folder that exists gets a file for each, a file is replaced), an https:// address (POST), or {command:
	// [program, argument, ...]}, which reads the checkpoint from its standard input, as for e-mail. Default none.
	Witness []Witness
}

// Witness is one such place; exactly one of its fields is set.
type Witness struct {
	File    string   // absolute
	URL     string   // https
	Command []string // the program, as it is found in PATH or by its whole path, and its arguments
}

// Store says how long records are kept, and what is done about the disk (store).
type Store struct {
	Retention Retention // retention
	// Night (night) is the local time, in zone, at which what is too old is erased, the database compacted where something was
	// erased, and everything verified: HH:MM. Default 03:00.
	Night Hour
	// FreeSpace (free_space) is how many bytes must be free on the disk of data; below that the alarm disk sounds. Written as
	// 200MB or 1GB. 1MB or more. Default 200MB.
	FreeSpace uint64
	// Reserve (reserve) is the size in bytes of a file in data that is given up when the disk is full, so that records can be
	// written for a while longer; it is made again when there is room. 0MB: none. Default 64MB.
	Reserve uint64
}

// Retention says how long what is kept (store.retention): days or years, as 90d or 5y; 0: for ever.
type Retention struct {
	// Records (records) is how long after a call arrived its record is kept, with all that is in it; then only its leaf in the
	// ledger stays, and an act that says so. What is held is kept. Default 0.
	Records Age
}

// Age is a span of the calendar. The zero Age is for ever.
type Age struct{ Years, Days int }

// Before is the time before which something is older than the age.
func (a Age) Before(now time.Time) time.Time { return now.AddDate(-a.Years, 0, -a.Days) }

// String is the age as it stands in the file.
func (a Age) String() string {
	switch {
	case a.Years > 0:
		return fmt.Sprintf("%dy", a.Years)
	case a.Days > 0:
		return fmt.Sprintf("%dd", a.Days)
	}
	return "0"
}

// Hour is a time of the day.
type Hour struct{ Hour, Minute int }

// Next is the next such time after now, in now's zone.
func (h Hour) Next(now time.Time) time.Time {
	next := time.Date(now.Year(), now.Month(), now.Day(), h.Hour, h.Minute, 0, 0, now.Location())
	if !next.After(now) {
		next = time.Date(now.Year(), now.Month(), now.Day()+1, h.Hour, h.Minute, 0, 0, now.Location())
	}
	return next
}

// Log says what the process writes to standard error (log).
type Log struct {
	// Level (level) is debug, info, warn or error. Only debug shows callers' numbers whole. Default info.
	Level string
	// Format (format) is console, for people, or json. Default console.
	Format string
}

// Default is the configuration that siaga112 init writes, as if it were read from the file: everything on loopback
// addresses, one trunk. The caller owns what is returned and may change it before it is used.
func Default(file string) *Config {
	file = absolute(file)
	zone, err := time.LoadLocation("Asia/Pontianak")
	if err != nil { // the zone is compiled in
		zone = time.UTC
	}
	addr := netip.MustParseAddrPort("127.0.0.1:5060")
	return &Config{
		File: file,
		Node: "ktp1",
		Zone: zone,
		Data: beside(file, "data"),
		SIP: SIP{
			Listen:   []Listen{{Network: "udp", Addr: addr}, {Network: "tcp", Addr: addr}},
			Realm:    "siaga112",
			Answer:   AnswerQueue,
			MaxCalls: 500,
			OnStop:   HandOver,
			DrainFor: 5 * time.Minute,
		},
		RTP: RTP{First: 20000, Last: 29999},
		Trunks: []Trunk{{
			Name:    "telkom",
			From:    []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")},
			Numbers: []string{"112"},
			Trust:   TrustPAI,
		}},
		Takers: Takers{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Queue:  Queue{RingTimeout: 15 * time.Second, WrapUp: 10 * time.Second, Strategy: LongestIdle},
		Prank:  Prank{MaxDelay: 30 * time.Second},
		Store:  Store{Night: Hour{Hour: 3}, FreeSpace: 200 << 20, Reserve: 64 << 20},
		Log:    Log{Level: "info", Format: "console"},
	}
}

// Read reads and checks a file. A file that cannot be read gives the system's error, wrapped; one that is read but wrong
// gives Faults.
func Read(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(file, data)
}

// absolute is the path as seen from anywhere. Where the working folder is gone, it stays as it was.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// beside is a path of the file, relative to the file's folder.
func beside(file, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(file), path)
}
