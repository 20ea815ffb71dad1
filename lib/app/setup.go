package app

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
)

// setup builds the parts of the node. It is one long straight function on purpose: what depends on what is then held by
// the scope of its variables, and reads from top to bottom. Each resource registers its cleanup where it is made; what
// runs is registered with addPart, and starts in this order.
func (a *App) setup(ctx context.Context, opts Options) error {
	cfg, log := opts.Config, opts.Logger

	// Files: the folder, the keys and certificates in it (contract 3).
	if err := os.MkdirAll(cfg.Directory, 0o750); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	identity, err := crypt.LoadOrCreate(crypt.Options{
		NodeName: cfg.NodeName, NodeAddress: cfg.NodeAddress,
		TLSKey: cfg.TLSKey, TLSCert: cfg.TLSCrt, CACert: cfg.TLSCACrt, // joined with the directory already
		Log: log.With("component", "crypt"),
	})
	if err != nil {
		return fmt.Errorf("load identity: %w", err)
	}

	// The API comes last, so that it answers only when everything behind it is there, and stops first.
	handler := http.Handler(http.HandlerFunc(notFound))
	if opts.Console != nil {
		handler = logging.NewAccessLog(opts.Console, nil).Wrap(handler)
	}
	a.api, err = newServer(ctx, serverOptions{
		name: "api", address: cfg.APIAddress, tls: identity.ServerTLS(), handler: handler, limits: cfg,
		drain: drainTimeout, log: log,
	})
	if err != nil {
		return err
	}
	a.cleanups.add("api listener", a.api.close)
	a.addPart("api", a.api.run)
	return nil
}
