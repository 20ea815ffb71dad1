package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// profile records what the node computes while it is measured, if that was
// asked for. The function that it returns passes an error on, and waits for
// the profile.
func (b *bench) profile(n *node, name string, window time.Duration) (end func(error) error) {
	if b.profiles == "" {
		return func(err error) error { return err }
	}
	done := make(chan error, 1)
	go func() { done <- b.fetchProfile(n, name, window) }()
	return func(err error) error { return errors.Join(err, <-done) }
}

// fetchProfile stores a profile of the node.
func (b *bench) fetchProfile(n *node, name string, window time.Duration) error {
	p, err := n.cpuProfile(b.adminPassword, window)
	if err != nil {
		return err
	}
	return b.store(name, p)
}

func (b *bench) store(name string, p *profile.Profile) error {
	f, err := os.Create(filepath.Join(b.profiles, strings.ReplaceAll(name, " ", "-")+".pprof"))
	if err != nil {
		return fmt.Errorf("store profile: %w", err)
	}
	if err := errors.Join(p.Write(f), f.Close()); err != nil {
		return fmt.Errorf("store profile: %w", err)
	}
	return nil
}

// cpuProfile is what the node computes from now on, for as long as the window,
// in whole seconds.
func (n *node) cpuProfile(adminPassword string, window time.Duration) (*profile.Profile, error) {
	ctx, cancel := context.WithTimeout(context.Background(), window+patience)
	defer cancel()
	client, done := n.client()
	defer done()
	text, err := n.fetch(ctx, client, user{"admin", adminPassword},
		fmt.Sprintf("/api/v1/node/this/profiling/profile?seconds=%d", max(int(window.Seconds()), 1)))
	if err != nil {
		return nil, fmt.Errorf("profile node: %w", err)
	}
	p, err := profile.ParseData(text)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	return p, nil
}

// client is one of net/http, for answers that are long and come in pieces.
func (n *node) client() (client *http.Client, done func()) {
	transport := &http.Transport{TLSClientConfig: n.tls.Clone()}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// fetch gets the whole answer, which has to be 200.
func (n *node) fetch(ctx context.Context, client *http.Client, u user, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+n.address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.SetBasicAuth(u.name, u.password)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or failed already
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: got %d %.300s, want 200", path, resp.StatusCode, text)
	}
	return text, err
}
