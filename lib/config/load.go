package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// maxFileSize bounds the config file: what is larger is not a config file, perhaps a device that never ends.
const maxFileSize = 1 << 20

// Flags are what the command line may override (contract 1). An empty one overrides nothing.
type Flags struct {
	File       string // -c, --cfg: path of the YAML file; empty = defaults only
	API        string // -a, --api
	ProxySOCKS string // --proxy_socks
	ProxySSH   string // --proxy_ssh
	Node       string // -n, --node
	Dir        string // -D, --dir
	CPU        string // --cpu: 0 to 65535
	Mem        string // --mem: a size such as 512MB
}

// Host is what the defaults take from the machine.
type Host struct {
	// Name returns the host name.
	Name func() (string, error)
	// Identifiers returns the node identifiers that describe the machine, and what could not be found out.
	Identifiers func(ctx context.Context) (identifiers []string, missing error)
}

// Load reads the file, applies the flags, fills in what depends on the host, and checks everything. The warnings are
// for the operator's log. The error lists all that is wrong, one complaint per line, each with file, line, key and what
// is allowed.
func Load(ctx context.Context, flags Flags, host Host) (*Config, []string, error) {
	cfg := Default()
	doc, err := readFile(flags.File)
	if err != nil {
		return nil, nil, err
	}
	l := &loader{cfg: &cfg, doc: doc, file: flags.File, fromFlag: map[string]string{}}
	err = doc.Decode(&cfg)
	for _, w := range doc.Warnings() { // also beside errors: a key misspelt may be the cause of one
		l.warn(w.Error())
	}
	if err != nil {
		return nil, l.warnings, withFile(flags.File, err)
	}
	for i := range cfg.Drivers {
		cfg.Drivers[i].Line = doc.Line(fmt.Sprintf("drivers[%d]", i))
	}
	l.applyFlags(flags)
	l.fillFromHost(ctx, host)
	if len(l.errs) == 0 { // a value that could not be read is no value to check
		l.check()
		l.joinPaths()
		l.warnOfSecrets()
	}
	if len(l.errs) > 0 {
		return nil, l.warnings, errors.Join(l.errs...)
	}
	return &cfg, l.warnings, nil
}

// loader carries the pieces of one Load.
type loader struct {
	cfg      *Config
	doc      *yamlconf.Document
	file     string
	fromFlag map[string]string // key -> the flag that set it
	errs     []error
	warnings []string
}

// readFile parses the config file; without one the document is empty.
func readFile(path string) (*yamlconf.Document, error) {
	if path == "" {
		return yamlconf.Parse(nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open config file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read config file: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("read config file %s: larger than %d bytes, is it the right file?", path, maxFileSize)
	}
	doc, err := yamlconf.Parse(data)
	if err != nil {
		return nil, withFile(path, err)
	}
	return doc, nil
}

// withFile puts the file's name before each of the joined errors.
func withFile(path string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error }) // only errors.Join itself is taken apart
	if !ok {
		return fmt.Errorf("config %s: %w", path, err)
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, fmt.Errorf("config %s: %w", path, e))
	}
	return errors.Join(all...)
}

// applyFlags lets every flag that is not empty win over the file.
func (l *loader) applyFlags(flags Flags) {
	for _, o := range []struct {
		flag, key, value string
		set              func(string) error
	}{
		{"--api", "api_address", flags.API, setText(&l.cfg.APIAddress)},
		{"--proxy_socks", "proxy_socks_address", flags.ProxySOCKS, setText(&l.cfg.ProxySOCKSAddress)},
		{"--proxy_ssh", "proxy_ssh_address", flags.ProxySSH, setText(&l.cfg.ProxySSHAddress)},
		{"--node", "node_address", flags.Node, setText(&l.cfg.NodeAddress)},
		{"--dir", "directory", flags.Dir, setText(&l.cfg.Directory)},
		{"--cpu", "cpu_limit", flags.CPU, setUint16(&l.cfg.CPULimit)},
		{"--mem", "mem_target", flags.Mem, func(s string) error { return l.cfg.MemTarget.UnmarshalText([]byte(s)) }},
	} {
		if o.value == "" {
			continue
		}
		l.fromFlag[o.key] = o.flag
		if err := o.set(o.value); err != nil {
			l.fail(o.key, "got %q: %v", o.value, err)
		}
	}
}

func setText(to *string) func(string) error {
	return func(s string) error {
		*to = s
		return nil
	}
}

func setUint16(to *uint16) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return errors.New("want an integer from 0 to 65535")
		}
		*to = uint16(n)
		return nil
	}
}

// fillFromHost sets what the machine decides where nobody else did.
func (l *loader) fillFromHost(ctx context.Context, host Host) {
	if l.cfg.NodeName == "" {
		name, err := host.Name()
		if err != nil || name == "" {
			l.fail("node_name", "not given, and the system tells no host name (%v): set it", err)
			return
		}
		l.cfg.NodeName = name
	}
	if l.cfg.NodeIdentifiers == nil {
		identifiers, err := host.Identifiers(ctx)
		if err != nil {
			l.warn("node_identifiers: some defaults are missing, labels that filter on them pass this node by: " +
				strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		l.cfg.NodeIdentifiers = append([]string{"FishName:" + l.cfg.NodeName}, identifiers...)
	}
}

// joinPaths names the key files and the audit after the node and puts relative ones below the directory.
func (l *loader) joinPaths() {
	c := l.cfg
	for _, p := range []struct {
		path     *string
		fallback string
	}{
		{&c.TLSKey, c.NodeName + ".key"}, {&c.TLSCrt, c.NodeName + ".crt"},
		{&c.TLSCACrt, "ca.crt"}, {&c.SSHKey, c.NodeName + "_id_ecdsa"},
		{&c.AuditFile, c.NodeName + "_audit.log"},
	} {
		if *p.path == "" {
			*p.path = p.fallback
		}
		*p.path = below(c.Directory, *p.path)
	}
	if c.LogFile != "" {
		c.LogFile = below(c.Directory, c.LogFile)
	}
}

func below(directory, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(directory, path)
}

// fail notes an error about a key, and where its value came from.
func (l *loader) fail(key, format string, args ...any) {
	if flag := l.fromFlag[key]; flag != "" {
		l.errs = append(l.errs, fmt.Errorf("flag %s: %s", flag, fmt.Sprintf(format, args...)))
		return
	}
	problem := l.doc.Problem(key, format, args...)
	if problem.Line == 0 {
		l.errs = append(l.errs, problem)
		return
	}
	l.errs = append(l.errs, withFile(l.file, problem))
}

func (l *loader) warn(text string) {
	if l.file != "" {
		text = "config " + l.file + ": " + text
	}
	l.warnings = append(l.warnings, text)
}
