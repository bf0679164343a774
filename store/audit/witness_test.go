package audit_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/store/audit"
)

func TestWitnessFile(t *testing.T) {
	l := history(t)
	dir := t.TempDir()
	put := func(w audit.Witness, b []byte) {
		t.Helper()
		if err := w.Put(t.Context(), nil, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{7, 9, 9} {
		put(audit.Witness{File: dir}, l.checkpoint(n))
		put(audit.Witness{File: filepath.Join(dir, "latest")}, l.checkpoint(n))
	}
	got := map[string]string{}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[n.Name()] = string(b)
	}
	want := map[string]string{
		"siaga112-ktp1-000000000007.checkpoint": string(l.checkpoint(7)),
		"siaga112-ktp1-000000000009.checkpoint": string(l.checkpoint(9)),
		"latest":                                string(l.checkpoint(9)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := (audit.Witness{File: filepath.Join(dir, "usb", "latest")}).Put(t.Context(), nil, l.checkpoint(7)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestWitnessHTTPS(t *testing.T) {
	var mu sync.Mutex
	status, got := http.StatusNoContent, ""
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = r.Method + " " + r.Header.Get("Content-Type") + " " + string(b)
		w.WriteHeader(status)
		if status >= 400 {
			_, _ = io.WriteString(w, "no room\n")
		}
	}))
	defer srv.Close()
	w := audit.Witness{URL: srv.URL + "/checkpoints"}
	if err := w.Put(t.Context(), srv.Client(), []byte("x")); err != nil || got != "POST text/plain; charset=utf-8 x" {
		t.Errorf("%v %q", err, got)
	}
	mu.Lock()
	status = http.StatusInsufficientStorage
	mu.Unlock()
	if err := w.Put(t.Context(), srv.Client(), []byte("x")); err == nil || !strings.Contains(err.Error(), "507 Insufficient Storage: no room") {
		t.Error(err)
	}
	if err := w.Put(t.Context(), http.DefaultClient, []byte("x")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

func TestWitnessCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mail")
	w := audit.Witness{Command: []string{"sh", "-c", `cat > "$0"`, file}}
	if err := w.Put(t.Context(), nil, []byte("note")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "note" {
		t.Errorf("%q %v", b, err)
	}
	w = audit.Witness{Command: []string{"sh", "-c", "echo no such user; exit 67"}}
	if err := w.Put(t.Context(), nil, []byte("note")); err == nil || !strings.Contains(err.Error(), "exit status 67: no such user") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Put(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// trip is a witness behind HTTP that does as it is told.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWitnesses: a dead one blocks nobody, is tried again with longer and longer pauses, and raises the alarm after a
// quarter of an hour.
func TestWitnesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		dead, tries := true, []time.Duration{}
		got := map[string][]string{}
		client := &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Host == "dead" && dead {
				tries = append(tries, time.Since(start))
				return nil, errors.New("no route")
			}
			if r.URL.Host == "hangs" {
				mu.Unlock()
				<-r.Context().Done()
				mu.Lock()
				return nil, r.Context().Err()
			}
			got[r.URL.Host] = append(got[r.URL.Host], string(b))
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})}
		var alarms []string
		ws := audit.NewWitnesses([]audit.Witness{{URL: "https://dead"}, {URL: "https://hangs"}, {URL: "https://fine"}}, client,
			func(name string, since time.Time, text string) {
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(name, "dead") {
					alarms = append(alarms, name+" "+time.Since(start).String()+" "+text)
					if !since.IsZero() && !since.Equal(start) {
						t.Errorf("since %s, it began %s", since, start)
					}
				}
			})
		defer func() { mu.Unlock(); ws.Close() }()
		ws.Push([]byte("1"))
		synctest.Wait()
		ws.Push([]byte("2"))
		synctest.Wait()
		ws.Push([]byte("3"))
		wait := func(d time.Duration) {
			mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
		}
		mu.Lock()
		wait(14 * time.Minute)
		if len(alarms) > 0 {
			t.Errorf("early: %v", alarms)
		}
		if len(tries) < 9 || tries[1] != time.Second || tries[2] != 3*time.Second || tries[len(tries)-1]-tries[len(tries)-2] > 5*time.Minute {
			t.Errorf("tried at %v", tries)
		}
		wait(2 * time.Minute)
		if len(alarms) != 1 || !strings.HasPrefix(alarms[0], "witness https://dead 15m0s the witness https://dead has taken no checkpoint since ") ||
			!strings.Contains(alarms[0], "no route") {
			t.Errorf("alarms: %q", alarms)
		}
		dead = false
		wait(10 * time.Minute)
		if len(alarms) < 2 || !strings.Contains(alarms[len(alarms)-1], "takes checkpoints again") {
			t.Errorf("alarms: %q", alarms)
		}
		want := map[string][]string{"dead": {"3"}, "fine": {"1", "2", "3"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
