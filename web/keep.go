package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// Keeper is what is kept and what is forgotten.
type Keeper interface {
	// Erase erases the calls of a number, or calls, and of the number also what the score knows; of a record only its leaf
	// stays. It is journaled as acts. ErrInvalid, ErrNotFound; ErrConflict: one has not ended, or is held. What keeps it in the
	// middle, when something has been erased, is no error but Left.
	Erase(ctx context.Context, e Erasure) (Erased, error)
	// SetHold holds a number or a call, so that it is neither erased nor expires, or releases it. It is journaled as an act.
	// ErrInvalid, ErrNotFound.
	SetHold(ctx context.Context, h Hold, on bool) error
	// Holds are all holds.
	Holds(ctx context.Context) ([]Hold, error)
	// Compact removes the erased bytes from the store's file. ErrConflict: a compaction or a backup is under way.
	Compact(ctx context.Context) (Compacted, error)
	// Backup writes the store as of one moment. It is journaled as an act with that name. ErrConflict as for Compact.
	Backup(ctx context.Context, w io.Writer, name string) error
}

// Erasure says what to erase: all calls of Number, or Calls.
type Erasure struct {
	Number string       `json:"number,omitempty"`
	Calls  []call.ID    `json:"calls,omitempty"`
	By     call.TakerID `json:"by,omitempty"`
	Reason string       `json:"reason"`
	Order  string       `json:"order"`
	DryRun bool         `json:"dry_run,omitempty"`
}

// Erased is what was erased, or would be.
type Erased struct {
	Calls    int       `json:"calls"`
	Records  int       `json:"records"`            // of those calls, with the amendments, and of Acts
	Acts     int       `json:"acts"`               // whose text named the number
	Said     []call.ID `json:"said,omitempty"`     // the acts that say so in the ledger
	Mentions []call.ID `json:"mentions,omitempty"` // what names the number in its text and was left
	Others   []string  `json:"others,omitempty"`   // other notations of the number that have calls, which were left
	Left     string    `json:"left,omitempty"`     // why not all was erased; "" where all was
	Asides   []string  `json:"asides,omitempty"`   // files in the data folder that an erasure does not reach
}

// Hold is a number or a call that is kept.
type Hold struct {
	Number string       `json:"number,omitempty"`
	Call   call.ID      `json:"call,omitempty"`
	By     call.TakerID `json:"by,omitempty"`
	Reason string       `json:"reason,omitempty"`
	Since  time.Time    `json:"since,omitzero"`
	Act    call.ID      `json:"act,omitempty"` // that says so in the ledger
}

// Compacted is what a compaction did.
type Compacted struct {
	Before int64         `json:"before"` // bytes of the file
	After  int64         `json:"after"`
	Took   time.Duration `json:"took_ns"`
	Pause  time.Duration `json:"pause_ns"` // how long no record could be written
}

type (
	holdBody struct {
		Hold
		On bool `json:"on"`
	}
	holdsBody struct {
		Holds []Hold `json:"holds"`
	}
)

// maxBackupName bounds the name of a backup, in bytes.
const maxBackupName = 255

// keepRoutes serves Keeper.
func (h *Handler) keepRoutes() {
	for pattern, serve := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"POST /v1/erase":   h.erase,
		"POST /v1/holds":   h.setHold,
		"GET /v1/holds":    h.holds,
		"POST /v1/compact": h.compact,
		"POST /v1/backup":  h.backup,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
}

func (h *Handler) erase(w http.ResponseWriter, r *http.Request) error {
	e, err := read[Erasure](r)
	if err != nil {
		return err
	}
	done, err := h.backend.Keeper.Erase(r.Context(), e)
	if err != nil {
		return err
	}
	return h.reply(w, done)
}

func (h *Handler) setHold(w http.ResponseWriter, r *http.Request) error {
	b, err := read[holdBody](r)
	if err != nil {
		return err
	}
	if err := h.backend.Keeper.SetHold(r.Context(), b.Hold, b.On); err != nil {
		return err
	}
	return h.reply(w, struct{}{})
}

func (h *Handler) holds(w http.ResponseWriter, r *http.Request) error {
	hs, err := h.backend.Keeper.Holds(r.Context())
	if err != nil {
		return err
	}
	return h.reply(w, holdsBody{Holds: hs})
}

func (h *Handler) compact(w http.ResponseWriter, r *http.Request) error {
	done, err := h.backend.Keeper.Compact(r.Context())
	if err != nil {
		return err
	}
	return h.reply(w, done)
}

// backup streams. An error before the first byte is an answer like any other; a later one is told in the trailer.
func (h *Handler) backup(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("name")
	if name == "" || len(name) > maxBackupName || strings.ContainsAny(name, "\n\r") {
		return fmt.Errorf("name %q: %w: want 1 to %d bytes", name, ErrInvalid, maxBackupName)
	}
	s := &stream{w: w, contentType: "application/octet-stream"}
	err := h.backend.Keeper.Backup(r.Context(), s, name)
	switch {
	case err == nil:
		s.begin()
		return nil
	case !s.begun:
		return err
	}
	h.log.Error("backup ended early", zap.Error(err))
	w.Header().Set(errorTrailer, strconv.QuoteToASCII(err.Error()))
	return nil
}

// Erase implements Keeper.
func (c *Client) Erase(ctx context.Context, e Erasure) (Erased, error) {
	var done Erased
	err := c.do(ctx, http.MethodPost, "/v1/erase", nil, e, &done)
	return done, err
}

// SetHold implements Keeper.
func (c *Client) SetHold(ctx context.Context, h Hold, on bool) error {
	return c.do(ctx, http.MethodPost, "/v1/holds", nil, holdBody{Hold: h, On: on}, nil)
}

// Holds implements Keeper.
func (c *Client) Holds(ctx context.Context) ([]Hold, error) {
	var b holdsBody
	err := c.do(ctx, http.MethodGet, "/v1/holds", nil, nil, &b)
	return b.Holds, err
}

// Compact implements Keeper.
func (c *Client) Compact(ctx context.Context) (Compacted, error) {
	var done Compacted
	err := c.do(ctx, http.MethodPost, "/v1/compact", nil, nil, &done)
	return done, err
}

// Backup implements Keeper. It writes as it reads; a gateway that ends meanwhile is an error.
func (c *Client) Backup(ctx context.Context, w io.Writer, name string) error {
	res, err := c.send(ctx, http.MethodPost, "/v1/backup", map[string][]string{"name": {name}}, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if s := res.Trailer.Get(errorTrailer); s != "" {
		if text, err := strconv.Unquote(s); err == nil {
			s = text
		}
		return errorOf(http.StatusInternalServerError, s)
	}
	return nil
}
