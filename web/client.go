package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/siaga112/siaga112/call"
)

// maxAnswer bounds an answer that is held in memory, in bytes.
const maxAnswer = 64 << 20

// Client is the administration of a running gateway, over its socket. Each method returns ErrNotRunning where nobody
// serves the socket. It can be used by several goroutines.
type Client struct {
	path string
	http http.Client
}

var _ Admin = (*Client)(nil)

// Dial is a client of the socket. It connects with the first request: Ping tells whether a gateway runs.
func Dial(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if err := checkPath(path); err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
	}
	return c
}

// Close closes the connections that are kept open between requests.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ping returns nil when a gateway answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/v1/ping", nil, nil, nil)
}

// Calls implements Ledger.
func (c *Client) Calls(ctx context.Context, q Query) ([]call.Record, error) {
	v := spanQuery(q.From, q.To)
	if q.Number != "" {
		v.Set("number", q.Number)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	var b callsBody
	err := c.do(ctx, http.MethodGet, "/v1/calls", v, nil, &b)
	return b.Calls, err
}

// Show implements Ledger.
func (c *Client) Show(ctx context.Context, id call.ID) (pieces []call.Sealed, live []call.Entry, err error) {
	var b showBody
	if err := c.do(ctx, http.MethodGet, "/v1/calls/"+url.PathEscape(string(id)), nil, nil, &b); err != nil {
		return nil, nil, err
	}
	return b.subject()
}

// Verify implements Ledger.
func (c *Client) Verify(ctx context.Context) (Report, error) {
	var r Report
	err := c.do(ctx, http.MethodGet, "/v1/verify", nil, nil, &r)
	return r, err
}

// Classify implements Desk.
func (c *Client) Classify(ctx context.Context, id call.ID, by call.TakerID, kind call.Kind, note string) error {
	return c.do(ctx, http.MethodPost, "/v1/calls/"+url.PathEscape(string(id))+"/classify", nil, classifyBody{By: by, Kind: kind, Note: note}, nil)
}

// Pause implements Desk.
func (c *Client) Pause(ctx context.Context, taker call.TakerID) error {
	return c.do(ctx, http.MethodPost, takerPath(taker)+"/pause", nil, nil, nil)
}

// Ready implements Desk.
func (c *Client) Ready(ctx context.Context, taker call.TakerID) error {
	return c.do(ctx, http.MethodPost, takerPath(taker)+"/ready", nil, nil, nil)
}

// View implements Desk.
func (c *Client) View(ctx context.Context) (View, error) {
	var v View
	err := c.do(ctx, http.MethodGet, "/v1/view", nil, nil, &v)
	return v, err
}

// Takers implements Roster.
func (c *Client) Takers(ctx context.Context) ([]Taker, error) {
	var b takersBody
	err := c.do(ctx, http.MethodGet, "/v1/takers", nil, nil, &b)
	return b.Takers, err
}

// AddTaker implements Roster.
func (c *Client) AddTaker(ctx context.Context, a Account) error {
	return c.do(ctx, http.MethodPost, "/v1/takers", nil, a, nil)
}

// RemoveTaker implements Roster.
func (c *Client) RemoveTaker(ctx context.Context, name call.TakerID) error {
	return c.do(ctx, http.MethodDelete, takerPath(name), nil, nil, nil)
}

func takerPath(name call.TakerID) string { return "/v1/takers/" + url.PathEscape(string(name)) }

// spanQuery are the times of a query; a zero one is left out.
func spanQuery(from, to time.Time) url.Values {
	v := url.Values{}
	for name, t := range map[string]time.Time{"from": from, "to": to} {
		if !t.IsZero() {
			v.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	return v
}

// do sends a request and decodes the answer into a pointer, or drops it where that is nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	res, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && into != nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("answer of the gateway: %w", err)
	}
	return nil
}

// send sends a request. Where there is no error, the status is good and the caller closes the body.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	target := "http://siaga112" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s: %w", c.path, ErrNotRunning)
	case err != nil:
		return nil, fmt.Errorf("administration socket: %w", err)
	case res.StatusCode/100 == 2:
		return res, nil
	}
	defer res.Body.Close()
	var e errorBody
	if err := json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(&e); err != nil {
		e.Error = ""
	}
	return nil, errorOf(res.StatusCode, e.Error)
}
