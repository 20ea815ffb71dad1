package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// serveIfAsked serves what a node is compared with in a process that was started
// for it, until its standard input ends, and reports whether it was. The load
// runs in another process for a node as well: two that share one are faster.
func serveIfAsked() bool {
	for variable, serve := range map[string]func(text string) error{limitEnv: serveLimit, relayEnv: serveRelay} {
		text, asked := os.LookupEnv(variable)
		if !asked {
			continue
		}
		if err := serve(text); err != nil {
			fmt.Fprintf(os.Stderr, "Error: %s: %v\n", variable, err)
			os.Exit(1)
		}
		return true
	}
	return false
}

// child is this program in a process of its own.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string // where it serves, which it prints first
}

// startChild runs this program under the limits of the node, with the variable
// of what it serves.
func startChild(ctx context.Context, variable, text string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), variable+"="+text, "GOMAXPROCS="+strconv.Itoa(nodeCores), "GOMEMLIMIT="+nodeMemory+"iB")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", variable, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", variable, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", variable, err)
	}
	c := &child{cmd: cmd, stdin: stdin}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		c.close()
		return nil, fmt.Errorf("read address of %s: %w", variable, err)
	}
	c.address = strings.TrimSpace(address)
	return c, nil
}

// close ends the process; how it ends matters to nobody.
func (c *child) close() {
	_ = c.stdin.Close()
	timer := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	_ = c.cmd.Wait()
}
