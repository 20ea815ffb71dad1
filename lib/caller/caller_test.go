package caller

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The rules by which metadata is served are tested with it, in lib/meta: here
// is what the proxies add to them.

var thisNode = model.UID{1}

type fakeStore []*model.Entry

func (s fakeStore) Open() []*model.Entry { return s }

func (s fakeStore) Application(_ context.Context, uid model.UID) (*model.Entry, error) {
	for _, e := range s {
		if e.Application.UID == uid {
			return e, nil
		}
	}
	return nil, errors.New("no such application")
}

func (s fakeStore) Update(context.Context, model.UID, func(*model.Entry) (model.Change, error)) (*model.Entry, error) {
	return nil, errors.New("nothing is to be written")
}

// allocated is an application of this node with an environment.
func allocated(id byte, driver, ip string) *model.Entry {
	app := model.UID{id}
	e := &model.Entry{Application: model.Application{UID: app}}
	for i, s := range []model.Status{model.StatusNew, model.StatusElected, model.StatusAllocated} {
		row := model.ApplicationState{UID: model.UID{id, byte(i)}, ApplicationUID: app, Status: s, HLC: model.HLC(i + 1)}
		if i > 0 {
			row.Epoch = 1
		}
		e.States = append(e.States, row)
	}
	e.Fold = model.FoldStates(e.States)
	e.Allocations = []model.Allocation{{
		ApplicationUID: app, Epoch: 1, NodeUID: thisNode, MetaToken: strings.Repeat(string('a'+rune(id)), TokenLen),
		Definition: model.LabelDefinition{Driver: driver},
	}}
	e.Resource = &model.Resource{UID: model.UID{id, 0xff}, ApplicationUID: app, NodeUID: thisNode, IPAddr: ip}
	return e
}

func finder(t *testing.T, entries ...*model.Entry) *Finder {
	t.Helper()
	f, err := New(Options{
		Node: thisNode, Store: fakeStore(entries),
		NextChange: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		Networks: func(instance string) []netip.Prefix {
			if instance == "aws" {
				return nil
			}
			return []netip.Prefix{netip.MustParsePrefix("172.20.0.0/24")}
		},
		Interfaces: func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}, nil },
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOnlyByAddress(t *testing.T) {
	docker, one, two := allocated(1, "docker", "172.20.0.2"), allocated(2, "test", "127.0.0.1"), allocated(3, "test/b", "127.0.0.1")
	native, adopted := allocated(4, "native", "127.0.0.1"), allocated(5, "", "172.20.0.3")
	for _, tt := range []struct {
		name    string
		entries []*model.Entry
		from    string
		want    *model.Entry // nil: nobody
	}{
		{"an address of its own", []*model.Entry{docker, one, two}, "172.20.0.2", docker},
		{"the only one of the test driver", []*model.Entry{docker, one, native}, "127.0.0.1", one},
		{"two of the test driver are nobody", []*model.Entry{one, two}, "127.0.0.1", nil},
		{"native shows its secret", []*model.Entry{native}, "127.0.0.1", nil},
		{"the same address in a cloud", []*model.Entry{allocated(1, "aws", "172.20.0.2")}, "172.20.0.2", nil},
		{"beside the same address in a cloud", []*model.Entry{allocated(5, "aws", "172.20.0.2"), docker}, "172.20.0.2", docker},
		{"of an adopted database", []*model.Entry{adopted}, "172.20.0.3", adopted},
		{"no network of environments", []*model.Entry{docker}, "10.0.0.9", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := finder(t, tt.entries...).OnlyByAddress(t.Context(), netip.MustParseAddr(tt.from))
			if got != tt.want || (err == nil) != (tt.want != nil) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			if err != nil && !errors.Is(err, ErrUnknown) {
				t.Errorf("error %v, want ErrUnknown", err)
			}
		})
	}
}

func TestByCredential(t *testing.T) {
	native, other, adopted := allocated(1, "native", "127.0.0.1"), allocated(2, "native", "127.0.0.1"), allocated(3, "native", "127.0.0.1")
	adopted.Allocations[0].MetaToken = ""
	f := finder(t, native, other, adopted)
	user, password, _ := native.Allocations[0].ProxyCredential()
	otherUser, _, _ := other.Allocations[0].ProxyCredential()
	for _, tt := range []struct {
		name, from, user, password string
		want                       *model.Entry // nil: nobody
	}{
		{"own", "127.0.0.1", user, password, native},
		{"by the host's LAN address", "10.0.0.5", user, password, native},
		{"from another host", "10.0.0.6", user, password, nil},
		{"password of another", "127.0.0.1", otherUser, password, nil},
		{"wrong password", "127.0.0.1", user, strings.Repeat("0", 32), nil},
		{"a beginning of it", "127.0.0.1", user, password[:31], nil},
		{"nothing", "127.0.0.1", "", "", nil},
		{"its metadata token", "127.0.0.1", user, native.Allocations[0].MetaToken, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := f.ByCredential(t.Context(), netip.MustParseAddr(tt.from), tt.user, tt.password)
			if got != tt.want || (err == nil) != (tt.want != nil) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			if err != nil && !errors.Is(err, ErrSecret) {
				t.Errorf("error %v, want ErrSecret", err)
			}
		})
	}
	native.Allocations[0].ReleasedAt = native.Allocations[0].ReleasedAt.AddDate(1, 0, 0)
	if _, err := f.ByCredential(t.Context(), netip.MustParseAddr("127.0.0.1"), user, password); !errors.Is(err, ErrSecret) {
		t.Errorf("after its release: %v, want ErrSecret", err)
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:9": "127.0.0.1", "[::1]:9": "127.0.0.1", "[::ffff:172.20.0.2]:9": "172.20.0.2", "[fe80::1%eth0]:9": "fe80::1",
	} {
		if got, ok := ParseAddress(in); !ok || got.String() != want {
			t.Errorf("ParseAddress(%q) = %v, %v, want %s", in, got, ok, want)
		}
	}
	if _, ok := ParseAddress("@"); ok {
		t.Error("a socket without an address has one")
	}
}
