package main

import (
	"context"
	"fmt"
	"io"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// Export writes calls, or a bundle. The act "export" stands in the ledger before the first row, with all that was asked for; the act
// "exported" after the last, with the counts: an export without it did not come to its end. A checkpoint covers
// both.
func (l ledger) Export(ctx context.Context, w io.Writer, e web.Export) (export.Progress, error) {
	size, err := l.store.Size()
	if err != nil {
		return export.Progress{}, err
	}
	if e.Size > size {
		return export.Progress{}, fmt.Errorf("export as of record %d: %w: the store has %d: it is an older one", e.Size, web.ErrConflict, size)
	}
	begun := act("export", e.Detail())
	begun.Event = call.Acted{By: call.TakerID(e.By), What: "export", Detail: e.Detail()}
	if err := appended(ctx, l.store, begun); err != nil {
		return export.Progress{}, err
	}
	workers, end := extra.take()
	defer end()
	e.Zone, e.Begin, e.Workers = l.zone, background, workers
	var p export.Progress
	if e.Format == web.Bundle {
		p, err = l.bundle(ctx, w, e)
	} else {
		if e.Size == 0 {
			e.Size = size
		}
		p, err = export.Write(ctx, w, l.store, e.Options)
	}
	if err != nil {
		return p, err
	}
	detail := fmt.Sprintf("%s: %d rows as of record %d, %d erased", begun.Of, p.Rows, p.Size, p.Erased)
	ended := act("exported", detail)
	ended.Event = call.Acted{By: call.TakerID(e.By), What: "exported", Detail: detail}
	if err := appended(ctx, l.store, ended); err != nil {
		return p, err
	}
	_, err = l.store.Checkpoint(ctx, audit.WhyExport)
	return p, err
}
