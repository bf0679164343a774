package queue

import (
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// logEntries writes one line an entry, when it is decided.
func (q *Queue) logEntries(es []call.Entry) {
	if !q.log.Core().Enabled(zap.InfoLevel) {
		return
	}
	whole := q.log.Core().Enabled(zap.DebugLevel)
	for _, e := range es {
		text, fields := describe(e.Event, whole)
		q.log.Info(text, append([]zap.Field{zap.String("of", string(e.Of))}, fields...)...)
	}
}

// describe is the entry's event as a log line. Only whole shows a caller's number as it is.
func describe(ev call.Event, whole bool) (string, []zap.Field) {
	switch ev := ev.(type) {
	case call.Arrived:
		number := ev.Caller.Number
		if !whole {
			number = mask(number)
		}
		fields := []zap.Field{zap.String("trunk", ev.Trunk), zap.String("called", ev.Called), zap.String("caller", number)}
		if ev.Reject != 0 {
			fields = append(fields, zap.Int("reject", ev.Reject))
		}
		return "arrived", fields
	case call.Scored:
		if ev.P < 0 {
			return "scored: no history", nil
		}
		return "scored", []zap.Field{zap.Float64("p", ev.P), zap.Duration("delay", ev.Delay)}
	case call.Queued:
		return "queued", []zap.Field{zap.String("queue", ev.Queue), zap.Uint8("passed", ev.Passed)}
	case call.Offered:
		return "offered", []zap.Field{legField(ev.Leg), zap.String("taker", string(ev.To.Taker))}
	case call.Rang:
		return "rang", []zap.Field{legField(ev.Leg)}
	case call.Answered:
		return "answered", []zap.Field{legField(ev.Leg)}
	case call.RoleSet:
		return "role", []zap.Field{legField(ev.Leg), zap.Stringer("role", ev.Role)}
	case call.Heard:
		return "heard", []zap.Field{legField(ev.Leg), zap.String("what", ev.What)}
	case call.Left:
		return "left", []zap.Field{legField(ev.Leg), zap.String("by", ev.By), zap.String("why", ev.Why), zap.Int("code", ev.Code)}
	case call.Restored:
		return "restored", []zap.Field{zap.Duration("gap", ev.Gap)}
	case call.Ended:
		return "ended", []zap.Field{zap.String("outcome", string(ev.Outcome))}
	case call.Classified:
		return "classified", []zap.Field{zap.String("by", string(ev.By)), zap.String("kind", string(ev.Kind))}
	case call.TakerChanged:
		return "taker", []zap.Field{zap.String("taker", string(ev.Taker)), zap.String("state", string(ev.State)), zap.String("why", ev.Why)}
	case call.Acted:
		return "act", []zap.Field{zap.String("by", string(ev.By)), zap.String("what", ev.What)}
	}
	return "unknown event", nil
}

func legField(l call.Leg) zap.Field { return zap.Uint16("leg", uint16(l)) }

// mask shows the first and the last four characters of a number, of a short one nothing.
func mask(number string) string {
	r := []rune(number)
	switch {
	case len(r) == 0:
		return ""
	case len(r) <= 8:
		return "••••"
	}
	return string(r[:4]) + "••••" + string(r[len(r)-4:])
}

// Alarms of the desk.
const (
	alarmJournal = "journal"
	alarmCalls   = "calls-refused"
	alarmPanic   = "desk"
	alarmNoTaker = "no-taker"
)

// raise sounds an alarm that is not sounding yet; since is a time of the desk.
func (q *Queue) raise(name string, since time.Time, text string) {
	if !q.raised[name] {
		q.raised[name] = true
		q.o.Alarm(name, q.seen(since), text)
	}
}

// clear ends an alarm that is sounding.
func (q *Queue) clear(name, text string) {
	if q.raised[name] {
		delete(q.raised, name)
		q.o.Alarm(name, time.Time{}, text)
	}
}
