package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
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

// fetchProfile asks the node over net/http, as the answer is long and comes in
// pieces.
func (b *bench) fetchProfile(n *node, name string, window time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), window+patience)
	defer cancel()
	seconds := max(int(window.Seconds()), 1)
	url := fmt.Sprintf("https://%s/api/v1/node/this/profiling/profile?seconds=%d", n.address, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("profile node: %w", err)
	}
	req.SetBasicAuth("admin", b.adminPassword)
	transport := &http.Transport{TLSClientConfig: n.tls.Clone()}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("profile node: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or failed already
	f, err := os.Create(filepath.Join(b.profiles, strings.ReplaceAll(name, " ", "-")+".pprof"))
	if err != nil {
		return fmt.Errorf("store profile: %w", err)
	}
	_, err = f.ReadFrom(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("status %d", resp.StatusCode))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("store profile: %w", err)
	}
	return nil
}
