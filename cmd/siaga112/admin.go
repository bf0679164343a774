package main

import (
	"cmp"
	"context"
	"crypto/md5" // RFC 7616's HA1 for phones that know nothing newer
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

// administration is what the command line works with: the running gateway over its socket, or else the store itself.
// close must be called.
func administration(ctx context.Context, cfg *config.Config) (admin web.Admin, closed func() error, err error) {
	client := web.Dial(filepath.Join(cfg.Data, config.SocketName))
	err = client.Ping(ctx)
	if err == nil {
		return client, func() error { client.Close(); return nil }, nil
	}
	client.Close()
	if !errors.Is(err, web.ErrNotRunning) {
		return nil, nil, err
	}
	s, err := store.Open(cfg.Data, storeOptions(cfg, nil, zap.NewNop(), nil))
	if err != nil {
		return nil, nil, err
	}
	return atRest{ledger{s, cfg.Zone}, idle{s}, roster{s, cfg.SIP.Realm, nil}, keeping{s, nil}}, s.Close, nil
}

// atRest administers a gateway that does not run.
type atRest struct {
	ledger
	idle
	roster
	keeping
}

// backend is the administration of a running gateway.
func (g *gateway) backend() web.Backend {
	return web.Backend{
		Ledger: ledger{g.store, g.cfg.Zone},
		Desk:   working{g},
		Roster: roster{g.store, g.cfg.SIP.Realm, g},
		Keeper: keeping{g.store, g.desk.Forget},
	}
}

// appended appends and waits until the entries are durable.
func appended(ctx context.Context, s *store.Store, es ...call.Entry) error {
	done := make(chan error, 1)
	s.Append(es, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// act is the ledger's entry of what an administrator did.
func act(what, detail string) call.Entry {
	now := time.Now()
	return call.Entry{Of: call.NewID(call.Act, now), N: 1, At: now, Event: call.Acted{What: what, Detail: detail}}
}

// ledger is web.Ledger over the store.
type ledger struct {
	store *store.Store
	zone  *time.Location
}

// Calls are the records of ended calls, the latest first.
func (l ledger) Calls(ctx context.Context, q web.Query) ([]call.Record, error) {
	limit := q.Limit
	if limit == 0 {
		limit = web.DefaultLimit
	}
	var out []call.Record
	for id, err := range l.store.Find(ctx, store.Query{From: q.From, To: q.To, Number: q.Number, Newest: true}) {
		if err != nil {
			return nil, err
		}
		r, err := l.record(id)
		if err != nil {
			return nil, err
		}
		if out = append(out, r); len(out) == limit {
			break
		}
	}
	return out, nil
}

// record is the latest record of a sealed call.
func (l ledger) record(id call.ID) (call.Record, error) {
	pieces, err := l.store.Pieces(id)
	if err != nil {
		return call.Record{}, err
	}
	if len(pieces) == 0 {
		return call.Record{}, fmt.Errorf("call %s: %w", id, web.ErrNotFound)
	}
	if len(pieces[0].Body) == 0 {
		return call.Record{}, fmt.Errorf("call %s: %w: it was erased", id, web.ErrNotFound)
	}
	return call.ParseRecord(pieces[len(pieces)-1].Body)
}

// Show is everything about one subject.
func (l ledger) Show(ctx context.Context, id call.ID) (pieces []call.Sealed, live []call.Entry, err error) {
	if pieces, err = l.store.Pieces(id); err != nil || len(pieces) > 0 {
		return pieces, nil, err
	}
	for es, err := range l.store.Live() { //nolint:contextcheck // short: only what lives now
		if err := errors.Join(err, ctx.Err()); err != nil {
			return nil, nil, err
		}
		if es[0].Of == id {
			return nil, es, nil
		}
	}
	return nil, nil, fmt.Errorf("%s: %w", id, web.ErrNotFound)
}

// Verify recomputes the whole store.
func (l ledger) Verify(ctx context.Context) (web.Report, error) {
	r, err := l.store.Verify(ctx)
	if err != nil {
		return web.Report{}, err
	}
	out := web.Report{
		Arrived: r.Arrived, Ended: r.Ended, Live: r.Live, Records: r.Records, Root: r.Root.String(), Bad: []string{},
		Erased: r.Erased, Expired: r.Expired, Checkpoints: r.Checkpoints,
	}
	for _, b := range r.Bad {
		out.Bad = append(out.Bad, b.String())
	}
	return out, nil
}

// working is web.Desk over a running gateway.
type working struct{ *gateway }

// Classify is a disposition of a call, live or ended.
func (w working) Classify(ctx context.Context, id call.ID, by call.TakerID, kind call.Kind, note string) error {
	text := strings.TrimSpace(string(kind) + " " + note)
	return deskError(w.desk.Order(ctx, queue.Order{Verb: queue.Classify, Of: id, By: by, Text: text}))
}

// Pause keeps a taker from being rung.
func (w working) Pause(ctx context.Context, taker call.TakerID) error {
	return deskError(w.desk.Order(ctx, queue.Order{Verb: queue.Pause, To: call.Party{Taker: taker}}))
}

// Ready ends a pause or a wrap-up.
func (w working) Ready(ctx context.Context, taker call.TakerID) error {
	return deskError(w.desk.Order(ctx, queue.Order{Verb: queue.Ready, To: call.Party{Taker: taker}}))
}

// View is the latest picture of the desk.
func (w working) View(context.Context) (web.View, error) {
	v := w.desk.View()
	out := web.View{
		At: v.At, Waiting: []web.Waiting{}, Takers: []web.Taker{},
		Arrived: v.Arrived, Ended: v.Ended, Live: v.Live, Outcomes: v.Outcomes,
	}
	for _, c := range v.Waiting {
		p := -1.0
		if c.HasP {
			p = c.P
		}
		out.Waiting = append(out.Waiting, web.Waiting{
			ID: c.ID, Caller: c.Caller, Since: c.Since, P: p, Delay: c.Delay, Passed: uint8(c.Passed), Ringing: c.Ringing,
		})
	}
	known := w.attested(v)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		out.Takers = append(out.Takers, known[name])
	}
	return out, nil
}

// attested is what the desk and the line know of each taker whose phone is registered.
func (g *gateway) attested(v queue.View) map[call.TakerID]web.Taker {
	out := map[call.TakerID]web.Taker{}
	for _, t := range v.Takers {
		out[t.ID] = web.Taker{Name: t.ID, Department: t.Department, State: t.State, Since: t.Since, Call: t.Call, Rang: t.Rang, Answered: t.Answered}
	}
	for _, p := range g.line.Phones() {
		t, ok := out[p.Taker]
		if !ok { // registered, but it has not answered yet
			t = web.Taker{Name: p.Taker, State: call.Off}
		}
		t.Registered, t.Reachable = p.Registered, p.Answers
		out[p.Taker] = t
	}
	return out
}

// deskError says in web's words what the desk or the store refused.
func deskError(err error) error {
	switch {
	case errors.Is(err, store.ErrErased):
		return fmt.Errorf("%w: %w", web.ErrNotFound, err)
	case errors.Is(err, store.ErrUnknown):
		return fmt.Errorf("%w: no such call", web.ErrNotFound)
	case errors.Is(err, queue.ErrOrder):
		return fmt.Errorf("%w: %w", web.ErrConflict, err)
	case errors.Is(err, queue.ErrClosed):
		return fmt.Errorf("%w: %w", web.ErrNotRunning, err)
	}
	return err
}

// idle is web.Desk of a gateway that does not run: only the records are there.
type idle struct{ store *store.Store }

// Classify amends the record of an ended call.
func (i idle) Classify(ctx context.Context, id call.ID, by call.TakerID, kind call.Kind, note string) error {
	return deskError(appended(ctx, i.store, call.Entry{Of: id, At: time.Now(), Event: call.Classified{By: by, Kind: kind, Note: note}}))
}

// Pause needs a running gateway.
func (idle) Pause(context.Context, call.TakerID) error { return web.ErrNotRunning }

// Ready needs a running gateway.
func (idle) Ready(context.Context, call.TakerID) error { return web.ErrNotRunning }

// View needs a running gateway.
func (idle) View(context.Context) (web.View, error) { return web.View{}, web.ErrNotRunning }

// roster is web.Roster over the store; running is nil when no gateway runs.
type roster struct {
	store   *store.Store
	realm   string
	running *gateway
}

// Takers are all accounts, by name, with what the desk and the line know.
func (r roster) Takers(context.Context) ([]web.Taker, error) {
	accounts, err := r.store.Takers()
	if err != nil {
		return nil, err
	}
	var known map[call.TakerID]web.Taker
	if r.running != nil {
		known = r.running.attested(r.running.desk.View())
	}
	out := make([]web.Taker, 0, len(accounts))
	for _, a := range accounts {
		t := known[a.ID]
		if r.running != nil && t.State == "" {
			t.State = call.Off
		}
		t.Name, t.Department, t.Added, t.Digest = a.ID, a.Department, a.Added, a.Digest()
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b web.Taker) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out, nil
}

// AddTaker makes an account; it is an act in the ledger.
func (r roster) AddTaker(ctx context.Context, a web.Account) error {
	if err := web.CheckAccount(a); err != nil {
		return err
	}
	accounts, err := r.store.Takers()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(accounts, func(t store.Taker) bool { return t.ID == a.Name }) {
		return fmt.Errorf("taker %s exists: %w; remove it first to give it a new password", a.Name, web.ErrConflict)
	}
	if err := r.store.PutTaker(account(r.realm, a)); err != nil {
		return err
	}
	return appended(ctx, r.store, act("taker-added", strings.TrimSpace(string(a.Name)+" "+a.Department)))
}

// RemoveTaker removes an account and its registration; it is an act in the ledger.
func (r roster) RemoveTaker(ctx context.Context, name call.TakerID) error {
	err := r.store.RemoveTaker(name)
	if errors.Is(err, store.ErrNoTaker) {
		return fmt.Errorf("taker %s: %w", name, web.ErrNotFound)
	}
	if err != nil {
		return err
	}
	if r.running != nil {
		r.running.line.Forget(name) //nolint:contextcheck // what the line does about its phones outlives this request
	}
	return appended(ctx, r.store, act("taker-removed", string(name)))
}

// account is a taker with the hash of the password by the account's digest algorithm, and neither another hash nor the
// password.
func account(realm string, a web.Account) store.Taker {
	h, digest := md5.New(), cmp.Or(a.Digest, web.Digests[0])
	if digest == "SHA-256" {
		h = sha256.New()
	}
	fmt.Fprintf(h, "%s:%s:%s", a.Name, realm, a.Password)
	return store.Taker{
		ID: a.Name, Department: a.Department, Added: time.Now(), HA1: map[string]string{digest: hex.EncodeToString(h.Sum(nil))},
	}
}
