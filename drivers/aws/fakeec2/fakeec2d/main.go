// Fakeec2d serves a fake EC2 on a port of this machine, for a try of the driver
// without an account, and for tests of programs that are given an endpoint.
//
//	$ go run ./drivers/aws/fakeec2/fakeec2d --speed 60
//	http://127.0.0.1:41793
//	$ aws --endpoint-url http://127.0.0.1:41793 ec2 describe-subnets
//	$ curl -d '{"by": "24h"}' http://127.0.0.1:41793/_fake/clock
//
// Everything is in memory and gone with the process. Whoever reaches the port
// may do anything, so it is one of loopback. control.go says what can be
// ordered below /_fake/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fakeec2d:", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	listen        string
	keyID, secret string
	speed         float64
	quick         bool
	wire          wire.Options
	cloud         fakeec2.Options
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("fakeec2d", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "`address` of loopback; port 0 takes a free one")
	flags.StringVar(&s.keyID, "key-id", "", "access key `id` that requests have to be signed with; none: anything goes")
	flags.StringVar(&s.secret, "secret", "", "secret of the key id")
	flags.Float64Var(&s.speed, "speed", 1, "how many seconds pass in a second")
	flags.BoolVar(&s.quick, "quick", false, "let everything happen at once but what is a rule, such as the 24 hours of hosts")
	flags.IntVar(&s.wire.PageSize, "page-size", 0, "how many things one answer lists at most (default 20)")
	flags.StringVar(&s.cloud.Region, "region", "eu-central-1", "the `region`")
	flags.StringVar(&s.cloud.Account, "account", "123456789012", "the account's `number`")
	flags.Uint64Var(&s.cloud.Seed, "seed", 1, "decides everything random, and all ids")
	flags.BoolVar(&s.cloud.Unthrottled, "unthrottled", false, "let any number of requests through")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("%q: there are flags only", flags.Arg(0))
	case (s.keyID == "") != (s.secret == ""):
		return s, errors.New("--key-id and --secret go together")
	case s.speed <= 0:
		return s, errors.New("--speed has to be above 0")
	}
	return s, loopback(s.listen)
}

// loopback is an error for an address that others may reach.
func loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--listen %s: it serves loopback alone, such as 127.0.0.1:0", address)
	}
	return nil
}

// run serves until the context ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	d := newDaemon(s)
	server := &http.Server{Handler: d.mux(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	_, err = fmt.Fprintf(stdout, "http://%s\n", listener.Addr())
	if err == nil {
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
	}
	d.front.Close() // what hangs would keep the server
	err = errors.Join(err, server.Close())
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// daemon is what is served.
type daemon struct {
	clock *clock
	cloud *fakeec2.Cloud
	front *wire.Handler
}

func newDaemon(s settings) *daemon {
	d := &daemon{clock: newClock(s.speed)}
	s.cloud.Now = d.clock.now
	if s.quick {
		s.cloud.Timing = fakeec2.QuickTiming()
	}
	d.cloud = fakeec2.New(s.cloud)
	s.wire.Now = d.clock.now
	s.wire.Region = s.cloud.Region
	s.wire.Aliases = []string{"alias/aws/ebs"}
	if s.keyID != "" {
		s.wire.Keys = map[string]string{s.keyID: s.secret}
	}
	d.front = wire.New(d.cloud.Strict(), s.wire)
	return d
}

func (d *daemon) mux() http.Handler {
	mux := http.NewServeMux()
	d.control(mux)
	mux.Handle("/", d.front)
	return mux
}
