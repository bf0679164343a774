package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

const (
	latest     = 1000 // records that are read before the start: whom each call taker talked with last
	learnChunk = 256  // records that the desk is shown at a time
)

// rememberLatest lets the desk know which call each taker talked in last, from the latest of size records: enough for a call
// that ended before a crash and is to be classified by a feature code. The older ones come with learn.
func (g *gateway) rememberLatest(size uint64) error {
	for piece, err := range g.store.Scan(context.Background(), max(size, latest)-latest) {
		r, ok, err := learnable(piece, err)
		if err != nil {
			return fmt.Errorf("read the latest records: %w", err)
		}
		if ok {
			g.desk.Remember(r)
		}
	}
	return nil
}

// learn shows the first size records to the desk, for the score, while calls go on: it rests as long as it works. A call that
// comes before it is done may have no history yet. What is sealed later is not in it. It ends with the context.
func (g *gateway) learn(ctx context.Context, size uint64) {
	begin, n := time.Now(), 0
	rest := time.NewTimer(0)
	defer rest.Stop()
	chunk := make([]call.Record, 0, learnChunk)
	worked := begin
	show := func(last bool) error {
		n += len(chunk)
		err := g.desk.Learn(ctx, chunk, last)
		chunk = make([]call.Record, 0, learnChunk)
		rest.Reset(time.Since(worked))
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		worked = time.Now()
		return err
	}
	err := g.scan(ctx, size, func(r call.Record) error {
		if chunk = append(chunk, r); len(chunk) < learnChunk {
			return nil
		}
		return show(false)
	})
	if err == nil {
		err = show(true)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		g.log.Error("the history was not read to its end: some callers have no score until the next start", zap.Int("records", n), zap.Error(err))
	default:
		g.log.Info("the history is read", zap.Int("records", n), zap.Duration("took", time.Since(begin)))
	}
}

// scan gives each record of a call below size that can be read.
func (g *gateway) scan(ctx context.Context, size uint64, do func(call.Record) error) error {
	for piece, err := range g.store.Scan(ctx, 0) {
		r, ok, err := learnable(piece, err)
		switch {
		case err != nil:
			return err
		case piece.Seq >= size:
			return nil
		case !ok:
			continue
		}
		if err := do(r); err != nil {
			return err
		}
	}
	return nil
}

// learnable reads the record of a call; ok is false for what is none, is erased or is damaged: that cdr verify names.
func learnable(piece call.Sealed, err error) (r call.Record, ok bool, _ error) {
	switch {
	case errors.Is(err, call.ErrFormat):
		return r, false, nil
	case errors.Is(err, store.ErrClosed):
		return r, false, context.Canceled
	case err != nil:
		return r, false, err
	case piece.Of.Kind() != call.Call || len(piece.Body) == 0:
		return r, false, nil
	}
	r, err = call.ParseRecord(piece.Body)
	return r, err == nil, nil
}
