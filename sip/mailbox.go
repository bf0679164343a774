package sip

import "sync"

// mailbox is an unbounded queue of work for one goroutine. Its length is bounded by the number of live calls and what
// they can do; RTP never enters it.
type mailbox struct {
	mu     sync.Mutex
	work   []func()
	closed bool
	signal chan struct{} // capacity 1: there is work
}

func newMailbox() *mailbox { return &mailbox{signal: make(chan struct{}, 1)} }

// post adds work; it never blocks. It tells whether somebody will still do it.
func (m *mailbox) post(f func()) bool {
	m.mu.Lock()
	ok := !m.closed
	if ok {
		m.work = append(m.work, f)
	}
	m.mu.Unlock()
	if ok {
		select {
		case m.signal <- struct{}{}:
		default:
		}
	}
	return ok
}

// run does the work in order until one says that it is over; what is posted after that is refused.
func (m *mailbox) run(over func() bool) {
	for {
		m.mu.Lock()
		work := m.work
		m.work = nil
		if len(work) == 0 && over() {
			m.closed = true
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		if len(work) == 0 {
			<-m.signal
		}
		for _, f := range work {
			f()
		}
	}
}
