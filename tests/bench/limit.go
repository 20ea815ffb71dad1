package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/go-chi/chi/v5"
)

// limitEnv makes this program the limit: a server that does nothing but answer.
// It holds a limitConfig as JSON.
const limitEnv = "FISH_BENCH_LIMIT"

// limitConfig is what the limit answers, and as whom.
type limitConfig struct {
	Cert, Key string      // files, the node's own
	Header    http.Header // of every answer
	Body      string
}

// serveLimit prints its address and serves what the text describes, until
// standard input ends.
func serveLimit(text string) error {
	var c limitConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler: limitHandler(c), ReadHeaderTimeout: patience,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the process that started this one
		_ = s.Close()
	}()
	if err := s.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// limitHandler answers the measured paths with the node's bytes.
func limitHandler(c limitConfig) http.Handler {
	body := []byte(c.Body)
	c.Header["Content-Length"] = []string{strconv.Itoa(len(body))}
	answer := func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), c.Header)
		_, _ = w.Write(body) // a client that is gone has nobody to tell
	}
	mux := chi.NewRouter()
	mux.Get("/api/v1/application/{uid}/state", answer)
	mux.Post("/api/v1/application/", answer)
	return mux
}

// limit is the running limit.
type limit struct {
	server
	*child
}

// startLimit runs this program as the limit, under the limits of the node.
func startLimit(ctx context.Context, c limitConfig, clients *tls.Config) (*limit, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("describe limit: %w", err)
	}
	child, err := startChild(ctx, limitEnv, string(text))
	if err != nil {
		return nil, err
	}
	return &limit{server{child.address, clients}, child}, nil
}
