package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// Handler serves the administration API. It starts no goroutine.
type Handler struct {
	backend Backend
	log     *zap.Logger
	mux     http.ServeMux

	ctx    context.Context // of all requests
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed against requests
	closed bool
	open   sync.WaitGroup // requests
}

// New is the API over a backend. Who can connect may do everything: it is meant for the socket of Listen and no other.
func New(b Backend, log *zap.Logger) *Handler {
	h := &Handler{backend: b, log: log}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for pattern, serve := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"GET /v1/ping":                 h.ping,
		"GET /v1/calls":                h.calls,
		"GET /v1/calls/{id}":           h.show,
		"POST /v1/calls/{id}/classify": h.classify,
		"GET /v1/export":               h.export,
		"GET /v1/verify":               h.verify,
		"GET /v1/view":                 h.view,
		"GET /v1/takers":               h.takers,
		"POST /v1/takers":              h.addTaker,
		"DELETE /v1/takers/{name}":     h.removeTaker,
		"POST /v1/takers/{name}/pause": h.pause,
		"POST /v1/takers/{name}/ready": h.ready,
		"/":                            h.unknown,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
	h.serveAudit()
	h.keepRoutes()
	return h
}

// ServeHTTP serves one request. After Close it answers 503.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		h.fail(w, r, fmt.Errorf("stopping: %w", ErrNotRunning))
		return
	}
	defer h.open.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)() //nolint:contextcheck // Close ends the request, as its client may
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	start := time.Now()
	h.mux.ServeHTTP(w, r.WithContext(ctx))
	h.log.Debug("request", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Duration("took", time.Since(start)))
}

// enter counts a request, unless the handler is closed.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.open.Add(1)
	return true
}

// Close cancels the requests that are being served and waits until none uses the backend any more. It does not close
// the listener.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.open.Wait()
}

// fail answers an error: its status and {"error": sentence}. Trouble inside the gateway is logged.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		h.log.Error("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
	h.write(w, status, errorBody{Error: err.Error()})
}

// reply answers 200 with a body.
func (h *Handler) reply(w http.ResponseWriter, body any) error {
	h.write(w, http.StatusOK, body)
	return nil
}

func (h *Handler) write(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		h.log.Error("a body that is no JSON", zap.Error(err))
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer could not be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(append(b, '\n')); err != nil {
		h.log.Debug("the client has gone", zap.Error(err))
	}
}

// read decodes a request's body strictly.
func read[T any](r *http.Request) (T, error) {
	var v T
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("body: %w: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("body: %w: something follows the JSON", ErrInvalid)
	}
	return v, nil
}

// id is the subject in the path.
func id(r *http.Request) (call.ID, error) {
	id, err := call.ParseID(r.PathValue("id"))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return id, nil
}

// when is a time in the query: RFC 3339, or missing.
func when(r *http.Request, name string) (time.Time, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %q: %w: want a time as 2026-01-31T08:00:00+07:00", name, s, ErrInvalid)
	}
	return t, nil
}

// span are the times from and to in the query.
func span(r *http.Request) (from, to time.Time, err error) {
	if from, err = when(r, "from"); err != nil {
		return from, to, err
	}
	if to, err = when(r, "to"); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("from %s to %s: %w: it ends before it begins", from.Format(time.RFC3339), to.Format(time.RFC3339), ErrInvalid)
	}
	return from, to, nil
}

func (h *Handler) unknown(_ http.ResponseWriter, r *http.Request) error {
	return fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, ErrNotFound)
}

func (h *Handler) ping(w http.ResponseWriter, _ *http.Request) error {
	return h.reply(w, struct{}{})
}

func (h *Handler) calls(w http.ResponseWriter, r *http.Request) error {
	from, to, err := span(r)
	if err != nil {
		return err
	}
	q := Query{From: from, To: to, Number: r.URL.Query().Get("number"), Limit: DefaultLimit}
	if s := r.URL.Query().Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > MaxLimit {
			return fmt.Errorf("limit %q: %w: want 1 to %d", s, ErrInvalid, MaxLimit)
		}
	}
	calls, err := h.backend.Ledger.Calls(r.Context(), q)
	if err != nil {
		return err
	}
	return h.reply(w, callsBody{Calls: calls})
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request) error {
	id, err := id(r)
	if err != nil {
		return err
	}
	pieces, live, err := h.backend.Ledger.Show(r.Context(), id)
	if err != nil {
		return err
	}
	body, err := newShowBody(pieces, live)
	if err != nil {
		return err
	}
	return h.reply(w, body)
}

func (h *Handler) classify(w http.ResponseWriter, r *http.Request) error {
	id, err := id(r)
	if err != nil {
		return err
	}
	b, err := read[classifyBody](r)
	if err != nil {
		return err
	}
	if err := CheckClassification(id, b.Kind, b.Note); err != nil {
		return err
	}
	if err := h.backend.Desk.Classify(r.Context(), id, b.By, b.Kind, b.Note); err != nil {
		return err
	}
	return h.reply(w, struct{}{})
}

// stream is a response whose header goes out with its first byte.
type stream struct {
	w           http.ResponseWriter
	contentType string
	begun       bool
}

func (s *stream) begin() {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", s.contentType)
		s.w.Header().Set("Trailer", errorTrailer)
		s.w.WriteHeader(http.StatusOK)
	}
}

func (s *stream) Write(b []byte) (int, error) {
	s.begin()
	return s.w.Write(b)
}

func (h *Handler) verify(w http.ResponseWriter, r *http.Request) error {
	report, err := h.backend.Ledger.Verify(r.Context())
	if err != nil {
		return err
	}
	return h.reply(w, report)
}

func (h *Handler) view(w http.ResponseWriter, r *http.Request) error {
	v, err := h.backend.Desk.View(r.Context())
	if err != nil {
		return err
	}
	return h.reply(w, v)
}

func (h *Handler) takers(w http.ResponseWriter, r *http.Request) error {
	ts, err := h.backend.Roster.Takers(r.Context())
	if err != nil {
		return err
	}
	return h.reply(w, takersBody{Takers: ts})
}

func (h *Handler) addTaker(w http.ResponseWriter, r *http.Request) error {
	a, err := read[Account](r)
	if err != nil {
		return err
	}
	if err := CheckAccount(a); err != nil {
		return err
	}
	if err := h.backend.Roster.AddTaker(r.Context(), a); err != nil {
		return err
	}
	h.log.Info("call taker added", zap.String("taker", string(a.Name)))
	h.write(w, http.StatusCreated, struct{}{})
	return nil
}

func (h *Handler) removeTaker(w http.ResponseWriter, r *http.Request) error {
	name := call.TakerID(r.PathValue("name"))
	if err := h.backend.Roster.RemoveTaker(r.Context(), name); err != nil {
		return err
	}
	h.log.Info("call taker removed", zap.String("taker", string(name)))
	return h.reply(w, struct{}{})
}

func (h *Handler) pause(w http.ResponseWriter, r *http.Request) error {
	if err := h.backend.Desk.Pause(r.Context(), call.TakerID(r.PathValue("name"))); err != nil {
		return err
	}
	return h.reply(w, struct{}{})
}

func (h *Handler) ready(w http.ResponseWriter, r *http.Request) error {
	if err := h.backend.Desk.Ready(r.Context(), call.TakerID(r.PathValue("name"))); err != nil {
		return err
	}
	return h.reply(w, struct{}{})
}
