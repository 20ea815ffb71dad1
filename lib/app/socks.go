package app

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	socksproxy "github.com/aquarium-fish/aquarium-fish/lib/proxy/socks"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// listenSOCKS binds the SOCKS proxy and keeps it in a.socks, unless it can not:
// several nodes of one host have the same default port, and a node without a
// proxy is still one.
func (a *App) listenSOCKS(ctx context.Context, cfg *config.Config, log *slog.Logger) *net.TCPListener {
	l, err := socksproxy.Listen(ctx, cfg.ProxySOCKSAddress)
	if err != nil {
		log.Warn("environments reach no services through this node: "+
			"free the address of its SOCKS proxy, or give another one in proxy_socks_address",
			"component", "socks", "proxy_socks_address", cfg.ProxySOCKSAddress, "error", err)
		return nil
	}
	a.cleanups.add("socks listener", func(context.Context) error {
		_ = l.Close() // the proxy has closed it, if it ran
		return nil
	})
	a.socks = l
	return l
}

// socksOptions is what the SOCKS proxy of a node needs.
type socksOptions struct {
	listener *net.TCPListener // nil: there is none
	config   *config.Config
	store    *store.Store
	callers  *caller.Finder
	networks func() []netip.Prefix // of environments
	trail    *audit.Log
	log      *slog.Logger
}

// addSOCKS adds the proxy, if it has an address.
func (a *App) addSOCKS(o socksOptions) error {
	if o.listener == nil {
		return nil
	}
	proxy, err := socksproxy.New(socksproxy.Options{
		Listener: o.listener, Location: o.config.NodeLocation, Callers: o.callers, Store: o.store, NextChange: a.changesOf(o.store),
		Networks: o.networks,
		Limits: socksproxy.Limits{
			Handshake: o.config.ProxySOCKSHandshakeTimeout, Dial: o.config.ProxySOCKSDialTimeout, Idle: o.config.ProxySOCKSIdleTimeout,
			Connections: int(o.config.ProxySOCKSMaxConnections), Rate: int(o.config.ProxySOCKSRate),
			MaxUnidentified: int(o.config.ProxySOCKSMaxUnidentified),
		},
		Audit: o.trail, Logger: o.log.With("component", "socks"),
	})
	if err != nil {
		return err
	}
	a.addPart("socks", proxy.Run)
	return nil
}
