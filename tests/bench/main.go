// Command bench measures how fast a node is, and holds the figures against the
// goals: `go run ./tests/bench`, or `./build.sh bench`.
//
// It builds the real binary and runs it as its users do, over TLS, limited to
// two cores and 512 MB, on the machine that makes the load. What depends on
// the machine is compared with two things measured in the same run, turn by
// turn with the node:
//
//   - the limit: a bare chi handler over TLS with the node's own certificate,
//     which answers the same headers and bytes and does nothing else, in a
//     process of its own under the same limits (see limit.go);
//   - a hash per request: the same node, asked by a user that it has not seen
//     since it started, at every request another one. No credential is ever
//     cached, so each request pays what all would pay without the cache, and
//     the product needs no switch to turn the cache off.
//
// Three nodes, and one that finds another after a million rows, share the
// machine's cores with each other and with the load (see cluster.go, rejoin.go).
//
// Containers are held against the Docker engine's own client, which makes the
// same ones (see docker.go); where no engine can be started they are left out.
//
// The load comes from one small HTTP/1.1 client over crypto/tls that sends
// prepared bytes (see wire.go): net/http's client would take as much of the
// two cores as the server. Node and limit are measured with the same client.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	if serveIfAsked() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		stop()
		os.Exit(1)
	}
}

// run measures what the flags ask for. Figures that fall short of their goal
// are a result, no error.
func run(ctx context.Context) error {
	quick := flag.Bool("quick", false, "measure shorter and with less history: some four minutes instead of twenty")
	only := flag.String("only", "", "measure only the parts that match this regular expression: "+partNames())
	profiles := flag.String("profiles", "", "folder for CPU profiles of the node (these slow it down)")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q, see -help", flag.Arg(0))
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read flag -only: %w", err)
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	b, err := newBench(ctx, options{plan: p, only: match, profiles: *profiles, progress: os.Stderr})
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Println(b.conditions())
	err = b.measure(ctx)
	fmt.Print(b.table) // also what was measured before a failure
	return err
}
