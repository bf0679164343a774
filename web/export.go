package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
)

// Export says what is exported, for whom and why. Of the options, Zone and Begin are the gateway's own.
type Export struct {
	export.Options
	By  string // who asked for it; "" is not said
	Why string // what it is for; "" is not said
}

// Bundle is the format of an export that can be verified without the store (docs/audit.md): whole calls with all their
// amendments, and without a filter everything else, too.
const Bundle = "bundle"

// maxWhy bounds By and Why, in bytes.
const maxWhy = 256

// framed is the value of the query's as with which an export tells how far it is, among its rows.
const framed = "frames"

// contentTypes are those of the formats.
var contentTypes = map[string]string{
	export.CSV: "text/csv; charset=utf-8", export.Asterisk: "text/csv; charset=utf-8", export.FreeSWITCH: "text/csv; charset=utf-8",
	export.JSONL: "application/jsonl", export.Parquet: "application/vnd.apache.parquet",
	export.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Bundle: "application/zip",
}

// CheckExport tells what is wrong with an export before it is asked for. The error wraps ErrInvalid.
func CheckExport(e Export) error {
	if err := checkFormat(e); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, v := range e.Filter.Outcomes {
		if !slices.Contains(call.Outcomes, v) {
			return fmt.Errorf("outcome %q: %w: want one of %s", v, ErrInvalid, list(call.Outcomes))
		}
	}
	for _, v := range e.Filter.Kinds {
		if v != export.Unclassified && !slices.Contains(call.Kinds, v) {
			return fmt.Errorf("kind %q: %w: want one of %s, %s", v, ErrInvalid, list(call.Kinds), export.Unclassified)
		}
	}
	for name, text := range map[string]string{"by": e.By, "why": e.Why} {
		if len(text) > maxWhy || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%s: %w: want at most %d bytes of plain text", name, ErrInvalid, maxWhy)
		}
	}
	return nil
}

func checkFormat(e Export) error {
	o := e.Options
	if o.Format == Bundle {
		return checkBundle(e)
	}
	o.Size = max(o.Size, o.From) // 0 is as of now
	err := o.Check()
	if err != nil && !slices.Contains(export.Formats, o.Format) {
		err = fmt.Errorf("%w, %s", err, Bundle)
	}
	return err
}

func checkBundle(e Export) error {
	switch {
	case e.Mask:
		return errors.New("a bundle cannot be masked: its records are shown as they were hashed and signed, with the callers' numbers, or nobody " +
			"could verify them; export csv with masked numbers, or hand the bundle only to who may see numbers")
	case e.Profile != "" || e.Locale != "":
		return errors.New("a bundle has no profile and no locale: only csv has")
	case e.From != 0 || e.Size != 0:
		return errors.New("a bundle is as of the checkpoint that it is made with, and begins anew")
	case e.By == "" || e.Why == "":
		return errors.New("a bundle says who asked for it and what for: want by and why")
	}
	return nil
}

// exportQuery is an export as a query.
func exportQuery(e Export) url.Values {
	f := e.Filter
	v := spanQuery(f.From, f.To)
	for name, text := range map[string]string{
		"format": e.Format, "profile": e.Profile, "locale": e.Locale, "number": f.Number, "by": e.By, "why": e.Why,
	} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for _, w := range f.Outcomes {
		v.Add("outcome", string(w))
	}
	for _, w := range f.Kinds {
		v.Add("kind", string(w))
	}
	for _, w := range f.Departments {
		v.Add("department", w)
	}
	for _, w := range f.Trunks {
		v.Add("trunk", w)
	}
	if e.Mask {
		v.Set("mask", "numbers")
	}
	for name, n := range map[string]uint64{"record": e.From, "size": e.Size} {
		if n != 0 {
			v.Set(name, strconv.FormatUint(n, 10))
		}
	}
	return v
}

// exportOf reads what exportQuery wrote.
func exportOf(r *http.Request) (e Export, err error) {
	q := r.URL.Query()
	e.Format, e.Profile, e.Locale, e.By, e.Why = q.Get("format"), q.Get("profile"), q.Get("locale"), q.Get("by"), q.Get("why")
	f := &e.Filter
	if f.From, f.To, err = span(r); err != nil {
		return e, err
	}
	f.Number, f.Departments, f.Trunks = q.Get("number"), q["department"], q["trunk"]
	for _, w := range q["outcome"] {
		f.Outcomes = append(f.Outcomes, call.Outcome(w))
	}
	for _, w := range q["kind"] {
		f.Kinds = append(f.Kinds, call.Kind(w))
	}
	switch mask := q.Get("mask"); mask {
	case "":
	case "numbers":
		e.Mask = true
	default:
		return e, fmt.Errorf("mask %q: %w: want numbers", mask, ErrInvalid)
	}
	for name, into := range map[string]*uint64{"record": &e.From, "size": &e.Size} {
		if s := q.Get(name); s != "" {
			if *into, err = strconv.ParseUint(s, 10, 63); err != nil {
				return e, fmt.Errorf("%s %q: %w: want a number", name, s, ErrInvalid)
			}
		}
	}
	if as := q.Get("as"); as != "" && as != framed {
		return e, fmt.Errorf("as %q: %w: want %s", as, ErrInvalid, framed)
	}
	return e, CheckExport(e)
}

// export streams. An error before the first byte is an answer like any other; a later one is told in the trailer.
func (h *Handler) export(w http.ResponseWriter, r *http.Request) error {
	e, err := exportOf(r)
	if err != nil {
		return err
	}
	s := &stream{w: w, contentType: contentTypes[e.Format]}
	var out io.Writer = s
	if r.URL.Query().Get("as") == framed {
		s.contentType = "application/vnd.siaga112.frames"
		out = &frameWriter{w: s}
		e.Progress = func(p export.Progress) { // an error comes back with the next row
			_, _ = fmt.Fprintf(s, "at %d %d %d %d %d\n", p.Next, p.Size, p.Rows, p.Erased, p.Bytes)
			_ = http.NewResponseController(w).Flush()
		}
	}
	_, err = h.backend.Ledger.Export(r.Context(), out, e)
	switch {
	case err == nil:
		s.begin()
		return nil
	case !s.begun:
		return err
	}
	h.log.Error("export ended early: " + err.Error())
	w.Header().Set(errorTrailer, strconv.QuoteToASCII(err.Error()))
	return nil
}

// frameWriter puts a line before each piece of the file: rows, and how many bytes follow.
type frameWriter struct{ w io.Writer }

func (f *frameWriter) Write(b []byte) (int, error) {
	if _, err := fmt.Fprintf(f.w, "rows %d\n", len(b)); err != nil {
		return 0, err
	}
	return f.w.Write(b)
}

// readFrames writes what the frames carry to w, and calls progress for what stands between them. It returns the last.
func readFrames(r io.Reader, w io.Writer, progress func(export.Progress)) (last export.Progress, err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		var n int64
		var p export.Progress
		if _, err := fmt.Sscanf(line, "rows %d\n", &n); err == nil && n >= 0 {
			if _, err := io.CopyN(w, b, n); err != nil {
				return last, err
			}
		} else if _, err := fmt.Sscanf(line, "at %d %d %d %d %d\n", &p.Next, &p.Size, &p.Rows, &p.Erased, &p.Bytes); err == nil {
			if last = p; progress != nil {
				progress(p)
			}
		} else {
			return last, fmt.Errorf("%q is no frame", line[:min(len(line), 40)])
		}
	}
}

// Export implements Ledger. It writes as it reads; a gateway that ends meanwhile is an error.
func (c *Client) Export(ctx context.Context, w io.Writer, e Export) (export.Progress, error) {
	v := exportQuery(e)
	v.Set("as", framed)
	res, err := c.send(ctx, http.MethodGet, "/v1/export", v, nil)
	if err != nil {
		return export.Progress{}, err
	}
	defer res.Body.Close()
	p, err := readFrames(res.Body, w, e.Progress)
	if err != nil {
		return p, fmt.Errorf("export: %w", err)
	}
	if s := res.Trailer.Get(errorTrailer); s != "" {
		if text, err := strconv.Unquote(s); err == nil {
			s = text
		}
		return p, errorOf(http.StatusInternalServerError, s)
	}
	return p, nil
}

// stamped is a time in an act's detail.
func stamped(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// Detail is the export as an act tells it. A number that is asked for is masked: what stands in the ledger stays, and
// would outlive the erasure of that caller.
func (e Export) Detail() string {
	var b strings.Builder
	b.WriteString(strings.Join(slices.DeleteFunc([]string{e.Format, e.Profile, e.Locale}, func(s string) bool { return s == "" }), " "))
	b.WriteString(" " + e.Chosen())
	if e.Mask {
		b.WriteString(" numbers masked")
	}
	if e.From > 0 {
		fmt.Fprintf(&b, " going on at record %d of %d", e.From, e.Size)
	}
	if e.Why != "" {
		b.WriteString("; " + e.Why)
	}
	return b.String()
}

// Chosen is the filter in words, with a number that is asked for masked.
func (e Export) Chosen() string {
	f := e.Filter
	var b strings.Builder
	fmt.Fprintf(&b, "from %s to %s", stamped(f.From), stamped(f.To))
	say := func(what string, words []string) {
		if len(words) > 0 {
			b.WriteString(" " + what + " " + strings.Join(words, ","))
		}
	}
	say("outcome", texts(f.Outcomes))
	say("department", f.Departments)
	say("kind", texts(f.Kinds))
	say("trunk", f.Trunks)
	if f.Number != "" {
		say("number", []string{export.Masked(f.Number)})
	}
	return b.String()
}

// All tells that nothing is filtered out.
func (e Export) All() bool { return e.Chosen() == Export{}.Chosen() }

func texts[T ~string](words []T) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return out
}
