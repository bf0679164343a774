package web_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/web"
)

// TestBadRequests: what is wrong is told with its status and a sentence, and the backend is not asked.
func TestBadRequests(t *testing.T) {
	const (
		classify = "POST /v1/calls/" + string(callID) + "/classify"
		takers   = "POST /v1/takers"
	)
	for _, c := range []struct {
		request, body string
		status        int
		sentence      string // how it begins
	}{
		{"GET /", "", 404, "GET /: not found"},
		{"GET /v1/nothing", "", 404, "GET /v1/nothing: not found"},
		{"PUT /v1/view", "", 404, "PUT /v1/view: not found"},
		{"POST /v1/takers/ani/dance", "", 404, "POST /v1/takers/ani/dance: not found"},

		{"GET /v1/calls?limit=0", "", 400, `limit "0": not valid: want 1 to 1000`},
		{"GET /v1/calls?limit=1001", "", 400, `limit "1001": not valid: want 1 to 1000`},
		{"GET /v1/calls?limit=ten", "", 400, `limit "ten": not valid: want 1 to 1000`},
		{"GET /v1/calls?from=yesterday", "", 400, `from "yesterday": not valid: want a time as 2026-01-31T08:00:00+07:00`},
		{"GET /v1/calls?to=2026-01-31", "", 400, `to "2026-01-31": not valid`},
		{"GET /v1/calls?from=2026-01-31T08:00:00Z&to=2026-01-31T08:00:00Z", "", 400, "from 2026-01-31T08:00:00Z to 2026-01-31T08:00:00Z: not valid: it ends before it begins"},
		{"GET /v1/calls/x", "", 400, "not valid: call id"},

		{"GET /v1/export", "", 400, `not valid: not an option of an export: format "": want one of csv, jsonl, xlsx, parquet, asterisk, freeswitch`},
		{"GET /v1/export?format=pdf", "", 400, `not valid: not an option of an export: format "pdf": want one of csv`},
		{"GET /v1/export?format=jsonl&profile=excel", "", 400, `not valid: not an option of an export: profile "excel": only csv has profiles`},
		{"GET /v1/export?format=csv&outcome=lost", "", 400, `outcome "lost": not valid: want one of answered, abandoned, diverted, refused, rejected, restart, failed, test`},
		{"GET /v1/export?format=csv&kind=joke", "", 400, `kind "joke": not valid: want one of emergency`},
		{"GET /v1/export?format=csv&mask=all", "", 400, `mask "all": not valid: want numbers`},
		{"GET /v1/export?format=csv&as=x", "", 400, `as "x": not valid: want frames`},
		{"GET /v1/export?format=csv&size=-1", "", 400, `size "-1": not valid: want a number`},
		{"GET /v1/export?format=parquet&record=5", "", 400, "not valid: not an option of an export: parquet cannot begin at record 5"},
		{"GET /v1/export?format=csv&why=a%0Ab", "", 400, "why: not valid: want at most 256 bytes of plain text"},
		{"GET /v1/export?format=csv&from=x", "", 400, `from "x": not valid`},

		{classify, "", 400, "body: not valid: EOF"},
		{classify, "{", 400, "body: not valid: unexpected EOF"},
		{classify, `{"kind":"prank"} {}`, 400, "body: not valid: something follows the JSON"},
		{classify, `{"kind":"prank","who":"ani"}`, 400, `body: not valid: json: unknown field "who"`},
		{classify, `{"kind":"joke"}`, 400, `kind "joke": not valid: want one of emergency, complaint, information, prank, silent, wrong-number, disconnected, test`},
		{classify, `{"kind":"prank","note":"` + strings.Repeat("x", 4097) + `"}`, 400, "note: not valid: 4097 bytes, at most 4096 are kept"},
		{classify, `{"kind":"prank","note":"` + strings.Repeat("x", 70_000) + `"}`, 400, "body: not valid: http: request body too large"},
		{"POST /v1/calls/" + string(shiftID) + "/classify", `{"kind":"prank"}`, 400, string(shiftID) + ": not valid: only a call has a classification"},
		{"POST /v1/calls/x/classify", `{"kind":"prank"}`, 400, "not valid: call id"},

		{takers, `{"name":"","password":"12345678"}`, 400, `name "": not valid: want 1 to 64 letters, digits, - . and _`},
		{takers, `{"name":"a b","password":"12345678"}`, 400, `name "a b": not valid`},
		{takers, `{"name":"..","password":"12345678"}`, 400, `name "..": not valid`},
		{takers, `{"name":"` + strings.Repeat("a", 65) + `","password":"12345678"}`, 400, `name "aaa`},
		{takers, `{"name":"ani","password":"1234567"}`, 400, "password: not valid: want 8 to 128 bytes"},
		{takers, `{"name":"ani","password":"1234567\n"}`, 400, "password: not valid: it has a control character"},
		{takers, `{"name":"ani","password":"12345678","digest":"SHA-1"}`, 400, `digest "SHA-1": not valid: want one of MD5, SHA-256`},
		{takers, `{"name":"ani","password":"12345678","department":"a\nb"}`, 400, `department "a\nb": not valid`},
	} {
		f := &fake{}
		method, target, _ := strings.Cut(c.request, " ")
		w := httptest.NewRecorder()
		handler(t, f).ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(c.body)))
		var body struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%s: %v", c.request, err)
		}
		if w.Code != c.status || !strings.HasPrefix(body.Error, c.sentence) {
			t.Errorf("%s %.80s: got %d %q, want %d %q", c.request, c.body, w.Code, body.Error, c.status, c.sentence)
		}
		if f.asked != nil {
			t.Errorf("%s: the backend was asked: %q", c.request, f.asked)
		}
	}
}

// TestBodies are the bytes that other tools see.
func TestBodies(t *testing.T) {
	f := &fake{
		takers: []web.Taker{{Name: "ani", Added: epoch, Digest: "MD5"}, {Name: "budi", Registered: epoch, Reachable: epoch, Rang: epoch, Answered: epoch}},
		report: web.Report{Arrived: 2, Ended: 2, Records: 3, Root: "cg==", Bad: []string{}},
		live:   []call.Entry{{Of: callID, N: 1, At: epoch, Event: call.Rang{Leg: 1}}},
		export: func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "a\n"); return err },
	}
	for _, c := range []struct {
		request, body, kind, want string
		status                    int
	}{
		{"GET /v1/takers", "", "application/json", `{"takers":[{"name":"ani","added":"2026-03-01T01:02:03.45Z","digest":"MD5"},` +
			`{"name":"budi","registered":"2026-03-01T01:02:03.45Z","reachable":"2026-03-01T01:02:03.45Z","rang":"2026-03-01T01:02:03.45Z","answered":"2026-03-01T01:02:03.45Z"}]}`, 200},
		{"GET /v1/verify", "", "application/json", `{"arrived":2,"ended":2,"live":0,"records":3,"root":"cg==","bad":[]}`, 200},
		{"GET /v1/calls/" + strings.ToLower(string(callID)), "", "application/json", `{"live":[{"of":"` + string(callID) + `","n":1,"at":"2026-03-01T01:02:03.45Z","event":"rang","data":{"leg":1}}]}`, 200},
		{"GET /v1/export?format=csv", "", "text/csv; charset=utf-8", "a", 200},
		{"GET /v1/export?format=jsonl", "", "application/jsonl", "a", 200},
		{"GET /v1/export?format=xlsx", "", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "a", 200},
		{"GET /v1/export?format=csv&as=frames", "", "application/vnd.siaga112.frames", "rows 2\na\nat 1 3 1 2 9", 200},
		{"POST /v1/takers", `{"name":"ani","password":"12345678"}`, "application/json", `{}`, 201},
		{"POST /v1/takers", `{"name":"ani","password":"12345678","digest":"SHA-256"}`, "application/json", `{}`, 201},
		{"DELETE /v1/takers/ani", "", "application/json", `{}`, 200},
	} {
		method, target, _ := strings.Cut(c.request, " ")
		w := httptest.NewRecorder()
		handler(t, f).ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(c.body)))
		got := []any{w.Code, w.Header().Get("Content-Type"), strings.TrimSpace(w.Body.String())}
		if diff := cmp.Diff([]any{c.status, c.kind, c.want}, got); diff != "" {
			t.Errorf("%s\n%s", c.request, diff)
		}
	}
}

func TestClosedHandler(t *testing.T) {
	f := &fake{}
	h := handler(t, f)
	h.Close()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/verify", http.NoBody))
	if w.Code != http.StatusServiceUnavailable || f.asked != nil {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		report web.Report
		want   string
	}{
		{web.Report{Arrived: 30, Ended: 30}, "ledger: 30 arrived, 30 ended, 0 live, verified"},
		{web.Report{Arrived: 30, Ended: 28, Live: 2}, "ledger: 30 arrived, 28 ended, 2 live, verified"},
		{web.Report{Arrived: 30, Ended: 28, Live: 1}, "ledger: 30 arrived, 28 ended, 1 live, NOT verified"},
		{web.Report{Arrived: 1, Ended: 1, Bad: []string{"x"}}, "ledger: 1 arrived, 1 ended, 0 live, NOT verified"},
	} {
		if got := c.report.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// FuzzRequest: whatever is asked, the answer is JSON with a status of its own, and never trouble inside.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/v1/calls?from=2026-01-31T08:00:00Z&limit=3", "")
	f.Add("GET", "/v1/calls/"+string(callID), "")
	f.Add("POST", "/v1/calls/"+string(callID)+"/classify", `{"by":"ani","kind":"prank","note":"x"}`)
	f.Add("POST", "/v1/takers", `{"name":"ani","password":"12345678"}`)
	f.Add("DELETE", "/v1/takers/a%2Fb", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://siaga112"+target, strings.NewReader(body))
		if err != nil {
			t.Skip("no request at all")
		}
		backend := &fake{export: func(context.Context, io.Writer) error { return nil }}
		h := web.New(web.Backend{Ledger: backend, Desk: backend, Roster: backend}, zap.NewNop())
		defer h.Close()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		redirect := w.Code/100 == 3 // of a path that is not clean
		if w.Code >= 500 || !redirect && w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %d %q", method, target, w.Code, w.Body)
		}
		if w.Code >= 400 && backend.asked != nil {
			t.Errorf("%s %q: %d, but the backend was asked: %q", method, target, w.Code, backend.asked)
		}
	})
}
