package test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestCommandFail(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "fail_deallocate: 255\n")
	req := request(`{}`)
	mustAllocate(t, d, req)
	if err := d.Deallocate(t.Context(), ref(req)); !errors.Is(err, errDeallocate) {
		t.Fatalf("Deallocate() = %v, want %v", err, errDeallocate)
	}
	got, err := d.Do(t.Context(), commandFail, json.RawMessage(`{"call":"deallocate","chance":0}`))
	if err != nil || string(got) != `{"before":255}` {
		t.Errorf("fail = %s, %v", got, err)
	}
	mustDeallocate(t, d, ref(req))
	for args, want := range map[string]string{
		`{"call":"allocate","chance":1}`: "call", `{"call":"snapshot"}`: "chance", `{"call":"snapshot","chance":256}`: "chance",
		`{"call":"snapshot","chance":1,"often":true}`: "often",
	} {
		if _, err := d.Do(t.Context(), commandFail, json.RawMessage(args)); !errors.Is(err, drivers.ErrCommandArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("fail %s = %v, want an error that names %s", args, err, want)
		}
	}
	if _, err := d.Do(t.Context(), "fly", json.RawMessage(`{}`)); !errors.Is(err, drivers.ErrCommandUnknown) {
		t.Errorf("fly = %v", err)
	}
}

// TestCommandRoom: of what is shared the owner tells.
func TestCommandRoom(t *testing.T) {
	alone := open(t, t.TempDir(), "test", node, "")
	mustAllocate(t, alone, request(`{}`))
	if got, err := alone.Do(t.Context(), commandRoom, json.RawMessage(`{}`)); err != nil || string(got) != `{"environments":1}` {
		t.Errorf("room of one that shares nothing = %s, %v", got, err)
	}
	away := &drivers.AskError{Why: drivers.AskUnreachable, Thing: "test/x"}
	var failure error
	d, err := New(t.Context(), drivers.Config{
		Instance: "test/pool", NodeUID: node, Logger: slog.New(slog.DiscardHandler), Owner: func(string) model.UID { return model.UID{7} },
		Cfg: []byte("workspace_path: " + t.TempDir() + "\nshared: test/x\n"),
		Ask: func(ctx context.Context, thing string, body json.RawMessage) (json.RawMessage, error) {
			if failure != nil {
				return nil, failure
			}
			return alone.Answer(ctx, node, thing, body)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.(*driver).Do(t.Context(), commandRoom, json.RawMessage(`{}`)); err != nil || string(got) != `{"environments":1}` {
		t.Errorf("room = %s, %v, want the owner's", got, err)
	}
	failure = away
	if _, err := d.(*driver).Do(t.Context(), commandRoom, json.RawMessage(`{}`)); !errors.Is(err, away) {
		t.Errorf("room while the owner is away = %v", err)
	}
	_, err = alone.Answer(t.Context(), node, "test/x", json.RawMessage(`{"question":"why"}`))
	if refused, ok := errors.AsType[*drivers.AskRefusedError](err); !ok || refused.Code != "unknown" {
		t.Errorf("an unknown question = %v", err)
	}
}
