package sshproxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// What the entry asks the executor. The paths and what is said there never
// change their meaning: members of other versions use them.
const (
	// OpenPath takes an Opening, JSON. 101 and the connection to the environment,
	// with headerHostKey and headerRecord; 409 and a Refusal, JSON.
	OpenPath = "/cluster/v1/ssh/open"
	// UsePath takes a use, JSON. 204; 409 and a Refusal, JSON.
	UsePath = "/cluster/v1/ssh/use"

	protocol      = "aquarium-ssh"
	headerHostKey = "Aquarium-Host-Key" // base64 of the wire form of SSH; absent: nobody has been there
	headerRecord  = "Aquarium-Record"   // "1": terminals are to be recorded
	maxMessage    = 64 << 10
)

// Asker asks other members.
type Asker interface {
	Do(ctx context.Context, member model.UID, e overlay.Envelope, r overlay.Request) (*http.Response, error)
	Upgrade(ctx context.Context, member model.UID, e overlay.Envelope, r overlay.Request, protocol string) (net.Conn, http.Header, error)
}

// Everywhere reaches environments wherever they run.
type Everywhere struct {
	Node  model.UID
	Here  *Local
	Asker Asker
}

// Open implements Executor.
func (e *Everywhere) Open(ctx context.Context, node model.UID, o Opening) (*Opened, error) {
	if node == e.Node {
		return e.Here.Open(ctx, node, o)
	}
	body, _ := json.Marshal(o) // UIDs always marshal
	conn, header, err := e.Asker.Upgrade(ctx, node, overlay.Envelope{}, overlay.Request{
		Method: http.MethodPost, Path: OpenPath, Body: body,
	}, protocol)
	if err != nil {
		return nil, readFailure(err)
	}
	opened := &Opened{Conn: conn, Record: header.Get(headerRecord) == "1"}
	if opened.HostKey, err = base64.StdEncoding.DecodeString(header.Get(headerHostKey)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("read host key that the executor told: %w", err)
	}
	return opened, nil
}

// wireUse is an AccessUse between members: what the entry knows of it.
type wireUse struct {
	AccessUID  model.UID `json:"access"`
	SessionUID model.UID `json:"session"`
	Client     string    `json:"client"`
	HostKey    []byte    `json:"host_key"`
}

// Use implements Executor. An answer that is lost is asked for once more: for
// the same session it is the same.
func (e *Everywhere) Use(ctx context.Context, node model.UID, use model.AccessUse) error {
	if node == e.Node {
		return e.Here.Use(ctx, node, use)
	}
	body, _ := json.Marshal(wireUse{use.AccessUID, use.SessionUID, use.Client, use.HostKey}) // texts and UIDs always marshal
	err := e.use(ctx, node, body)
	if _, refused := errors.AsType[*Refusal](err); err != nil && !refused && ctx.Err() == nil {
		err = e.use(ctx, node, body)
	}
	return err
}

func (e *Everywhere) use(ctx context.Context, node model.UID, body []byte) error {
	res, err := e.Asker.Do(ctx, node, overlay.Envelope{}, overlay.Request{Method: http.MethodPost, Path: UsePath, Body: body})
	if err != nil {
		return fmt.Errorf("ask executor: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
	switch {
	case res.StatusCode == http.StatusNoContent:
		return nil
	case err != nil:
		return fmt.Errorf("ask executor: %w", err)
	}
	return readFailure(&overlay.StatusError{Status: res.StatusCode, Text: string(text)})
}

// readFailure reads what the executor answered instead.
func readFailure(err error) error {
	status, ok := errors.AsType[*overlay.StatusError](err)
	switch {
	case !ok:
		return err
	case status.Status == http.StatusNotFound:
		return &Refusal{Reason: ReasonOther, Text: "the node that runs the environment is of an older version, which lets nobody in"}
	case status.Status != http.StatusConflict:
		return err
	}
	var r Refusal
	if json.Unmarshal([]byte(status.Text), &r) != nil || r.Reason == "" {
		return err
	}
	return &r
}

// Service answers the entries of the cluster for this node. Stop ends the
// connections that it joined.
type Service struct {
	here *Local
	ctx  context.Context //nolint:containedctx // of the connections, which outlive their requests
	stop context.CancelFunc
	work sync.WaitGroup
}

// NewService makes the service of a Local.
func NewService(here *Local) *Service {
	s := &Service{here: here}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Run waits for the end of ctx, and then for that of all connections.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	s.stop()
	s.work.Wait()
	return nil
}

// Open answers OpenPath.
func (s *Service) Open(w http.ResponseWriter, r *http.Request) {
	var o Opening
	if !asked(w, r, &o) {
		return
	}
	if s.ctx.Err() != nil {
		http.Error(w, "this node is stopping", http.StatusServiceUnavailable)
		return
	}
	opened, err := s.here.Open(r.Context(), s.here.Node, o)
	if err != nil {
		refuse(w, err)
		return
	}
	header := http.Header{}
	if len(opened.HostKey) > 0 {
		header.Set(headerHostKey, base64.StdEncoding.EncodeToString(opened.HostKey))
	}
	if opened.Record {
		header.Set(headerRecord, "1")
	}
	conn, err := overlay.TakeOver(w, r, protocol, header)
	if err != nil {
		_ = opened.Close() // nobody has it
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.work.Go(func() { join(s.ctx, conn, opened) })
}

// Use answers UsePath.
func (s *Service) Use(w http.ResponseWriter, r *http.Request) {
	var u wireUse
	if !asked(w, r, &u) {
		return
	}
	e, _ := overlay.EnvelopeOf(r.Context()) // asked has looked
	err := s.here.Use(r.Context(), s.here.Node, model.AccessUse{
		AccessUID: u.AccessUID, SessionUID: u.SessionUID, EntryUID: e.From, Client: u.Client, HostKey: u.HostKey,
	})
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// asked reads what another member asks, and answers if it is nothing.
func asked(w http.ResponseWriter, r *http.Request, into any) bool {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxMessage+1))
	e, ok := overlay.EnvelopeOf(r.Context())
	if err != nil || !ok || e.User != "" || len(data) > maxMessage || json.NewDecoder(bytes.NewReader(data)).Decode(into) != nil {
		http.Error(w, "this is for members themselves, and no question of theirs", http.StatusBadRequest)
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, err error) {
	r, ok := errors.AsType[*Refusal](err)
	if !ok {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(r) // who is gone asks again
}

// join copies both ways until either end closes, or ctx ends. SSH has its own
// ends of streams: that of the connection below is that of everything.
func join(ctx context.Context, a, b net.Conn) {
	closeBoth := sync.OnceFunc(func() {
		_ = a.Close() // what is lost with it was not to be had
		_ = b.Close()
	})
	defer context.AfterFunc(ctx, closeBoth)()
	var work sync.WaitGroup
	for _, d := range []struct{ from, to net.Conn }{{a, b}, {b, a}} {
		work.Go(func() {
			defer closeBoth()
			_, _ = io.Copy(d.to, d.from) // why it ended is told by the ends of SSH
		})
	}
	work.Wait()
}
