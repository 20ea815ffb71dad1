package awssdk

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// script is a service of prepared answers, in memory: with it, tests run in
// fake time and no request leaves the process.
type script struct {
	t *testing.T
	// answer is called for every request that was sent. One of nil is no answer
	// before the request's context ends.
	answer func(n int, r request) *reply

	mu   sync.Mutex
	sent []request
}

// request is what was sent.
type request struct {
	action string
	form   url.Values // of EC2 and STS
	body   string
	header http.Header
	host   string
}

// reply is what comes back; of err alone the connection is lost.
type reply struct {
	status  int
	body    string
	err     error
	refused bool // the connection is not even made
}

func (s *script) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	form, _ := url.ParseQuery(string(body))
	got := request{action: form.Get("Action"), form: form, body: string(body), header: r.Header, host: r.URL.Host}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		got.action = target[strings.LastIndex(target, ".")+1:]
	}
	s.mu.Lock()
	s.sent = append(s.sent, got)
	n := len(s.sent)
	s.mu.Unlock()
	a := s.answer(n, got)
	if a != nil && a.refused {
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: syscall.ECONNREFUSED}
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	switch {
	case a == nil:
		<-r.Context().Done()
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: r.Context().Err()}
	case a.err != nil:
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: a.err}
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (s *script) actions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.sent {
		list = append(list, r.action)
	}
	return list
}

const secret = "HiddenSecretKeyOfTheTest"

// client is one that talks to the script.
func (s *script) client() cloud.API {
	s.t.Helper()
	c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// always answers the same.
func always(a *reply) func(int, request) *reply {
	return func(int, request) *reply { return a }
}

// sequence answers one after the other, and the last again and again.
func sequence(list ...*reply) func(int, request) *reply {
	return func(n int, _ request) *reply { return list[min(n, len(list))-1] }
}

func success(action, inner string) *reply {
	return &reply{status: 200, body: fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<%[1]sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId>%[2]s</%[1]sResponse>`, action, inner)}
}

func failure(status int, code, message string) *reply {
	return &reply{status: status, body: fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r-1</RequestID></Response>`, code, message)}
}

func launched(id string) *reply {
	return success("RunInstances", "<instancesSet><item><instanceId>"+id+"</instanceId><instanceState><code>0</code><name>pending</name></instanceState></item></instancesSet>")
}
