package offline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/hostfacts"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

const (
	// bundleTimeout bounds a whole bundle: a node that hangs is why it is made.
	bundleTimeout = 2 * time.Minute
	// maxLogTail is how much of the end of a log is taken, in bytes.
	maxLogTail = 2 << 20
)

func debugCommand(o Options) *cobra.Command {
	debug := &cobra.Command{Use: "debug", Short: "Find out what is wrong with a node", Args: cobra.NoArgs}
	debug.AddCommand(bundleCommand(o))
	return debug
}

// request is what a bundle is made of and where it goes.
type request struct {
	target target
	file   string // to write
	log    string // to take the end of
	live   reach
}

func bundleCommand(o Options) *cobra.Command {
	r := &request{}
	cmd := &cobra.Command{
		Use: "bundle", Args: cobra.NoArgs,
		Short: "Gather facts for a report into one file, without secrets",
		Long: "Gathers version, config, files, database, host, the end of a log, and of a node that runs its state and profiles.\n" +
			"Passwords, tokens and keys are removed; look through it all the same before you give it away. To ask the node\n" +
			"set AQUARIUM_FISH_USER and AQUARIUM_FISH_PASSWORD to those of an admin.",
		RunE: run(o, func(ctx context.Context, _ []string) error { return o.bundle(ctx, r) }),
	}
	r.target.register(cmd)
	cmd.Flags().StringVarP(&r.file, "output", "o", "", "the file to write (default aquarium-fish-debug-TIME.tar.gz)")
	cmd.Flags().StringVar(&r.log, "log", "", "a file with the node's log, of which the end is taken (default the config's log_file)")
	cmd.Flags().StringVar(&r.live.address, "address", "", "where the node listens, if not at api_address")
	return cmd
}

// bundle gathers what it can get: a part that can not be got says why.
func (o Options) bundle(ctx context.Context, r *request) error {
	ctx, cancel := context.WithTimeout(ctx, bundleTimeout)
	defer cancel()
	now := o.Now().UTC()
	r.file = cmp.Or(r.file, "aquarium-fish-debug-"+now.Format("20060102T150405Z")+".tar.gz")
	b := &bundle{now: now}
	b.text("version.txt", fmt.Sprintf("aquarium-fish %s\n%s %s/%s\n%s\n", o.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, now.Format(time.RFC3339)))
	b.config(r.target.flags.File)
	log := r.log
	p, err := r.target.find(ctx, o.Host)
	if err != nil {
		b.missing("node", err)
	} else {
		b.node(ctx, p, r)
		log = cmp.Or(log, p.cfg.LogFile)
	}
	facts, err := hostfacts.Collect(ctx, hostfacts.DefaultTimeout, slog.New(slog.DiscardHandler)).JSON()
	b.add("host.json", facts, err)
	b.tail(log)
	if err := b.write(r.file); err != nil {
		return fmt.Errorf("write %s: %w", r.file, err)
	}
	_, err = fmt.Fprintf(o.Stdout, "%s: %d parts, %d not to be had (missing.txt)\n", r.file, len(b.parts)-1, len(b.lacking))
	return err
}

// node is what the node's folder and the node itself tell.
func (b *bundle) node(ctx context.Context, p place, r *request) {
	b.files(p.cfg.Directory)
	stats, err := store.Stat(ctx, p.database())
	if err == nil {
		b.json("database.json", stats)
	} else {
		b.missing("database.json", err)
	}
	b.live(ctx, p.cfg, r.live)
}

// config is the config file without secrets, which are looked for elsewhere
// too.
func (b *bundle) config(path string) {
	if path == "" {
		b.missing("config.yml", errors.New("no config named by --cfg"))
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.missing("config.yml", err)
		return
	}
	clean, secrets, err := yamlconf.Redact(data)
	b.secrets = append(b.secrets, secrets...)
	if err != nil {
		// The complaint names lines and keys; the text itself stays here.
		b.missing("config.yml", err)
		return
	}
	b.add("config.yml", clean, nil)
}

// files lists names, sizes and modes below the node's folder.
func (b *bundle) files(directory string) {
	var list strings.Builder
	err := filepath.WalkDir(directory, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			_, _ = fmt.Fprintf(&list, "%v\n", err) // of a Builder
			return nil                             // it is told, the rest goes on
		}
		if info, err := e.Info(); err == nil {
			_, _ = fmt.Fprintf(&list, "%v %12d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), path)
		}
		return nil
	})
	b.add("files.txt", []byte(list.String()), err)
}

// tail is the end of a log.
func (b *bundle) tail(path string) {
	if path == "" {
		b.missing("log.txt", errors.New("no log_file in the config, and no log named by --log"))
		return
	}
	data, err := readEnd(path)
	b.add("log.txt", data, err)
}

func readEnd(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	data := make([]byte, min(info.Size(), maxLogTail))
	n, err := f.ReadAt(data, info.Size()-int64(len(data)))
	return data[:n], err
}

// json adds a value.
func (b *bundle) json(name string, v any) {
	data, err := json.MarshalIndent(v, "", "  ")
	b.add(name, data, err)
}

// addressOf is where a node of this config is asked.
func addressOf(cfg *config.Config, given string) string { return cmp.Or(given, cfg.APIAddress) }
