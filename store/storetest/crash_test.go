package storetest_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

const (
	kills      = 150                  // times what the environment asks for
	killFiles  = 10                   // so many stores, each killed in turn
	killLines  = 16                   // at most so many lines are read before the kill,
	killAfter  = 2 * time.Millisecond // which comes at most so much later
	crashDir   = "SIAGA112_CRASH_DIR" // in the environment: this process is to be killed
	crashRun   = "SIAGA112_CRASH_RUN"
	crashCalls = 100_000 // calls in a run, more than it can make
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashNumber is the caller of a call: one of a few, so that erasures find something.
func crashNumber(n int) string { return fmt.Sprintf("+62811555%04d", n%97) }

// crashScript is the whole of the n-th call, with its amendment.
func crashScript(n int) []call.Entry {
	id := storetest.ID(call.Call, n, storetest.Start())
	es := storetest.Answered(id, storetest.Start(), crashNumber(n), "t1")
	return append(es, call.Entry{
		Of: id, N: uint32(len(es)) + 1, At: storetest.Start(), Event: call.Classified{By: "t1", Kind: call.Prank},
	})
}

// victim writes calls, erases callers and compacts the file until it is killed, and says on standard output what was
// acknowledged: "a CALL N", "E NUMBER" before an erasure and "e NUMBER" after it.
func victim(dir string) error {
	run, err := strconv.Atoi(os.Getenv(crashRun))
	if err != nil {
		return err
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	play := func(n, from int) error {
		es, rng := crashScript(n), rand.New(rand.NewPCG(uint64(n), 1))
		for from < len(es) {
			to := min(len(es), from+1+rng.IntN(len(es)))
			if rng.IntN(3) == 0 {
				s.Keep(es[0].Of, call.Leg(from), []byte("leg"), nil)
			}
			if err := storetest.Append(s, es[from:to]...); err != nil {
				if errors.Is(err, store.ErrErased) {
					return nil
				}
				return err
			}
			say("a %d %d", n, to)
			from = to
		}
		return nil
	}
	say("open")
	// What an earlier run left unfinished is taken up.
	for es, err := range s.Live() {
		if err != nil {
			return err
		}
		n, err := callNumber(es[0].Of)
		if err == nil {
			err = play(n, len(es))
		}
		if err != nil {
			return err
		}
	}
	failed := make(chan error)
	turns := make(chan int) // calls that have ended: each other of a worker gives the others a turn
	for w := range 3 {
		go func() {
			for i := 0; ; i++ {
				if err := play(run*crashCalls+3*i+w, 0); err != nil {
					failed <- err
				}
				if i%2 == 1 {
					turns <- run*crashCalls + 3*i + w
				}
			}
		}()
	}
	go func() {
		for n := range turns {
			say("E %s", crashNumber(n))
			_, err := s.Erase(context.Background(), store.Erasure{Number: crashNumber(n), Reason: "r", Order: "1"})
			switch {
			case err == nil:
				say("e %s", crashNumber(n))
			case !errors.Is(err, store.ErrLive): // a call of another worker
				failed <- err
			}
		}
	}()
	go func() {
		for range turns {
			if _, err := s.Compact(context.Background()); err != nil {
				failed <- err
			}
		}
	}()
	return <-failed
}

// callNumber is the n of crashScript.
func callNumber(id call.ID) (int, error) {
	u, err := ulid.ParseStrict(string(id[1:]))
	return int(binary.BigEndian.Uint64(u.Entropy()[2:])), err
}

// said is what the victims of one store have acknowledged.
type said struct {
	entries map[int]int      // by call: so many are durable
	begun   map[string]bool  // numbers that somebody began to erase
	gone    map[int]bool     // calls that must be erased
	before  map[string][]int // by number: calls that had ended when its last erasure began
}

func (a *said) line(l string) error {
	what, rest, _ := strings.Cut(l, " ")
	switch what {
	case "open":
	case "a":
		var n, upTo int
		if _, err := fmt.Sscanf(rest, "%d %d", &n, &upTo); err != nil {
			return err
		}
		a.entries[n] = max(a.entries[n], upTo)
	case "E":
		a.begun[rest] = true
		a.before[rest] = a.before[rest][:0]
		for n, has := range a.entries {
			if crashNumber(n) == rest && has >= 12 {
				a.before[rest] = append(a.before[rest], n)
			}
		}
	case "e":
		for _, n := range a.before[rest] {
			a.gone[n] = true
		}
	default:
		return fmt.Errorf("the victim says %q", l)
	}
	return nil
}

// kill runs a victim, kills it at a random time, and takes in what it has said.
func (a *said) kill(t *testing.T, dir string, run int, rng *rand.Rand) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashRun+"="+strconv.Itoa(run))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for left := rng.IntN(killLines); ; left-- {
		l, err := r.ReadString('\n') // the last line may be half: it was not said
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = a.line(strings.TrimSuffix(l, "\n"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			kill := time.AfterFunc(time.Duration(rng.Int64N(int64(killAfter))), func() { _ = cmd.Process.Kill() })
			defer kill.Stop()
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the victim ended by itself: %v", err)
	}
}

// check holds what is in the store against what was acknowledged.
func (a *said) check(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	storetest.Check(t, s)
	live := map[call.ID]int{}
	for es, err := range s.Live() {
		if err != nil {
			t.Fatal(err)
		}
		live[es[0].Of] = len(es)
	}
	for n, want := range a.entries {
		id := storetest.ID(call.Call, n, storetest.Start())
		ps, err := s.Pieces(id)
		if err != nil {
			t.Fatal(err)
		}
		has, empty := live[id], 0
		for _, p := range ps {
			if len(p.Body) == 0 {
				empty++
				continue
			}
			_, es, err := call.ParseBody(p.Body)
			if err != nil {
				t.Fatal(err)
			}
			has += len(es)
		}
		switch {
		case empty > 0 && (empty < len(ps) || !a.begun[crashNumber(n)]):
			t.Errorf("of call %d %d of %d pieces are erased", n, empty, len(ps))
		case empty == 0 && a.gone[n]:
			t.Errorf("call %d is back", n)
		case empty == 0 && has < want:
			t.Errorf("call %d has %d entries, %d were acknowledged", n, has, want)
		}
	}
}

// Whenever the process is killed, all that was acknowledged is there, nothing is half, and the store verifies; the next
// process takes up what was left.
func TestKilled(t *testing.T) {
	var calls, gone atomic.Int64
	t.Cleanup(func() { // once all have ended
		if calls.Load() == 0 || gone.Load() == 0 {
			t.Errorf("%d calls, %d erased: the victims did nothing", calls.Load(), gone.Load())
		}
	})
	for f := range killFiles {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			t.Parallel()
			dir := storetest.Dir(t)
			rng := rand.New(rand.NewPCG(uint64(f), 112))
			a := &said{entries: map[int]int{}, begun: map[string]bool{}, gone: map[int]bool{}, before: map[string][]int{}}
			for run := range storetest.Times(t, kills/killFiles) {
				a.kill(t, dir, run, rng)
				a.check(t, dir)
				if t.Failed() {
					t.Fatalf("after kill %d", run)
				}
			}
			calls.Add(int64(len(a.entries)))
			gone.Add(int64(len(a.gone)))
		})
	}
}
