package export

import (
	"strconv"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

// asteriskForm writes the 18 columns of Asterisk's Master.csv (cdr_csv with loguniqueid and loguserfield): no header, LF,
// texts in quotes, durations in whole seconds, times in the zone without naming it.
//
//	accountcode src dst dcontext clid channel dstchannel lastapp lastdata start answer end duration billsec disposition
//	amaflags uniqueid userfield
//
// accountcode is the department, dcontext the trunk, uniqueid the call's id, userfield the disposition.
type asteriskForm struct{ zone *time.Location }

func (asteriskForm) head(b []byte) []byte { return b }

func (f asteriskForm) row(b []byte, r *Row) []byte {
	c := &r.Record
	answered, ok := r.answered()
	to := ""
	if c.Taker != "" {
		to = "SIP/" + string(c.Taker)
	}
	for _, s := range [...]string{c.Dept, c.Caller.Number, c.Called, c.Trunk, c.Caller.Number, "SIP/" + c.Trunk, to, "Queue", c.Called} {
		b = append(appendField(b, Safe(s), ',', true), ',')
	}
	b = append(f.moment(b, c.FirstAt, true), ',')
	b = append(f.moment(b, answered, ok), ',')
	b = append(f.moment(b, r.ended(), true), ',')
	b = append(strconv.AppendInt(b, seconds(c.Wait+c.Talk), 10), ',')
	b = append(strconv.AppendInt(b, seconds(c.Talk), 10), ',')
	b = append(appendField(b, disposition(c), ',', true), ',')
	b = append(b, `"DOCUMENTATION",`...)
	b = append(appendField(b, string(c.Of), ',', true), ',')
	b = appendField(b, Safe(string(c.Kind)), ',', true)
	return append(b, '\n')
}

func (f asteriskForm) moment(b []byte, at time.Time, ok bool) []byte {
	if !ok {
		return b
	}
	return append(appendLocal(append(b, '"'), at, f.zone), '"')
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// disposition is Asterisk's word for an outcome.
func disposition(c *call.Record) string {
	switch c.Outcome {
	case call.WasAnswered:
		return "ANSWERED"
	case call.WasAbandoned:
		return "NO ANSWER"
	case call.WasRefused:
		return "CONGESTION"
	case call.WasRejected, call.WasRestart, call.WasFailed:
		return "FAILED"
	case call.WasTest, call.WasDiverted:
		return "NO ANSWER"
	}
	return "FAILED"
}

// freeswitchForm writes the 15 columns of the template with which FreeSWITCH's mod_cdr_csv comes ("example", its
// default-template): no header, LF, all in quotes, times in the zone without naming it.
//
//	caller_id_name caller_id_number destination_number context start_stamp answer_stamp end_stamp duration billsec
//	hangup_cause uuid bleg_uuid accountcode read_codec write_codec
//
// context is the trunk, uuid the call's id, accountcode the department.
type freeswitchForm struct{ zone *time.Location }

func (freeswitchForm) head(b []byte) []byte { return b }

func (f freeswitchForm) row(b []byte, r *Row) []byte {
	c := &r.Record
	answered, ok := r.answered()
	for _, s := range [...]string{"", c.Caller.Number, c.Called, c.Trunk} {
		b = append(appendField(b, Safe(s), ',', true), ',')
	}
	b = append(f.moment(b, c.FirstAt, true), ',')
	b = append(f.moment(b, answered, ok), ',')
	b = append(f.moment(b, r.ended(), true), ',')
	b = append(strconv.AppendInt(append(b, '"'), seconds(c.Wait+c.Talk), 10), `",`...)
	b = append(strconv.AppendInt(append(b, '"'), seconds(c.Talk), 10), `",`...)
	for _, s := range [...]string{cause(c), string(c.Of), "", c.Dept, ""} {
		b = append(appendField(b, Safe(s), ',', true), ',')
	}
	return append(b, "\"\"\n"...)
}

func (f freeswitchForm) moment(b []byte, at time.Time, ok bool) []byte {
	b = append(b, '"')
	if ok {
		b = appendLocal(b, at, f.zone)
	}
	return append(b, '"')
}

// cause is FreeSWITCH's word for why a call ended.
func cause(c *call.Record) string {
	switch c.Outcome {
	case call.WasAnswered, call.WasTest:
		return "NORMAL_CLEARING"
	case call.WasAbandoned:
		return "ORIGINATOR_CANCEL"
	case call.WasRefused:
		return "NORMAL_CIRCUIT_CONGESTION"
	case call.WasRejected:
		switch c.Code {
		case 404:
			return "UNALLOCATED_NUMBER"
		case 488:
			return "INCOMPATIBLE_DESTINATION"
		}
		return "CALL_REJECTED"
	case call.WasDiverted:
		return "BLIND_TRANSFER"
	case call.WasRestart:
		return "SYSTEM_SHUTDOWN"
	case call.WasFailed:
		return "NORMAL_TEMPORARY_FAILURE"
	}
	return strings.ToUpper(string(c.Outcome))
}
