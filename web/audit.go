package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Auditor is what an auditor asks for. It is an add-on: a Ledger that is one, too, serves it.
type Auditor interface {
	// Key is the public key of the checkpoints, in one line (golang.org/x/mod/sumdb/note).
	Key(ctx context.Context) (string, error)
	// Checkpoint is a signed checkpoint of all that is sealed now.
	Checkpoint(ctx context.Context) (string, error)
	// Prove is the proof that a record is in the latest checkpoint; what is a record's number, or a subject's id, of which
	// each record is proven. ErrNotFound, ErrInvalid.
	Prove(ctx context.Context, what string) ([]string, error)
	// ProveSince is the proof that the latest checkpoint continues an older one, which is given signed. ErrInvalid: it is no
	// checkpoint of this ledger; ErrConflict: it cannot be proven, for the history is another.
	ProveSince(ctx context.Context, old string) (string, error)
}

// ErrNoAuditor: what serves the socket is older than this program.
var ErrNoAuditor = fmt.Errorf("%w here: the running gateway does not know it; restart it with this version", ErrNotFound)

type (
	textBody  struct{ Text string }
	proofBody struct{ Proofs []string }
)

// serveAudit adds the auditor's routes.
func (h *Handler) serveAudit() {
	a, ok := h.backend.Ledger.(Auditor)
	if !ok {
		return
	}
	text := func(f func(context.Context) (string, error)) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			s, err := f(r.Context())
			if err != nil {
				return err
			}
			return h.reply(w, textBody{s})
		}
	}
	for pattern, serve := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"GET /v1/audit/key":         text(a.Key),
		"POST /v1/audit/checkpoint": text(a.Checkpoint),
		"POST /v1/audit/since": func(w http.ResponseWriter, r *http.Request) error {
			b, err := read[textBody](r)
			if err != nil {
				return err
			}
			return text(func(ctx context.Context) (string, error) { return a.ProveSince(ctx, b.Text) })(w, r)
		},
		"GET /v1/audit/proof/{what}": func(w http.ResponseWriter, r *http.Request) error {
			ps, err := a.Prove(r.Context(), r.PathValue("what"))
			if err != nil {
				return err
			}
			return h.reply(w, proofBody{ps})
		},
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
}

var _ Auditor = (*Client)(nil)

// auditText asks for a text.
func (c *Client) auditText(ctx context.Context, method, path string, body any) (string, error) {
	var b textBody
	if err := c.do(ctx, method, path, nil, body, &b); err != nil {
		return "", older(err)
	}
	return b.Text, nil
}

// older says of a route that is not there what it means.
func older(err error) error {
	if errors.Is(err, ErrNotFound) && strings.Contains(err.Error(), "/v1/audit/") {
		return ErrNoAuditor
	}
	return err
}

// Key implements Auditor.
func (c *Client) Key(ctx context.Context) (string, error) {
	return c.auditText(ctx, http.MethodGet, "/v1/audit/key", nil)
}

// Checkpoint implements Auditor.
func (c *Client) Checkpoint(ctx context.Context) (string, error) {
	return c.auditText(ctx, http.MethodPost, "/v1/audit/checkpoint", nil)
}

// ProveSince implements Auditor.
func (c *Client) ProveSince(ctx context.Context, old string) (string, error) {
	return c.auditText(ctx, http.MethodPost, "/v1/audit/since", textBody{old})
}

// Prove implements Auditor.
func (c *Client) Prove(ctx context.Context, what string) ([]string, error) {
	var b proofBody
	err := c.do(ctx, http.MethodGet, "/v1/audit/proof/"+url.PathEscape(what), nil, nil, &b)
	return b.Proofs, older(err)
}
