// Package meta serves environments their own metadata (contract 17, 32).
//
// Nobody logs in here: lib/caller says whose environment asks. One that shares
// the host's network asks under a path with a secret token.
package meta

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Root is the path that everything here lies under.
const Root = "/meta/v1/"

// finder says who asks.
type finder interface {
	// ByAddress returns the application whose environment has the address.
	ByAddress(ctx context.Context, caller netip.Addr) (*model.Entry, error)
	// ByToken returns the application that the metadata token belongs to.
	ByToken(ctx context.Context, caller netip.Addr, token string) (*model.Entry, error)
	// Stop sends away who waits.
	Stop()
}

var _ finder = (*caller.Finder)(nil)

// Options is what a Handler needs. All are required.
type Options struct {
	Callers finder
	// Proxy is where the node's proxy listens, which environments are told; ok
	// is false while it does not.
	Proxy  func() (listener netip.AddrPort, ok bool)
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Callers == nil || o.Proxy == nil || o.Logger == nil {
		return errors.New("meta: Callers, Proxy and Logger are required")
	}
	return nil
}

// Handler is the metadata API.
type Handler struct {
	Options
	seldom *logging.Seldom
}

var _ http.Handler = (*Handler)(nil)

// New checks the options.
func New(o Options) (*Handler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Handler{Options: o, seldom: logging.NewSeldom()}, nil
}

// Stop sends waiting requests away, with the word to ask again, and lets no
// other wait. Call it when the server that h belongs to begins to shut down
// (http.Server.RegisterOnShutdown): that would wait for them.
func (h *Handler) Stop() { h.Callers.Stop() }

// TokenPath is the path under which an environment with the token finds its
// metadata.
func TokenPath(token string) string { return Root + "token/" + token + "/data/" }
