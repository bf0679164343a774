package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/siaga112/siaga112/call"
)

// The bodies that are not a type of admin.go.
type (
	callsBody struct {
		Calls []call.Record `json:"calls"`
	}
	takersBody struct {
		Takers []Taker `json:"takers"`
	}
	errorBody struct {
		Error string `json:"error"`
	}
	classifyBody struct {
		By   call.TakerID `json:"by,omitempty"`
		Kind call.Kind    `json:"kind"`
		Note string       `json:"note,omitempty"`
	}
	showBody struct {
		Pieces []pieceBody       `json:"pieces,omitempty"`
		Live   []json.RawMessage `json:"live,omitempty"` // journal lines
	}
	// pieceBody carries the bytes as they stand: whoever gets them can hash them.
	pieceBody struct {
		Seq   uint64  `json:"seq"`
		Of    call.ID `json:"of"`
		Body  []byte  `json:"body"`
		Nonce []byte  `json:"nonce"`
		Leaf  []byte  `json:"leaf"`
	}
)

func newShowBody(pieces []call.Sealed, live []call.Entry) (showBody, error) {
	var b showBody
	for _, p := range pieces {
		b.Pieces = append(b.Pieces, pieceBody{Seq: p.Seq, Of: p.Of, Body: p.Body, Nonce: p.Nonce[:], Leaf: p.Leaf[:]})
	}
	for _, e := range live {
		line, err := call.AppendEntry(nil, e)
		if err != nil {
			return showBody{}, err
		}
		b.Live = append(b.Live, line)
	}
	return b, nil
}

func (b showBody) subject() (pieces []call.Sealed, live []call.Entry, err error) {
	for _, p := range b.Pieces {
		if len(p.Nonce) != 32 || len(p.Leaf) != 32 {
			return nil, nil, fmt.Errorf("%w: piece %d has no leaf", call.ErrFormat, p.Seq)
		}
		pieces = append(pieces, call.Sealed{Seq: p.Seq, Of: p.Of, Body: p.Body, Nonce: [32]byte(p.Nonce), Leaf: [32]byte(p.Leaf)})
	}
	for _, l := range b.Live {
		e, err := call.ParseEntry(l)
		if err != nil {
			return nil, nil, err
		}
		live = append(live, e)
	}
	return pieces, live, nil
}

// errorTrailer carries what ended a stream early, quoted: its status was sent long before.
const errorTrailer = "Siaga112-Error"

// statuses is the one place that says which error is which HTTP status, for both ends of the socket.
var statuses = []struct {
	err    error
	status int
}{
	{ErrInvalid, http.StatusBadRequest},
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusConflict},
	{ErrNotRunning, http.StatusServiceUnavailable},
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// remote is an error that came over the socket: the sentence of the other side, and its sentinel or nil.
type remote struct {
	text string
	kind error
}

func (e *remote) Error() string { return e.text }
func (e *remote) Unwrap() error { return e.kind }

// errorOf is the error of an HTTP status and the sentence that came with it.
func errorOf(status int, text string) error {
	if text == "" {
		text = "the gateway answered " + strconv.Itoa(status) + " " + http.StatusText(status)
	}
	for _, s := range statuses {
		if s.status == status {
			return &remote{text: text, kind: s.err}
		}
	}
	return &remote{text: text}
}
