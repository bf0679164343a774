package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// witnesses are those of the configuration.
func witnesses(cfg *config.Config, alarm call.Alarm) *audit.Witnesses {
	ws := make([]audit.Witness, 0, len(cfg.Audit.Witness))
	for _, w := range cfg.Audit.Witness {
		ws = append(ws, audit.Witness(w))
	}
	return audit.NewWitnesses(ws, http.DefaultClient, alarm)
}

// callsTable is calls.csv of a bundle. What it writes is part of the bundle's format: who verifies one writes it again.
func callsTable(ctx context.Context, w io.Writer, src audit.Source, zone *time.Location) (rows int, err error) {
	return tableBy(export.Options{})(ctx, w, src, zone)
}

// tableBy is callsTable by the workers of an export.
func tableBy(o export.Options) audit.Table {
	return func(ctx context.Context, w io.Writer, src audit.Source, zone *time.Location) (rows int, err error) {
		p, err := export.Write(ctx, w, src, export.Options{
			Format: export.CSV, Profile: export.Strict, Zone: zone, Begin: o.Begin, Workers: o.Workers,
		})
		return int(p.Rows), err
	}
}

var _ web.Auditor = ledger{}

// Key implements web.Auditor.
func (l ledger) Key(ctx context.Context) (string, error) { return l.store.Key(ctx) }

// verifier is the key of the ledger's own checkpoints.
func (l ledger) verifier(ctx context.Context) (note.Verifier, error) {
	key, err := l.store.Key(ctx)
	if err != nil {
		return nil, err
	}
	return audit.OpenKey(key)
}

// Checkpoint implements web.Auditor.
func (l ledger) Checkpoint(ctx context.Context) (string, error) {
	signed, err := l.store.Checkpoint(ctx, audit.WhyAsked)
	return string(signed), err
}

// latest makes a checkpoint and reads it.
func (l ledger) latest(ctx context.Context) (signed []byte, at audit.Checkpoint, err error) {
	if signed, err = l.store.Checkpoint(ctx, audit.WhyAsked); err == nil {
		at, err = audit.PeekCheckpoint(signed)
	}
	return signed, at, err
}

// Prove implements web.Auditor.
func (l ledger) Prove(ctx context.Context, what string) ([]string, error) {
	pieces, err := l.pieces(ctx, what)
	if err != nil {
		return nil, err
	}
	signed, at, err := l.latest(ctx)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, p := range pieces {
		proof, err := audit.ProveInclusion(p.Seq, p.Leaf, at, signed, l.store)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(proof.Text()))
	}
	return texts, nil
}

// pieces are the records that a number or an id names.
func (l ledger) pieces(ctx context.Context, what string) ([]call.Sealed, error) {
	if seq, err := strconv.ParseUint(what, 10, 63); err == nil {
		for p, err := range l.store.Scan(ctx, seq) {
			if err == nil && p.Seq == seq {
				return []call.Sealed{p}, nil
			}
			return nil, errors.Join(err, fmt.Errorf("record %d: %w", seq, web.ErrNotFound))
		}
		return nil, fmt.Errorf("record %d: %w", seq, web.ErrNotFound)
	}
	id, err := call.ParseID(what)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: want a record's number or an id", web.ErrInvalid, err)
	}
	pieces, err := l.store.Pieces(id)
	if err == nil && len(pieces) == 0 {
		err = fmt.Errorf("%s has no record: %w", id, web.ErrNotFound)
	}
	return pieces, err
}

// ProveSince implements web.Auditor.
func (l ledger) ProveSince(ctx context.Context, old string) (string, error) {
	key, err := l.verifier(ctx)
	if err != nil {
		return "", err
	}
	from, err := audit.OpenCheckpoint([]byte(old), key)
	if err != nil {
		return "", fmt.Errorf("%w: the older checkpoint was not made by this ledger: %w", web.ErrInvalid, err)
	}
	signed, at, err := l.latest(ctx)
	if err != nil {
		return "", err
	}
	p, err := audit.ProveConsistency(from, at, signed, l.store)
	if err == nil {
		err = p.Verify(at)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", web.ErrConflict, err)
	}
	return string(p.Text()), nil
}

// bundle writes an export as a bundle, as of a checkpoint of its own: the act of the export is in it.
func (l ledger) bundle(ctx context.Context, w io.Writer, e web.Export) (p export.Progress, err error) {
	o := audit.Order{By: e.By, Why: e.Why, Zone: l.zone, Table: tableBy(e.Options), Now: time.Now(), Source: l.store, Tree: l.store, Sign: l.store.Sign}
	if !e.All() {
		o.Filter, o.Want = e.Chosen(), func(r call.Record) bool { return e.Filter.Holds(&r) }
	}
	if o.Checkpoint, err = l.store.Checkpoint(ctx, audit.WhyExport); err != nil {
		return p, err
	}
	if o.Older, err = milestones(l.store); err != nil {
		return p, err
	}
	at, err := audit.PeekCheckpoint(o.Checkpoint)
	if err != nil {
		return p, err
	}
	p.Size = at.Size
	if e.Progress != nil {
		o.Progress = func(next uint64) { e.Progress(export.Progress{Next: next, Size: at.Size}) }
	}
	m, err := audit.WriteBundle(ctx, w, o)
	if err != nil {
		return p, err
	}
	p.Next, p.Rows, p.Erased = at.Size, m.Counts.Rows, m.Counts.Erased
	if e.Progress != nil {
		e.Progress(p)
	}
	return p, nil
}

// milestones are the stored checkpoints of exports, and the last of each day: those from which the way to a bundle is proven.
func milestones(s *store.Store) ([][]byte, error) {
	all, err := s.Checkpoints()
	if err != nil {
		return nil, err
	}
	var out [][]byte
	var next time.Time
	for _, signed := range slices.Backward(all) {
		at, err := audit.PeekCheckpoint(signed)
		if err != nil {
			return nil, err
		}
		if day := at.Time.Truncate(24 * time.Hour); at.Why == audit.WhyExport || !day.Equal(next) {
			out, next = append(out, signed), day
		}
	}
	slices.Reverse(out)
	return out, nil
}

// firstActs is how long a start waits for the acts that it makes; calls go on without them.
const firstActs = time.Second

// noteStart makes the key of the checkpoints at the first start, and notes in the ledger with what configuration and program the
// gateway runs, where that has changed: both before the first call that it concerns.
func (g *gateway) noteStart(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstActs)
	defer cancel()
	if _, err := g.store.Key(ctx); err != nil {
		g.log.Error("the key of the checkpoints is not made yet; the first checkpoint makes it", zap.Error(err))
	}
	if g.cfg.Sum == ([32]byte{}) {
		return
	}
	with := fmt.Sprintf("%s, sha256 %x; program %s", filepath.Base(g.cfg.File), g.cfg.Sum, programVersion())
	if err := g.store.Configured(ctx, with); err != nil {
		g.log.Error("the ledger does not say yet with what configuration calls are served", zap.Error(err))
	}
}
