package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/siaga112/siaga112/call"
)

const (
	witnessTimeout = 30 * time.Second // for one attempt
	witnessFirst   = time.Second      // before the second attempt; doubled each time
	witnessMost    = 5 * time.Minute
	witnessAlarm   = 15 * time.Minute // without a checkpoint taken, from which on the alarm sounds
)

// Witness is a place out of the reach of the machine's owner, which keeps checkpoints. Exactly one of File, URL and Command
// is set.
type Witness struct {
	File    string   // a folder that exists, or a file in one
	URL     string   // https
	Command []string // a program and its arguments
}

// String names the witness to people.
func (w Witness) String() string {
	switch {
	case w.File != "":
		return "file:" + w.File
	case w.URL != "":
		return w.URL
	}
	return "command " + strings.Join(w.Command, " ")
}

// Put hands over a signed checkpoint, once. To a folder it is a new file, named after ledger and size; a file is replaced by
// it, whole or not at all; a URL gets it by POST as text/plain and must answer 2xx; a command reads it from its standard
// input and must end with 0. A folder is never made: what is to be on a disk that is not there must not be anywhere else.
func (w Witness) Put(ctx context.Context, client *http.Client, signed []byte) error {
	switch {
	case w.File != "":
		return w.putFile(signed)
	case w.URL != "":
		return w.post(ctx, client, signed)
	}
	return w.run(ctx, signed)
}

func (w Witness) putFile(signed []byte) error {
	file := w.File
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		at, err := PeekCheckpoint(signed)
		if err != nil {
			return err
		}
		file = filepath.Join(file, fmt.Sprintf("%s-%012d.checkpoint", strings.ReplaceAll(at.Origin, "/", "-"), at.Size))
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".siaga112-*")
	if err != nil {
		return err
	}
	_, err = f.Write(signed)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (w Witness) post(ctx context.Context, client *http.Client, signed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(signed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 200)) // only to tell people
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %s: %s", res.Status, strings.TrimSpace(string(said)))
	}
	return nil
}

func (w Witness) run(ctx context.Context, signed []byte) error {
	c := exec.CommandContext(ctx, w.Command[0], w.Command[1:]...)
	c.Stdin, c.WaitDelay = bytes.NewReader(signed), time.Second
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out[:min(len(out), 200)])))
	}
	return nil
}

// Witnesses carry checkpoints to all witnesses, each at its own pace. A checkpoint that waits is replaced by the next: a
// newer one proves all that an older one does.
type Witnesses struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	boxes  []chan []byte // of one
}

// NewWitnesses starts a goroutine for each witness. Close must be called. A witness that takes no checkpoint for 15 minutes
// raises the alarm "witness" with its name; the next that it takes clears it. client is for URLs.
func NewWitnesses(ws []Witness, client *http.Client, alarm call.Alarm) *Witnesses {
	ctx, cancel := context.WithCancel(context.Background())
	all := &Witnesses{cancel: cancel}
	for _, w := range ws {
		box := make(chan []byte, 1)
		all.boxes = append(all.boxes, box)
		p := &pusher{w: w, client: client, alarm: alarm, box: box}
		all.wg.Go(func() { p.run(ctx) })
	}
	return all
}

// Push hands a signed checkpoint to all witnesses and returns at once. One goroutine at a time may call it.
func (a *Witnesses) Push(signed []byte) {
	for _, box := range a.boxes {
		select {
		case <-box:
		default:
		}
		select {
		case box <- signed:
		default: // another Push was faster
		}
	}
}

// Close ends the goroutines; what no witness has taken yet is pushed after the next start.
func (a *Witnesses) Close() {
	a.cancel()
	a.wg.Wait()
}

// pusher is one witness's goroutine.
type pusher struct {
	w      Witness
	client *http.Client
	alarm  call.Alarm
	box    chan []byte

	since  time.Time // when the first was offered that it has not taken, nor any after it; zero: none
	raised bool
}

func (p *pusher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case signed := <-p.box:
			if !p.deliver(ctx, signed) {
				return
			}
		}
	}
}

// deliver tries until the witness has taken the checkpoint or a newer one; false once ctx is done.
func (p *pusher) deliver(ctx context.Context, signed []byte) bool {
	p.since = time.Now()
	for pause := witnessFirst; ; pause = min(2*pause, witnessMost) {
		try, cancel := context.WithTimeout(ctx, witnessTimeout)
		err := p.w.Put(try, p.client, signed)
		cancel()
		if err == nil {
			p.took()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		p.failed(err)
		if left := time.Until(p.since.Add(witnessAlarm)); !p.raised && left > 0 {
			pause = min(pause, left) // the alarm is not late
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
		select {
		case signed = <-p.box:
		default:
		}
	}
}

func (p *pusher) name() string { return "witness " + p.w.String() }

func (p *pusher) failed(err error) {
	if time.Since(p.since) < witnessAlarm {
		return
	}
	p.raised = true
	p.alarm(p.name(), p.since, fmt.Sprintf("the witness %s has taken no checkpoint since %s: %v. Calls and records go on, but what "+
		"is recorded since then could be rewritten without a trace there. Make the witness reachable, or change audit.witness; it is "+
		"tried again by itself", p.w, p.since.Format("2006-01-02 15:04:05"), err))
}

func (p *pusher) took() {
	p.since = time.Time{}
	if p.raised {
		p.raised = false
		p.alarm(p.name(), time.Time{}, "the witness takes checkpoints again")
	}
}
