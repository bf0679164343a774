package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

// keeping is web.Keeper over the store; forget is nil when no gateway runs.
type keeping struct {
	store  *store.Store
	forget func(number string)
}

// Erase erases calls, and what the score knows of their number.
func (k keeping) Erase(ctx context.Context, e web.Erasure) (web.Erased, error) {
	done, err := k.store.Erase(ctx, store.Erasure{
		Number: e.Number, Calls: e.Calls, By: e.By, Reason: e.Reason, Order: e.Order, DryRun: e.DryRun,
	})
	left := ""
	switch {
	case err != nil && done.Pieces == 0:
		return web.Erased{}, keepError(err)
	case err != nil:
		left = err.Error()
	}
	if k.forget != nil && e.Number != "" && !e.DryRun {
		k.forget(e.Number)
	}
	asides, err := store.Asides(k.store.Dir())
	if err != nil {
		return web.Erased{}, err
	}
	return web.Erased{
		Calls: done.Calls, Records: done.Pieces, Acts: done.Acts, Said: done.Said, Mentions: done.Mentions,
		Others: done.Others, Left: left, Asides: asides,
	}, nil
}

// SetHold holds, or releases.
func (k keeping) SetHold(_ context.Context, h web.Hold, on bool) error {
	hold := store.Hold{Number: h.Number, Call: h.Call, By: h.By, Reason: h.Reason}
	if !on {
		return keepError(k.store.Release(hold))
	}
	_, err := k.store.Hold(hold)
	return keepError(err)
}

// Holds are all holds.
func (k keeping) Holds(context.Context) ([]web.Hold, error) {
	hs, err := k.store.Holds()
	out := make([]web.Hold, 0, len(hs))
	for _, h := range hs {
		out = append(out, web.Hold{Number: h.Number, Call: h.Call, By: h.By, Reason: h.Reason, Since: h.Since, Act: h.Act})
	}
	return out, err
}

// Compact removes the erased bytes from the file.
func (k keeping) Compact(ctx context.Context) (web.Compacted, error) {
	done, err := k.store.Compact(ctx)
	return web.Compacted{Before: done.Before, After: done.After, Took: done.Took, Pause: done.Pause}, keepError(err)
}

// Backup writes the store as of one moment.
func (k keeping) Backup(ctx context.Context, w io.Writer, name string) error {
	return keepError(k.store.Backup(ctx, w, "", name))
}

// keepError says in web's words what the store refused.
func keepError(err error) error {
	is := func(kinds ...error) bool {
		for _, k := range kinds {
			if errors.Is(err, k) {
				return true
			}
		}
		return false
	}
	switch {
	case is(store.ErrLive, store.ErrOnHold, store.ErrBusy, store.ErrNoRoom):
		return fmt.Errorf("%w: %w", web.ErrConflict, err)
	case is(store.ErrUnknown, store.ErrNoHold):
		return fmt.Errorf("%w: %w", web.ErrNotFound, err)
	case is(store.ErrInvalid, store.ErrNamed):
		return fmt.Errorf("%w: %w", web.ErrInvalid, err)
	}
	return err
}

// storeOptions are the options of the store that the configuration gives.
func storeOptions(cfg *config.Config, alarm call.Alarm, log *zap.Logger, sealed func(call.Record)) store.Options {
	return store.Options{
		Alarm: alarm, Log: log, Sealed: sealed, Node: cfg.Node,
		FreeSpace: cfg.Store.FreeSpace, Reserve: int64(cfg.Store.Reserve),
	}
}

// nights does each night what keeps the store in order, until ctx is done.
func nights(ctx context.Context, s *store.Store, cfg *config.Config, alarm call.Alarm, log *zap.Logger) {
	for {
		now := time.Now().In(cfg.Zone)
		t := time.NewTimer(cfg.Store.Night.Next(now).Sub(now))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			night(ctx, s, cfg.Store.Retention.Records, alarm, log)
		}
	}
}

// night erases what is too old, compacts where something was erased, and verifies: the alarm ledger sounds from a night in
// which something is bad to one in which nothing is.
func night(ctx context.Context, s *store.Store, keep config.Age, alarm call.Alarm, log *zap.Logger) {
	failed := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			log.Error("night: "+what, zap.Error(err))
		}
	}
	if keep != (config.Age{}) {
		done, err := s.Expire(ctx, keep.Before(time.Now()), "older than "+keep.String())
		failed("records that are too old", err)
		log.Info("night: records that are too old are erased", zap.Int("calls", done.Calls), zap.Int("records", done.Pieces))
	}
	if n, err := s.Unclean(); err != nil || n > 0 {
		if err == nil {
			_, err = s.Compact(ctx)
		}
		failed("compaction", err)
	}
	begin := time.Now()
	r, err := s.Verify(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		alarm("ledger", begin, fmt.Sprintf("the records cannot be verified: %v. Make no change to the data folder; look at the disk, "+
			"then siaga112 cdr verify", err))
	case !r.OK():
		alarm("ledger", begin, fmt.Sprintf("%d things are not as they were written, the first: %s. siaga112 cdr verify names all. "+
			"Keep the latest backup that verifies, and look at the disk", len(r.Bad), r.Bad[0]))
	default:
		alarm("ledger", time.Time{}, "the records verify")
		log.Info("night: verified", zap.Uint64("records", r.Records), zap.Duration("took", time.Since(begin)))
	}
}
