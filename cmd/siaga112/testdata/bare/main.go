// Command bare is what the gateway's load is measured against: two legs on sipgo, and nothing else. It sends each INVITE on
// to one phone, gives the answer back and relays the BYE. It keeps no record and no timer, plays no sound and checks
// nothing.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bare LISTEN PHONE")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

// bare joins the legs of a call by the Call-ID of the first.
type bare struct {
	client  *sipgo.Client
	contact sip.ContactHeader
	phone   sip.Uri
	legs    sync.Map // Call-ID: *leg
}

// leg is the dialog with the phone.
type leg struct {
	invite *sip.Request
	answer *sip.Response
}

func serve(listen, phone string) error {
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ua, err := sipgo.NewUA()
	if err != nil {
		return err
	}
	server, err := sipgo.NewServer(ua)
	if err != nil {
		return err
	}
	client, err := sipgo.NewClient(ua, sipgo.WithClientAddr(listen), sipgo.WithClientConnectionAddr(listen))
	if err != nil {
		return err
	}
	b := &bare{client: client}
	if err := sip.ParseUri("sip:bare@"+listen, &b.contact.Address); err != nil {
		return err
	}
	if err := sip.ParseUri("sip:phone@"+phone, &b.phone); err != nil {
		return err
	}
	server.OnInvite(b.invite)
	server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	server.OnBye(b.bye)
	return server.ListenAndServe(ctx, "udp", listen)
}

// invite calls the phone, and answers as it answers.
func (b *bare) invite(req *sip.Request, tx sip.ServerTransaction) {
	out := sip.NewRequest(sip.INVITE, b.phone)
	out.AppendHeader(&b.contact)
	out.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	out.SetBody(req.Body())
	ctx := context.Background()
	asked, err := b.client.TransactionRequest(ctx, out)
	if err != nil {
		respond(tx, sip.NewResponseFromRequest(req, sip.StatusServiceUnavailable, err.Error(), nil))
		return
	}
	defer asked.Terminate()
	for {
		select {
		case res := <-asked.Responses():
			back := sip.NewResponseFromRequest(req, res.StatusCode, res.Reason, res.Body())
			if len(res.Body()) > 0 {
				back.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
			}
			back.AppendHeader(&b.contact)
			if res.IsSuccess() {
				b.legs.Store(req.CallID().Value(), &leg{out, res})
				b.send(b.inDialog(sip.ACK, out, res))
			}
			respond(tx, back)
			if !res.IsProvisional() {
				return
			}
		case <-asked.Done():
			respond(tx, sip.NewResponseFromRequest(req, sip.StatusRequestTimeout, "no answer", nil))
			return
		}
	}
}

// bye answers the caller and hangs up at the phone.
func (b *bare) bye(req *sip.Request, tx sip.ServerTransaction) {
	respond(tx, sip.NewResponseFromRequest(req, sip.StatusOK, "OK", nil))
	found, ok := b.legs.LoadAndDelete(req.CallID().Value())
	if !ok {
		return
	}
	l := found.(*leg)
	if _, err := b.client.Do(context.Background(), b.inDialog(sip.BYE, l.invite, l.answer)); err != nil {
		fmt.Fprintln(os.Stderr, "BYE:", err)
	}
}

// inDialog is a request to the phone in its dialog.
func (b *bare) inDialog(method sip.RequestMethod, invite *sip.Request, answer *sip.Response) *sip.Request {
	to := b.phone
	if c := answer.Contact(); c != nil {
		to = c.Address
	}
	req := sip.NewRequest(method, to)
	sip.CopyHeaders("From", invite, req)
	sip.CopyHeaders("To", answer, req)
	sip.CopyHeaders("Call-ID", invite, req)
	seq := *invite.CSeq()
	seq.MethodName = method
	if method != sip.ACK {
		seq.SeqNo++
	}
	req.AppendHeader(&seq)
	return req
}

func (b *bare) send(ack *sip.Request) {
	if err := b.client.WriteRequest(ack); err != nil {
		fmt.Fprintln(os.Stderr, "ACK:", err)
	}
}

func respond(tx sip.ServerTransaction, res *sip.Response) {
	if err := tx.Respond(res); err != nil {
		fmt.Fprintln(os.Stderr, res.StatusCode, err)
	}
}
