// Release packs binaries into what people install: a tar.gz for each platform, a deb and an rpm for each Linux, and
// their checksums. The same binaries, version and time give the same bytes.
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// job is one run of the tool.
type job struct {
	root    string // of the repository: what is packed beside the binary
	out     string // folder for the packages
	version string
	when    time.Time // of every file in a package
}

// binary is the program of one platform.
type binary struct{ os, arch, path string }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	set := flag.NewFlagSet("release", flag.ContinueOnError)
	j := job{}
	set.StringVar(&j.root, "root", ".", "root of the repository")
	set.StringVar(&j.out, "out", "build/release", "folder for the packages")
	set.StringVar(&j.version, "version", "", "version of the binaries, as git describe says it")
	epoch := set.Int64("epoch", 0, "time of every packed file, in seconds since 1970")
	set.Usage = func() {
		fmt.Fprintln(set.Output(), "usage: release -version V -epoch SECONDS [-root DIR] [-out DIR] OS/ARCH=BINARY...")
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	binaries, err := parseBinaries(set.Args())
	if err != nil {
		return err
	}
	if j.version == "" || *epoch <= 0 {
		return errors.New("give -version and -epoch: the time of a package is that of its commit, not of today")
	}
	j.when = time.Unix(*epoch, 0).UTC()
	return j.pack(binaries)
}

func parseBinaries(args []string) ([]binary, error) {
	var all []binary
	for _, a := range args {
		platform, path, ok := strings.Cut(a, "=")
		system, arch, ok2 := strings.Cut(platform, "/")
		if !ok || !ok2 || system == "" || arch == "" || path == "" {
			return nil, fmt.Errorf("got %q, want OS/ARCH=BINARY", a)
		}
		all = append(all, binary{system, arch, path})
	}
	if len(all) == 0 {
		return nil, errors.New("no binary given, want OS/ARCH=BINARY")
	}
	return all, nil
}

// pack makes every package of every binary, and their checksums.
func (j job) pack(binaries []binary) error {
	if err := os.MkdirAll(j.out, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	var names []string
	for _, b := range binaries {
		base := fmt.Sprintf("aquarium-fish_%s_%s_%s", j.version, b.os, b.arch)
		writers := map[string]func(io.Writer, binary) error{base + ".tar.gz": j.archive}
		if b.os == "linux" {
			writers[base+".deb"] = j.packager("deb")
			writers[base+".rpm"] = j.packager("rpm")
		}
		for name, write := range writers {
			if err := j.write(name, func(w io.Writer) error { return write(w, b) }); err != nil {
				return fmt.Errorf("make %s: %w", name, err)
			}
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return j.write("SHA256SUMS", func(w io.Writer) error { return j.sums(w, names) })
}

// write makes a file whole, or not at all.
func (j job) write(name string, fill func(io.Writer) error) error {
	path := filepath.Join(j.out, name)
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// sums writes what `sha256sum -c` reads.
func (j job) sums(w io.Writer, names []string) error {
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(j.out, name))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%x  %s\n", sha256.Sum256(data), name); err != nil {
			return err
		}
	}
	return nil
}

// packageVersion is a version as deb and rpm take it: it begins with a digit, and `-` has a meaning there. What comes
// after a release sorts after it, what comes before (-rc1) before it.
func packageVersion(v string) string {
	v = strings.TrimPrefix(v, "v")
	if !regexp.MustCompile(`^[0-9]+\.`).MatchString(v) { // a commit, without a release before it
		v = "0.0.0+" + v
	}
	v = regexp.MustCompile(`-(alpha|beta|rc)`).ReplaceAllString(v, "~$1")
	return strings.ReplaceAll(v, "-", "+")
}
