package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// source gives each connection of a load its requests.
type source func(connection int) (next func() []byte)

// same always asks for the same.
func same(request []byte) source {
	return func(int) func() []byte { return func() []byte { return request } }
}

// hammer sends requests over so many connections, each the next one as soon as
// the last is answered, and measures what is answered within the window.
// Connections are made, and used once, before it begins. Any answer but 200 is
// an error, and so is a body other than want, unless that is nil.
func hammer(ctx context.Context, s server, connections int, window time.Duration, requests source, want []byte) (load, error) {
	conns := make([]*conn, connections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.close()
			}
		}
	}()
	for i := range conns {
		c, err := s.dial(ctx)
		if err != nil {
			return load{}, err
		}
		conns[i] = c
	}
	return hammerOver(ctx, conns, hammering{window, requests, want})
}

// hammering is what a load does over its connections.
type hammering struct {
	window   time.Duration
	requests source
	want     []byte
}

func hammerOver(ctx context.Context, conns []*conn, h hammering) (load, error) {
	latencies := make([][]time.Duration, len(conns))
	errs := make([]error, len(conns))
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	var end time.Time // set before begin is closed
	ready.Add(len(conns))
	for i, c := range conns {
		done.Go(func() {
			next := h.requests(i)
			errs[i] = h.once(c, next()) // also fills what both sides keep for the connection
			ready.Done()
			<-begin
			latencies[i], errs[i] = h.until(ctx, c, next, &end, errs[i])
		})
	}
	ready.Wait()
	start := time.Now()
	end = start.Add(h.window)
	close(begin)
	done.Wait()
	l := load{took: time.Since(start)}
	for _, some := range latencies {
		l.latencies = append(l.latencies, some...)
	}
	return l, errors.Join(errs...)
}

// once sends one request and checks the answer.
func (h hammering) once(c *conn, request []byte) error {
	a, err := c.do(request)
	if err != nil {
		return err
	}
	return h.check(a)
}

func (h hammering) check(a answer) error {
	if a.status != 200 || h.want != nil && !bytes.Equal(a.body, h.want) {
		return fmt.Errorf("got %d %.300s, want 200 %.300s", a.status, a.body, h.want)
	}
	return nil
}

// until sends requests until the end, unless the first one failed.
func (h hammering) until(ctx context.Context, c *conn, next func() []byte, end *time.Time, failed error) ([]time.Duration, error) {
	if failed != nil {
		return nil, failed
	}
	if err := c.net.SetDeadline(end.Add(patience)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	latencies := make([]time.Duration, 0, 1024)
	for now := time.Now(); now.Before(*end); {
		a, err := c.exchange(next())
		if err == nil {
			err = h.check(a)
		}
		if err != nil {
			return nil, err
		}
		after := time.Now()
		latencies = append(latencies, after.Sub(now))
		now = after
	}
	return latencies, ctx.Err()
}
