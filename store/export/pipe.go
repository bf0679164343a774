package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"

	"github.com/siaga112/siaga112/call"
)

// job is a chunk on its way: the reader fills pieces and text, a worker makes lines or rows of them, the writer takes those in
// the order in which they were read. It is used again afterwards, with the memory that it has.
type job struct {
	pieces []piece
	text   []byte // of all pieces
	rows   []Row
	lines  []byte       // of a form
	made   []parquetRow // of a table that makes something of rows
	n      uint64       // rows
	erased uint64
	next   uint64
	err    error // the rows before it are good
	ready  chan struct{}
}

// piece is a piece of Latest. Its record line ends at end of a job's text; it begins where the one before ends.
type piece struct {
	seq  uint64
	leaf [32]byte
	end  int
}

// take copies the pieces of a chunk.
func (j *job) take(chunk []call.Sealed) {
	j.pieces, j.text = j.pieces[:0], j.text[:0]
	for i := range chunk {
		p := &chunk[i]
		line := p.Body
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end+1]
		}
		j.text = append(j.text, line...)
		j.pieces = append(j.pieces, piece{p.Seq, p.Leaf, len(j.text)})
	}
}

// pipe is one Write. Its goroutines share nothing but jobs, and those only by handing them on.
type pipe struct {
	o     Options
	w     io.Writer
	form  form  // of a text format, else nil
	table table // of any other
	done  Progress
}

func newPipe(w io.Writer, o Options) *pipe {
	p := &pipe{o: o, w: w, done: Progress{Next: o.From, Size: o.Size}}
	switch o.Format {
	case CSV:
		p.form = newCSV(&o)
	case JSONL:
		p.form = newJSON(&o)
	case Asterisk:
		p.form = asteriskForm{o.Zone}
	case FreeSWITCH:
		p.form = freeswitchForm{o.Zone}
	case XLSX:
		p.table = newXLSX(w, o.Zone, o.sheetRows)
	case Parquet:
		p.table = newParquet(w, o.Zone)
	}
	return p
}

// run reads in its own goroutine, works in others and writes in one more; it waits for all of them.
func (p *pipe) run(ctx context.Context, chunks iter.Seq2[[]call.Sealed, error]) error {
	if p.o.Begin == nil {
		p.o.Begin = func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := p.o.Workers
	if workers == 0 {
		workers = max(2, runtime.GOMAXPROCS(0))
	}
	// A job is in one of these or in somebody's hands: free bounds them all.
	free := make(chan *job, 2*workers)
	for range cap(free) {
		free <- &job{ready: make(chan struct{}, 1)}
	}
	work, order := make(chan *job, cap(free)), make(chan *job, cap(free))
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			p.o.Begin()
			for j := range work {
				p.fill(j)
				j.ready <- struct{}{}
			}
		})
	}
	var err error
	all.Go(func() {
		p.o.Begin()
		err = p.write(order, free)
		cancel() // the reader stops, if it still reads
		for range order {
		}
	})
	readErr := read(ctx, chunks, free, work, order)
	close(work)
	close(order)
	all.Wait()
	if err == nil && readErr == nil && p.table != nil {
		err = p.table.close()
	}
	if err == nil {
		err = readErr
	}
	if err == nil && p.done.Next != p.done.Size { // what is left has no rows
		p.done.Next = p.done.Size
		if p.o.Progress != nil {
			p.o.Progress(p.done)
		}
	}
	return err
}

// read hands the chunks on until there are no more. The error is the source's, or that of a context which ended first.
func read(ctx context.Context, chunks iter.Seq2[[]call.Sealed, error], free <-chan *job, work, order chan<- *job) error {
	for chunk, err := range chunks {
		if err != nil {
			return err
		}
		select {
		case j := <-free:
			j.take(chunk)
			work <- j
			order <- j
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// fill makes lines or rows of a job's pieces.
func (p *pipe) fill(j *job) {
	j.lines, j.rows, j.n, j.erased, j.err = j.lines[:0], j.rows[:0], 0, 0, nil
	text, begin := string(j.text), 0 // what all strings of the rows are parts of
	for i := range j.pieces {
		piece := &j.pieces[i]
		line := text[begin:piece.end]
		if begin = piece.end; line == "" {
			j.erased++
			continue
		}
		if j.rows = append(j.rows, Row{Seq: piece.seq, Leaf: piece.leaf}); p.fits(j, line) {
			j.n++
		} else {
			j.rows = j.rows[:len(j.rows)-1]
		}
		if j.err != nil {
			break
		}
		if p.form != nil {
			if len(j.rows) > 0 {
				j.lines = p.form.row(j.lines, &j.rows[0])
			}
			j.rows = j.rows[:0]
		}
	}
	if p.table != nil {
		p.table.prepare(j)
	}
	j.next = j.pieces[len(j.pieces)-1].seq + 1
}

// fits reads a line into the last row and tells whether it is exported.
func (p *pipe) fits(j *job, line string) bool {
	row := &j.rows[len(j.rows)-1]
	if err := call.ReadRecord(&row.Record, line); err != nil {
		j.err = fmt.Errorf("record %d: %w", row.Seq, err)
		return false
	}
	if !p.o.Filter.Holds(&row.Record) {
		return false
	}
	if p.o.Mask {
		row.mask()
	}
	return true
}

// write takes the jobs in order, up to the first error. The jobs that it leaves are ready and in nobody's hands.
func (p *pipe) write(order <-chan *job, free chan<- *job) error {
	if p.form != nil && p.o.From == 0 {
		if err := p.put(p.form.head(nil)); err != nil {
			return err
		}
	}
	for j := range order {
		<-j.ready
		var err error
		if p.form != nil {
			err = p.put(j.lines)
		} else {
			err = p.table.write(j)
		}
		if err != nil {
			return err
		}
		p.done.Rows += j.n
		p.done.Erased += j.erased
		if j.err != nil {
			return j.err
		}
		p.done.Next = j.next
		if p.o.Progress != nil {
			p.o.Progress(p.done)
		}
		free <- j
	}
	return nil
}

func (p *pipe) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := p.w.Write(b)
	p.done.Bytes += uint64(n)
	return err
}
