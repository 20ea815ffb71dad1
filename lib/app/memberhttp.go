package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// What members ask each other for themselves. The paths never change their meaning: members of other versions use them.
const (
	coversPath = "/cluster/v1/covers" // body: a vector. 204 when it is covered; ?durable=1: and on the disk
	fatesPath  = "/cluster/v1/fates"  // body: traces, JSON. 200 and what the store knows of each, JSON
	renewPath  = "/cluster/v1/renew"  // body: a request, PKCS #10, DER. 200 and the certificate file
)

const (
	// maxMemberBody bounds a request: a vector of as many origins as one may have takes less.
	maxMemberBody = 2 << 20
	// coversBound is how long rows are waited for, however long the asking member would: then it may ask again.
	coversBound = 25 * time.Second
)

// serveMembers makes what answers other members: their users' requests, and their own.
func (m *member) serveMembers(users http.Handler, certificates *enrol.Service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+coversPath, m.covers)
	mux.HandleFunc("POST "+fatesPath, m.fates)
	mux.HandleFunc("POST "+vectorPath, m.vector)
	mux.HandleFunc("POST "+timePath, m.timeOfDay)
	mux.HandleFunc("POST "+askPath, m.asks.asked)
	mux.HandleFunc("POST "+renewPath, func(w http.ResponseWriter, r *http.Request) { m.renew(w, r, certificates) })
	m.serveSSH(mux)
	mux.Handle("/", users)
	return mux
}

// body reads what a member sent.
func body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxMemberBody+1))
	if err != nil || len(data) > maxMemberBody {
		http.Error(w, "the request can not be read, or is too large", http.StatusBadRequest)
		return nil, false
	}
	return data, true
}

// covers answers when this node has all that a vector names.
func (m *member) covers(w http.ResponseWriter, r *http.Request) {
	data, ok := body(w, r)
	if !ok {
		return
	}
	var want replica.Vector
	if err := want.UnmarshalBinary(data); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), coversBound)
	defer cancel()
	err := m.waitCovered(ctx, want)
	if err == nil && r.URL.Query().Get("durable") == "1" {
		err = m.settleOnDisk(ctx)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// waitCovered returns nil once the database has all that a vector names.
func (m *member) waitCovered(ctx context.Context, want replica.Vector) error {
	grown := m.store.VectorChanged()
	defer grown.Close()
	for !m.store.Vector().Covers(want) {
		select {
		case <-grown.C():
		case <-ctx.Done():
			return fmt.Errorf("wait for rows: %w", ctx.Err())
		}
	}
	return nil
}

// settleOnDisk returns once what was taken in before it outlives a power cut: a commit with a row of this node's own is
// synchronous, and with it all that stands before it in the log.
func (m *member) settleOnDisk(ctx context.Context) error {
	own, ok := m.store.Node()
	if !ok {
		return errors.New("this node is not stored")
	}
	_, err := m.store.PutNode(ctx, own)
	return err
}

// renew signs a member's certificate anew.
func (m *member) renew(w http.ResponseWriter, r *http.Request, certificates *enrol.Service) {
	request, ok := body(w, r)
	if !ok {
		return
	}
	e, _ := overlay.EnvelopeOf(r.Context()) // the server takes no request without
	asker, known := m.nodeOf(e.From)
	if !known {
		http.Error(w, "this node does not know the asking one yet: try again", http.StatusServiceUnavailable)
		return
	}
	chain, err := certificates.Renew(r.Context(), asker.Pubkey, request)
	if refused, ok := errors.AsType[*enrol.Refusal](err); ok {
		http.Error(w, refused.Error(), http.StatusConflict)
		return
	}
	if err != nil {
		m.log.Error("certificate of a member not renewed", "node", e.From, "error", err)
		http.Error(w, "the node failed, and its log has the reason", http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(chain) // who is gone asks again
}

// ask asks another member for this one, and returns the answer's body.
func (m *member) ask(ctx context.Context, node model.UID, path, query string, body []byte) ([]byte, error) {
	resp, err := m.client.Do(ctx, node, overlay.Envelope{}, overlay.Request{Method: http.MethodPost, Path: path, Query: query, Body: body})
	if err != nil {
		return nil, fmt.Errorf("ask node %s: %w", node, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxMemberBody))
	if err != nil {
		return nil, fmt.Errorf("ask node %s: %w", node, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("ask node %s: %s", node, strings.TrimSpace(string(bytes.ToValidUTF8(data, nil))))
	}
	return data, nil
}

// askCovers returns nil once the node has what the vector names, on its disk where durable is set.
func (m *member) askCovers(ctx context.Context, node model.UID, want replica.Vector, durable bool) error {
	data, err := want.MarshalBinary()
	if err != nil {
		return fmt.Errorf("ask node %s: %w", node, err)
	}
	query := ""
	if durable {
		query = "durable=1"
	}
	_, err = m.ask(ctx, node, coversPath, query, data)
	return err
}

// askRenewal has a member that holds the CA's key sign a request.
func (m *member) askRenewal(ctx context.Context, request []byte) ([]byte, error) {
	var signers []model.UID
	for _, signer := range m.Signers() {
		if signer.LSA.Node != m.node.UID {
			signers = append(signers, signer.LSA.Node)
		}
	}
	return askAny(ctx, signers, func(ctx context.Context, signer model.UID) ([]byte, error) {
		return m.ask(ctx, signer, renewPath, "", request)
	})
}

// signerBound is how long one signer is waited for: the next one may answer at once.
const signerBound = 8 * time.Second

// askAny asks signers, in random order, until one has signed.
func askAny(ctx context.Context, signers []model.UID, ask func(ctx context.Context, signer model.UID) ([]byte, error)) ([]byte, error) {
	if len(signers) == 0 {
		return nil, errors.New("no member that holds the CA's key can be reached")
	}
	var errs []error
	for _, i := range rand.Perm(len(signers)) {
		bound, cancel := context.WithTimeout(ctx, signerBound)
		chain, err := ask(bound, signers[i])
		cancel()
		if err == nil {
			return chain, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// holders are the names of the members that hold the CA's key.
func (m *member) holders() []string {
	var names []string
	for _, s := range m.Signers() {
		names = append(names, s.LSA.Name)
	}
	return names
}
