package export

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	"github.com/siaga112/siaga112/call"
)

// object is a row as JSON: the names and the order of Names. All are always there; null is not known.
type object struct {
	CallID       call.ID      `json:"call_id"`
	ArrivedAt    string       `json:"arrived_at"`
	Trunk        string       `json:"trunk"`
	Caller       string       `json:"caller"`
	CallerTrust  call.Trust   `json:"caller_trust"`
	Called       string       `json:"called"`
	Outcome      call.Outcome `json:"outcome"`
	Code         *int         `json:"code"`
	WaitS        float64      `json:"wait_s"`
	TalkS        float64      `json:"talk_s"`
	Taker        call.TakerID `json:"taker"`
	Department   string       `json:"department"`
	Kind         call.Kind    `json:"kind"`
	PrankP       *float64     `json:"prank_p"`
	PrankReasons []string     `json:"prank_reasons"`
	SIPCallID    string       `json:"sip_call_id"`
	Seq          uint64       `json:"seq"`
	Leaf         string       `json:"leaf"`
}

// WriteJSONL writes the rows as one JSON object a line, times in zone. It returns how many are written; after an error
// what is written is not the whole.
func WriteJSONL(w io.Writer, rows iter.Seq2[Row, error], zone *time.Location) (n int, err error) {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for row, err := range rows {
		if err != nil {
			_ = out.Flush() // the rows' own error says more
			return n, err
		}
		if err := enc.Encode(row.object(zone)); err != nil {
			return n, fmt.Errorf("write jsonl: %w", err)
		}
		n++
	}
	if err := out.Flush(); err != nil {
		return n, fmt.Errorf("write jsonl: %w", err)
	}
	return n, nil
}

func (r Row) object(zone *time.Location) object {
	c := r.Record
	o := object{
		CallID: c.Of, ArrivedAt: c.FirstAt.In(zone).Format(timeFormat), Trunk: c.Trunk, Caller: c.Caller.Number,
		CallerTrust: c.Caller.Trust, Called: c.Called, Outcome: c.Outcome, WaitS: round(c.Wait.Seconds()), TalkS: round(c.Talk.Seconds()),
		Taker: c.Taker, Department: c.Dept, Kind: c.Kind, PrankReasons: r.reasons(zone), SIPCallID: c.SIPCallID,
		Seq: r.Seq, Leaf: r.leaf(),
	}
	if c.Code != 0 {
		o.Code = &c.Code
	}
	if p, ok := r.prank(); ok {
		o.PrankP = new(round(p))
	}
	if o.PrankReasons == nil {
		o.PrankReasons = []string{}
	}
	return o
}

// round is to three decimals, half away from zero: the same in both formats.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
