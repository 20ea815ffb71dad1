package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/awscli"
	"github.com/aquarium-fish/aquarium-fish/lib/cli"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// release is set by the linker; empty in a plain `go build`.
var release string //nolint:gochecknoglobals // only the linker writes it

// version names the build: the release, else the commit that Go noted.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// flags are those of contract 1.
type flags struct {
	config    config.Flags
	verbosity string
	timestamp bareFalse
}

// newRootCommand is the command line: without a subcommand it runs a node.
func newRootCommand(stdout, stderr io.Writer) *cobra.Command {
	f := &flags{timestamp: bareFalse{value: true}}
	root := &cobra.Command{
		Use:     "aquarium-fish",
		Short:   "Aquarium Fish: one node of a peer-to-peer resource manager for CI",
		Version: version(),
		Args:    cobra.NoArgs,
		// execute prints both, the usage only where it helps.
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			if err := serve(f, stdout, stderr); err != nil {
				return startError{err}
			}
			return nil
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	f.register(root.Flags())
	root.AddCommand(&cobra.Command{
		Use: "version", Short: "Print the version and what the binary was built with", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "aquarium-fish %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	})
	client := clientOptions(stdout, stderr)
	cli.Add(root, client, func(sh *cli.Shell) *cobra.Command { return awscli.Command(sh) })
	root.AddCommand(configCommand())
	addOffline(root, client)
	return root
}

// register declares the flags.
func (f *flags) register(set *pflag.FlagSet) {
	set.SortFlags = false
	set.StringVarP(&f.config.API, "api", "a", "", "address of the REST API; overrides api_address")
	set.StringVar(&f.config.ProxySOCKS, "proxy_socks", "", "address of the SOCKS5 proxy; overrides proxy_socks_address")
	set.StringVar(&f.config.ProxySSH, "proxy_ssh", "", "address of the SSH proxy; overrides proxy_ssh_address")
	set.StringVarP(&f.config.Node, "node", "n", "", "address that others reach this node by; overrides node_address")
	set.StringVarP(&f.config.File, "cfg", "c", "", "path of the YAML config file; without one the defaults apply")
	set.StringVarP(&f.config.Dir, "dir", "D", "", "folder of keys and database; overrides directory")
	set.StringVar(&f.config.CPU, "cpu", "", "most threads that run Go code at once; overrides cpu_limit")
	set.StringVar(&f.config.Mem, "mem", "", "soft memory limit such as 512MB; overrides mem_target")
	set.StringVarP(&f.verbosity, "verbosity", "v", "info", "debug, info, warn or error")
	set.Var(&f.timestamp, "timestamp", "print date and time before each log line; without a value it means false")
	set.Lookup("timestamp").NoOptDefVal = "false" // what scripts of the original rely on (contract 1)
}

// bareFalse is a boolean flag.
type bareFalse struct{ value bool }

// Set reads a value as the flags of Go do.
func (b *bareFalse) Set(s string) error {
	v, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("want true or false")
	}
	b.value = v
	return nil
}

// String is the current value.
func (b *bareFalse) String() string { return strconv.FormatBool(b.value) }

// Type names the value in the usage.
func (b *bareFalse) Type() string { return "bool" }
