package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// askPath is asked by a driver of another member. ?thing= is the shared thing, the body a question, JSON. 200 and the
// driver's answer; 400: no question; 404: an older version, which is not asked; 409 and a refusal, JSON: the driver refuses;
// 421: this member does not own the thing; 503: it has no instance that is ready, or enough to do. Any other may have
// been done.
const askPath = "/cluster/v1/shared"

// maxAnswers bounds the questions to one instance that are not answered yet: those of a cluster whose nodes all start.
const maxAnswers = 64

// asks brings the questions of drivers to the owners of shared things, and those of others to the drivers of this node.
type asks struct {
	owner drivers.OwnerOf
	calls *calls.Calls
	// Set before the instances are made.
	self   model.UID
	whose  func(thing string) (instance string, answerer drivers.Answerer, absent string)
	client memberClient
	known  func(member model.UID) bool // its row is here
}

// memberClient asks other members.
type memberClient interface {
	Do(ctx context.Context, member model.UID, e overlay.Envelope, r overlay.Request) (*http.Response, error)
}

func newAsks(owner drivers.OwnerOf, log *slog.Logger) *asks {
	return &asks{owner: owner, calls: calls.New(log.With("component", "ask"), maxAnswers)}
}

// run ends with the node what is being answered.
func (a *asks) run(ctx context.Context) error {
	<-ctx.Done()
	a.calls.Stop()
	return nil
}

// Ask implements drivers.Ask.
func (a *asks) Ask(ctx context.Context, thing string, body json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, drivers.AskTimeout)
	defer cancel()
	owner := a.owner(thing)
	answer, err := a.askOf(ctx, owner, thing, body)
	if failed, ok := errors.AsType[*drivers.AskError](err); ok {
		failed.Thing, failed.Owner = thing, owner
	}
	return answer, err
}

func (a *asks) askOf(ctx context.Context, owner model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	switch {
	case !isQuestion(body):
		return nil, &drivers.AskError{Why: drivers.AskInvalid, Err: errQuestion}
	case owner == model.NilUID:
		return nil, &drivers.AskError{Why: drivers.AskNoOwner}
	case owner == a.self:
		return a.answer(ctx, a.self, thing, body)
	}
	return a.send(ctx, owner, thing, body)
}

var errQuestion = fmt.Errorf("want a JSON object of at most %d bytes", drivers.MaxAsk)

// isQuestion reports whether a question or an answer is one.
func isQuestion(body json.RawMessage) bool {
	return len(body) <= drivers.MaxAsk && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) && json.Valid(body)
}

// answer has the instance of this node answer. Its error is an AskError or an AskRefusedError.
func (a *asks) answer(ctx context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	if a.owner(thing) != a.self {
		return nil, &drivers.AskError{Why: drivers.AskNotOwner}
	}
	instance, answerer, absent := a.whose(thing)
	if answerer == nil {
		return nil, &drivers.AskError{Why: drivers.AskNotReady, Err: errors.New(absent)}
	}
	bound := calls.Bound{Wait: drivers.AnswerTimeout, Limit: drivers.AnswerTimeout, Attended: true}
	answer, err := calls.Do(ctx, a.calls, instance, bound, func(ctx context.Context) (json.RawMessage, error) {
		return answerer.Answer(ctx, from, thing, body)
	})
	refused, isRefused := errors.AsType[*drivers.AskRefusedError](err)
	switch {
	case isRefused:
		return nil, refused
	case errors.Is(err, calls.ErrBusy):
		return nil, &drivers.AskError{Why: drivers.AskNotReady, Err: err}
	case err != nil:
		return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: err}
	case !isQuestion(answer):
		return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: fmt.Errorf("driver %s answered nonsense: %w", instance, errQuestion)}
	}
	return answer, nil
}

// refusal is how the refusal of a driver travels.
type refusal struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// send asks another member. A question that left is not sent again: whoever asks decides that.
func (a *asks) send(ctx context.Context, owner model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	resp, err := a.client.Do(ctx, owner, overlay.Envelope{}, overlay.Request{
		Method: http.MethodPost, Path: askPath, Query: url.Values{"thing": {thing}}.Encode(), Body: body,
	})
	if _, unsent := errors.AsType[*overlay.UnreachableError](err); unsent {
		return nil, &drivers.AskError{Why: drivers.AskUnreachable, Err: err}
	}
	if err != nil {
		return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: err}
	}
	defer func() { _ = resp.Body.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, drivers.MaxAsk+1))
	if err != nil {
		return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: err}
	}
	return readAnswer(resp.StatusCode, data)
}

// readAnswer reads what a member answered.
func readAnswer(status int, data []byte) (json.RawMessage, error) {
	text := errors.New(strings.TrimSpace(string(bytes.ToValidUTF8(data[:min(len(data), maxSaid)], nil))))
	switch status {
	case http.StatusOK:
		if !isQuestion(data) {
			return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: errQuestion}
		}
		return data, nil
	case http.StatusConflict:
		var r refusal
		if err := json.Unmarshal(data, &r); err != nil || r.Code == "" { // not of a driver, which always has a code
			return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: text}
		}
		return nil, &drivers.AskRefusedError{Code: r.Code, Text: r.Text}
	case http.StatusNotFound:
		return nil, &drivers.AskError{Why: drivers.AskNotReady, Err: errOlder}
	case http.StatusMisdirectedRequest:
		return nil, &drivers.AskError{Why: drivers.AskNotOwner}
	case http.StatusServiceUnavailable:
		return nil, &drivers.AskError{Why: drivers.AskNotReady, Err: text}
	case http.StatusBadRequest:
		return nil, &drivers.AskError{Why: drivers.AskInvalid, Err: text}
	}
	return nil, &drivers.AskError{Why: drivers.AskUnsure, Err: text}
}

// maxSaid is how much of a member's own words goes into an error, for people to read.
const maxSaid = 1 << 10

var errOlder = errors.New("its version is not asked such things")

// asked answers the driver of another member. Who that is, the connection has proved.
func (a *asks) asked(w http.ResponseWriter, r *http.Request) {
	data, ok := body(w, r)
	if !ok {
		return
	}
	e, _ := overlay.EnvelopeOf(r.Context()) // the server takes no request without
	switch {
	case e.User != "":
		http.Error(w, "this is for members themselves, not for their users", http.StatusBadRequest)
		return
	case !isQuestion(data):
		http.Error(w, errQuestion.Error(), http.StatusBadRequest)
		return
	case !a.known(e.From):
		http.Error(w, "this node does not know the asking one yet: try again", http.StatusServiceUnavailable)
		return
	}
	answer, err := a.answer(r.Context(), e.From, r.URL.Query().Get("thing"), data)
	status := statusOf(err)
	if refused, ok := errors.AsType[*drivers.AskRefusedError](err); ok {
		answer, err = json.Marshal(refusal{refused.Code, refused.Text})
	}
	if err != nil {
		http.Error(w, reasonOf(err), status)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer) // who is gone asks again
}

// reasonOf is what an error says beyond its status.
func reasonOf(err error) string {
	if failed, ok := errors.AsType[*drivers.AskError](err); ok && failed.Err != nil {
		return failed.Err.Error()
	}
	return err.Error()
}

// statusOf is how an error of answer travels.
func statusOf(err error) int {
	if _, refused := errors.AsType[*drivers.AskRefusedError](err); refused {
		return http.StatusConflict
	}
	failed, ok := errors.AsType[*drivers.AskError](err)
	switch {
	case err == nil:
		return http.StatusOK
	case ok && failed.Why == drivers.AskNotOwner:
		return http.StatusMisdirectedRequest
	case ok && failed.Why == drivers.AskNotReady:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
