package main

import (
	"bufio"
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
	"os/exec"
	"strconv"
	"strings"
	"time"

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

// serveLimitIfAsked runs the limit in a process that was started for it, until
// its standard input ends, and reports whether it was.
func serveLimitIfAsked() bool {
	text, asked := os.LookupEnv(limitEnv)
	if !asked {
		return false
	}
	var c limitConfig
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = serveLimit(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error: serve limit:", err)
		os.Exit(1)
	}
	return true
}

// serveLimit prints its address and serves.
func serveLimit(c limitConfig) error {
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
	cmd   *exec.Cmd
	stdin io.Closer
}

// startLimit runs this program as the limit, under the limits of the node.
func startLimit(ctx context.Context, c limitConfig, clients *tls.Config) (*limit, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("describe limit: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), limitEnv+"="+string(text), "GOMAXPROCS="+strconv.Itoa(nodeCores), "GOMEMLIMIT="+nodeMemory+"iB")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start limit: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start limit: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start limit: %w", err)
	}
	l := &limit{cmd: cmd, stdin: stdin}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		l.close()
		return nil, fmt.Errorf("read address of limit: %w", err)
	}
	l.server = server{strings.TrimSpace(address), clients}
	return l, nil
}

// close ends the limit; how it ends matters to nobody.
func (l *limit) close() {
	_ = l.stdin.Close()
	timer := time.AfterFunc(patience, func() { _ = l.cmd.Process.Kill() })
	defer timer.Stop()
	_ = l.cmd.Wait()
}
