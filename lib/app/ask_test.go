package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// answering is a driver that owns something.
type answering func(ctx context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error)

func (f answering) Answer(ctx context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	return f(ctx, from, thing, body)
}

// farmOfTwo are two nodes whose connections are pipes, of which b has a driver.
type farmOfTwo struct {
	a, b   *asks
	owner  [2]model.UID // as a and as b see it
	driver answering
	absent string
	known  bool         // a is, to b
	down   bool         // b can not be reached
	serve  http.Handler // b's, unless it is another version
}

var nodeA, nodeB = model.UID{0xa}, model.UID{0xb}

func newFarmOfTwo(t *testing.T) *farmOfTwo {
	t.Helper()
	f := &farmOfTwo{owner: [2]model.UID{nodeB, nodeB}, known: true}
	log := slog.New(slog.DiscardHandler)
	f.a = newAsks(func(string) model.UID { return f.owner[0] }, log)
	f.b = newAsks(func(string) model.UID { return f.owner[1] }, log)
	whose := func(string) (string, drivers.Answerer, string) {
		if f.absent != "" {
			return "test/pool", nil, f.absent
		}
		return "test/pool", f.driver, ""
	}
	f.a.self, f.a.whose = nodeA, whose
	f.b.self, f.b.whose, f.b.known = nodeB, whose, func(uid model.UID) bool { return f.known && uid == nodeA }
	f.serve = http.HandlerFunc(f.b.asked)
	server := overlay.NewServer(overlay.ServerOptions{Logger: log, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != askPath || r.Method != http.MethodPost {
			t.Errorf("asked by %s %s", r.Method, r.URL.Path)
		}
		f.serve.ServeHTTP(w, r)
	})})
	client := overlay.NewClient(dialerOf(func(_ context.Context, member model.UID) (net.Conn, error) {
		if f.down || member != nodeB {
			return nil, errors.New("no way there")
		}
		near, far := net.Pipe()
		return near, server.Take(far, nodeA)
	}))
	f.a.client = client
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = server.Run(ctx) })
	run.Go(func() { _ = f.a.run(ctx) })
	run.Go(func() { _ = f.b.run(ctx) })
	t.Cleanup(func() { client.Close(); cancel(); run.Wait() })
	return f
}

type dialerOf func(ctx context.Context, member model.UID) (net.Conn, error)

func (f dialerOf) Dial(ctx context.Context, member model.UID) (net.Conn, error) {
	return f(ctx, member)
}

const question = `{"take":"0badcafe"}`

// TestAsk: the owner's driver answers with who asks, here or elsewhere; why it
// does not is told apart, and whether it may have been done.
func TestAsk(t *testing.T) {
	hang := func(ctx context.Context, _ model.UID, _ string, _ json.RawMessage) (json.RawMessage, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	deaf := func(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) {
		time.Sleep(time.Hour)
		return nil, nil
	}
	fails := func(err error) answering {
		return func(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) { return nil, err }
	}
	says := func(text string) answering {
		return func(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(text), nil
		}
	}
	status := func(code int) func(f *farmOfTwo) {
		return func(f *farmOfTwo) {
			f.serve = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "odd", code) })
		}
	}
	large := `{"a":"` + strings.Repeat("x", drivers.MaxAsk) + `"}`
	for _, tt := range []struct {
		name string
		make func(f *farmOfTwo)
		why  drivers.AskFailure
		text string
		took time.Duration
	}{
		{"nobody owns it", func(f *farmOfTwo) { f.owner[0] = model.NilUID }, drivers.AskNoOwner, "ask the owner of test/x: nobody owns it now", 0},
		{"away", func(f *farmOfTwo) { f.down = true }, drivers.AskUnreachable, "it can not be reached: reach member: no way there", 0},
		{"given away meanwhile", func(f *farmOfTwo) { f.owner[1] = nodeA }, drivers.AskNotOwner, "it does not own it any more", 0},
		{"not ready", func(f *farmOfTwo) { f.absent = "driver test/pool is not started yet" }, drivers.AskNotReady, "it is not ready: driver test/pool is not started yet", 0},
		{"a stranger", func(f *farmOfTwo) { f.known = false }, drivers.AskNotReady, "does not know the asking one yet", 0},
		{"an older version", status(http.StatusNotFound), drivers.AskNotReady, "its version is not asked such things", 0},
		{"fails", func(f *farmOfTwo) { f.driver = fails(errors.New("EC2 is away")) }, drivers.AskUnsure, "may have done it: EC2 is away", 0},
		{"panics", func(f *farmOfTwo) {
			f.driver = func(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) { panic("no map") }
		}, drivers.AskUnsure, "panic in the driver: no map", 0},
		{"hangs", func(f *farmOfTwo) { f.driver = hang }, drivers.AskUnsure, "it did not answer in time", drivers.AnswerTimeout},
		{"does not even end", func(f *farmOfTwo) { f.driver = deaf }, drivers.AskUnsure, "it did not answer in time", drivers.AnswerTimeout},
		{"silent", func(f *farmOfTwo) {
			f.serve = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-r.Context().Done() })
		}, drivers.AskUnsure, "deadline exceeded", drivers.AskTimeout},
		{"breaks off", func(f *farmOfTwo) {
			f.serve = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, drivers.AskUnsure, "EOF", 0},
		{"answers a list", func(f *farmOfTwo) { f.driver = says(`[]`) }, drivers.AskUnsure, "answered nonsense", 0},
		{"answers too much", func(f *farmOfTwo) { f.driver = says(large) }, drivers.AskUnsure, "answered nonsense", 0},
		{"answers half a refusal", status(http.StatusConflict), drivers.AskUnsure, "odd", 0},
		{"answers a refusal of nobody", func(f *farmOfTwo) {
			f.serve = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusConflict)
				fmt.Fprint(w, `{"message":"odd"}`)
			})
		}, drivers.AskUnsure, "odd", 0},
		{"answers too much by itself", func(f *farmOfTwo) {
			f.serve = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, large) })
		}, drivers.AskUnsure, "want a JSON object", 0},
		{"its own question is refused", func(f *farmOfTwo) { f.owner = [2]model.UID{nodeA, nodeA}; f.absent = "driver test/pool hangs" }, drivers.AskNotReady, "test/pool hangs", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarmOfTwo(t)
				tt.make(f)
				began := time.Now()
				answer, err := f.a.Ask(t.Context(), "test/x", json.RawMessage(question))
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				failed, ok := errors.AsType[*drivers.AskError](err)
				if !ok || failed.Why != tt.why || !strings.Contains(err.Error(), tt.text) || failed.Thing != "test/x" || failed.Owner != f.owner[0] {
					t.Errorf("Ask() = %s, %v, want %s: %s", answer, err, tt.why, tt.text)
				}
				if undone := drivers.AskUndone(err); undone == (tt.why == drivers.AskUnsure) {
					t.Errorf("AskUndone(%v) = %v", err, undone)
				}
				time.Sleep(time.Hour) // for those that do not end
			})
		})
	}
}

// TestAskIsAnswered: with who asked, and what; a refusal keeps code and text.
func TestAskIsAnswered(t *testing.T) {
	for name, owner := range map[string]model.UID{"elsewhere": nodeB, "here": nodeA} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarmOfTwo(t)
				f.owner = [2]model.UID{owner, owner}
				f.driver = func(_ context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
					if from != nodeA || thing != "test/x y" || string(body) != question {
						t.Errorf("asked by %v for %q: %s", from, thing, body)
					}
					return json.RawMessage(`{"host":"h-1","paid":1.50}`), nil
				}
				if got, err := f.a.Ask(t.Context(), "test/x y", json.RawMessage(question)); err != nil || string(got) != `{"host":"h-1","paid":1.50}` {
					t.Errorf("Ask() = %s, %v", got, err)
				}
				f.driver = func(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) {
					return nil, fmt.Errorf("take: %w", drivers.RefuseAsk("full", "all %d hosts are busy", 3))
				}
				_, err := f.a.Ask(t.Context(), "test/x", json.RawMessage(question))
				if refused, ok := errors.AsType[*drivers.AskRefusedError](err); !ok || refused.Code != "full" || refused.Text != "all 3 hosts are busy" || !drivers.AskUndone(err) {
					t.Errorf("a refusal = %#v", err)
				}
				for _, body := range []string{``, `[1]`, `{`, `{} {}`, `{"a":"` + strings.Repeat("x", drivers.MaxAsk) + `"}`} {
					_, err := f.a.Ask(t.Context(), "test/x", json.RawMessage(body))
					if failed, ok := errors.AsType[*drivers.AskError](err); !ok || failed.Why != drivers.AskInvalid {
						t.Errorf("Ask(%.10q) = %v", body, err)
					}
				}
			})
		})
	}
}

// TestOnlyMembersAsk: what a member passes on for a user is refused, whatever it is.
func TestOnlyMembersAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarmOfTwo(t)
		f.driver = func(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) {
			t.Error("the driver was asked")
			return nil, nil
		}
		for _, r := range []struct {
			user, body string
		}{{"admin", question}, {"", `{`}, {"", ``}} {
			resp, err := f.a.client.Do(t.Context(), nodeB, overlay.Envelope{User: r.user}, overlay.Request{
				Method: http.MethodPost, Path: askPath, Query: "thing=test/x", Body: []byte(r.body),
			})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("asked as %q with %q: %d", r.user, r.body, resp.StatusCode)
			}
		}
	})
}

// TestAskEnds: who asks may leave, and with them the question; the stop of the
// node ends what is being answered.
func TestAskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarmOfTwo(t)
		ended := make(chan struct{}, 2)
		f.driver = func(ctx context.Context, _ model.UID, _ string, _ json.RawMessage) (json.RawMessage, error) {
			<-ctx.Done()
			ended <- struct{}{}
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.a.Ask(ctx, "test/x", json.RawMessage(question)); !errors.Is(err, context.DeadlineExceeded) || drivers.AskUndone(err) {
			t.Errorf("Ask() of one that left = %v", err)
		}
		<-ended
		go func() { time.Sleep(time.Second); f.b.calls.Stop() }()
		_, err := f.a.Ask(t.Context(), "test/x", json.RawMessage(question))
		if drivers.AskUndone(err) || !strings.Contains(err.Error(), "the node is stopping") {
			t.Errorf("Ask() of a node that stops = %v", err)
		}
	})
}
