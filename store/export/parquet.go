package export

import (
	"io"
	"math"
	"time"

	"github.com/parquet-go/parquet-go"
)

// groupRows is how many rows a row group has: what is held in memory, compressed, until it is written.
const groupRows = 32768

// parquetRow is a row; its columns are Columns. Times are UTC, in microseconds. An optional number that is 0 is null.
type parquetRow struct {
	CallID       string   `parquet:"call_id"`
	ArrivedAt    int64    `parquet:"arrived_at,timestamp(microsecond)"`
	Trunk        string   `parquet:"trunk,dict"`
	Caller       string   `parquet:"caller"`
	CallerTrust  string   `parquet:"caller_trust,dict"`
	Called       string   `parquet:"called,dict"`
	Outcome      string   `parquet:"outcome,dict"`
	Code         int32    `parquet:"code,optional"`
	WaitS        float64  `parquet:"wait_s"`
	TalkS        float64  `parquet:"talk_s"`
	Taker        string   `parquet:"taker,dict"`
	Department   string   `parquet:"department,dict"`
	Kind         string   `parquet:"kind,dict"`
	PrankP       *float64 `parquet:"prank_p,optional"`
	PrankReasons []string `parquet:"prank_reasons,list"`
	SIPCallID    string   `parquet:"sip_call_id"`
	Seq          int64    `parquet:"seq"`
	Leaf         string   `parquet:"leaf"`
	AnsweredAt   int64    `parquet:"answered_at,optional,timestamp(microsecond)"`
	EndedAt      int64    `parquet:"ended_at,timestamp(microsecond)"`
	OtherTakers  []string `parquet:"other_takers,list"`
	KindBy       string   `parquet:"kind_by,dict"`
	Note         string   `parquet:"note"`
	Reason       string   `parquet:"reason,dict"`
	Priority     string   `parquet:"priority,dict"`
	Overtaken    int32    `parquet:"overtaken"`
	Test         bool     `parquet:"test"`
}

// parquetTable writes Parquet, compressed with Zstandard.
type parquetTable struct {
	zone *time.Location
	out  *parquet.GenericWriter[parquetRow]
}

func newParquet(w io.Writer, zone *time.Location) *parquetTable {
	return &parquetTable{zone: zone, out: parquet.NewGenericWriter[parquetRow](
		w,
		parquet.Compression(&parquet.Zstd),
		parquet.MaxRowsPerRowGroup(groupRows),
		parquet.PageBufferSize(128<<10),
		parquet.CreatedBy("siaga112", "", ""),
		parquet.SkipPageBounds("call_id"), parquet.SkipPageBounds("leaf"), parquet.SkipPageBounds("sip_call_id"),
		parquet.SkipPageBounds("note"),
	)}
}

func (t *parquetTable) prepare(j *job) {
	j.made = j.made[:0]
	for i := range j.rows {
		j.made = append(j.made, t.row(&j.rows[i]))
	}
}

func (t *parquetTable) write(j *job) error {
	_, err := t.out.Write(j.made)
	return err
}

func (t *parquetTable) close() error { return t.out.Close() }

func (t *parquetTable) row(r *Row) parquetRow {
	c := &r.Record
	row := parquetRow{
		CallID: string(c.Of), ArrivedAt: c.FirstAt.UnixMicro(), Trunk: c.Trunk, Caller: c.Caller.Number,
		CallerTrust: string(c.Caller.Trust), Called: c.Called, Outcome: string(c.Outcome), Code: int32(c.Code),
		WaitS: float64(thousandths(c.Wait)) / 1000, TalkS: float64(thousandths(c.Talk)) / 1000,
		Taker: string(c.Taker), Department: c.Dept, Kind: string(c.Kind), PrankReasons: r.reasons(t.zone),
		SIPCallID: c.SIPCallID, Seq: int64(r.Seq), Leaf: r.leaf(), EndedAt: r.ended().UnixMicro(),
		KindBy: string(c.KindBy), Note: c.Note, Reason: c.Reason, Priority: c.Priority, Overtaken: int32(c.Passed), Test: c.Test,
	}
	if at, ok := r.answered(); ok {
		row.AnsweredAt = at.UnixMicro()
	}
	if c.Score != nil && c.Score.P >= 0 {
		p := math.Round(c.Score.P*1000) / 1000
		row.PrankP = &p
	}
	for _, taker := range c.Takers {
		row.OtherTakers = append(row.OtherTakers, string(taker))
	}
	return row
}
