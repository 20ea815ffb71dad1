// Command guest is the only program in the images of tests: what runs in a
// container, and tells what it finds there.
//
// Its arguments, or the variable GUEST where it has none, are commands apart by
// a semicolon, done in their order, such as `env; write /mnt/a hello; wait`. In
// their arguments $NAME is a variable of the environment, and $GATEWAY the first
// address of the container's own network. Without commands it waits.
//
//	print TEXT...   a line
//	env             all variables, one a line
//	status          what /proc/self/status says of rights
//	addresses       the interfaces, one a line: name, hardware address, addresses
//	mounts          /proc/self/mountinfo
//	write FILE TEXT...
//	read FILE
//	list FOLDER
//	fill FILE MB    a file of so many MB, written to the disk
//	reserve FILE MB a file of so many MB that it has room for, without writing them
//	allocate MB     memory, used and kept
//	fork N          so many processes beside it, which wait
//	get URL...      the body of the first that answers 200, tried until one does
//	once URL        its status, or the error, asked once
//	listen ADDRESS  an HTTP server that answers "hello"
//	sleep DURATION
//	exit CODE
//	crash           by a signal
//	stubborn        waits, and ignores SIGTERM
//	wait            waits; SIGTERM ends it at once with exit code 0
//
// A command that fails prints "FAILED" with the reason and the next is done.
package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, os.Interrupt)
	script := strings.Join(os.Args[1:], " ")
	if script == "" {
		script = os.Getenv("GUEST")
	}
	done := make(chan struct{})
	g := &guest{}
	go func() {
		defer close(done)
		for command := range strings.SplitSeq(script, ";") {
			if err := g.do(strings.Fields(command)); err != nil {
				fmt.Println("FAILED", command, err)
			}
		}
	}()
	select {
	case <-terminated:
		fmt.Println("terminated")
		return
	case <-done:
	}
	if g.stubborn {
		select {}
	}
	<-terminated
	fmt.Println("terminated")
}

// guest is what the commands leave for those after them.
type guest struct {
	memory   [][]byte
	stubborn bool
}

func (g *guest) do(words []string) error {
	if len(words) == 0 {
		return nil
	}
	name, args := words[0], words[1:]
	for i, arg := range args {
		args[i] = os.Expand(arg, variable)
	}
	switch name {
	case "print":
		fmt.Println(strings.Join(args, " "))
		return nil
	case "env":
		fmt.Println(strings.Join(slices.Sorted(slices.Values(os.Environ())), "\n"))
		return nil
	case "addresses":
		return addresses()
	case "status":
		return read("/proc/self/status")
	case "mounts":
		return read("/proc/self/mountinfo")
	case "crash":
		signal.Reset(syscall.SIGABRT)
		os.Exit(128 + int(syscall.SIGABRT)) // the first process of a container can not signal itself
	case "stubborn":
		g.stubborn = true
		signal.Ignore(syscall.SIGTERM, os.Interrupt)
		return nil
	case "wait":
		select {}
	}
	if len(args) == 0 {
		return errors.New("no argument")
	}
	return g.doWith(name, args)
}

// doWith does the commands that have an argument.
func (g *guest) doWith(name string, args []string) error {
	switch name {
	case "write":
		return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")), 0o644)
	case "read":
		return read(args[0])
	case "list":
		return list(args[0])
	case "get":
		return get(args)
	case "once":
		return once(args[0])
	case "listen":
		return http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	case "sleep":
		d, err := time.ParseDuration(args[0])
		time.Sleep(d)
		return err
	}
	n, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return err
	}
	switch name {
	case "exit":
		os.Exit(n)
	case "allocate":
		return g.allocate(n)
	case "fork":
		return fork(n)
	case "fill":
		return fill(args[0], n)
	case "reserve":
		return reserve(args[0], n)
	default:
		return errors.New("no such command")
	}
	return nil
}

func variable(name string) string {
	if name == "GATEWAY" {
		return gateway()
	}
	return os.Getenv(name)
}

// gateway is the first address of the network: where an engine's own bridge
// is, also in a network without a route outward.
func gateway() string {
	for _, address := range interfaceAddresses() {
		if ip := address.IP.Mask(address.Mask).To4(); ip != nil && !address.IP.IsLoopback() {
			ip[3]++
			return ip.String()
		}
	}
	return ""
}

func interfaceAddresses() (found []*net.IPNet) {
	all, _ := net.InterfaceAddrs() // none then
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok {
			found = append(found, network)
		}
	}
	return found
}

func addresses() error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		of, err := i.Addrs()
		if err != nil {
			return err
		}
		fmt.Println("interface", i.Name, i.HardwareAddr, of)
	}
	return nil
}

func read(file string) error {
	text, err := os.ReadFile(file)
	fmt.Println(string(text))
	return err
}

func list(folder string) error {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		fmt.Println("entry", e.Name())
	}
	return err
}

// client trusts everybody: whom it asks is the test's choice.
func client() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// get asks again and again: a container may run before the node knows its address.
func get(urls []string) error {
	c := client()
	for {
		for _, url := range urls {
			resp, err := c.Get(url)
			if err != nil {
				continue
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				fmt.Println(string(text))
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func once(url string) error {
	resp, err := client().Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	fmt.Println("status", resp.StatusCode)
	return nil
}

func (g *guest) allocate(mb int) error {
	for range mb {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		g.memory = append(g.memory, b)
	}
	fmt.Println("allocated", mb)
	return nil
}

func fork(n int) error {
	for i := range n {
		cmd := exec.Command("/proc/self/exe", "wait")
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("process %d: %w", i, err)
		}
	}
	fmt.Println("forked", n)
	return nil
}

func fill(file string, mb int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1<<20)
	for i := range mb {
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("MB %d: %w", i, err)
		}
	}
	fmt.Println("filled", mb)
	return f.Sync()
}
