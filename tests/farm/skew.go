package farm

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// skewVariable names the file that tells a skewed binary how wrong its clock
// is: 8 bytes, ns, little-endian. It is mapped: a change is seen at once.
const skewVariable = "FARM_SKEW"

// SkewedBinaryEnv names the environment variable with the path of a binary
// that BuildSkewed made, so that several packages of tests need only one.
const SkewedBinaryEnv = "FISH_SKEWED_BINARY"

// A static program can not be lied to about the time from outside: it reads
// the clock without a system call, and name spaces of time leave the wall
// clock alone. So time.Now itself is another one, for all of the program and
// all that it links; the product has no hook. What it calls is in package main
// and its lines stay where they are: to the compiler of any other package, the
// two packages time are the same.
const (
	honestNow = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	skewedNow = "func Now() Time {\n\tsec, nsec, mono := runtimeNow(); sec, nsec = skewed(sec, nsec)\n"
	skewCall  = "\n//go:linkname skewed main.skewed\nfunc skewed(sec int64, nsec int32) (int64, int32)\n"
	skewFile  = `package main

import (
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Packages that are initialized before this one ask for the time too.
var (
	mapped sync.Once
	skew   *int64
)

func mapSkew() *int64 {
	path, ok := syscall.Getenv("` + skewVariable + `")
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open file of ` + skewVariable + `: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map file of ` + skewVariable + `: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}

func skewed(sec int64, nsec int32) (int64, int32) {
	mapped.Do(func() { skew = mapSkew() })
	ns := int64(nsec) + atomic.LoadInt64(skew)
	sec, ns = sec+ns/1e9, ns%1e9
	if ns < 0 {
		sec, ns = sec-1, ns+1e9
	}
	return sec, int32(ns)
}
`
	// linkSkewed is run in the place of each of Go's tools, and lets the linker
	// take another package time than the one that all was compiled with.
	linkSkewed = `before=
for arg; do
	if [ "$before" = -importcfg ] && [ "$(basename "$1" .exe)" = link ]; then
		sed 's|^packagefile time=.*|packagefile time=%s|' "$arg" >"$arg.skewed" && mv "$arg.skewed" "$arg" || exit 1
	fi
	before=$arg
done
exec "$@"
`
)

// SkewedBinary is the path of a binary whose clock the test sets. It is built
// unless one is given.
func SkewedBinary(t testing.TB) string {
	t.Helper()
	if given := os.Getenv(SkewedBinaryEnv); given != "" {
		return given
	}
	binary := filepath.Join(t.TempDir(), "aquarium-fish-skewed")
	if err := BuildSkewed(t.Context(), binary, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return binary
}

// BuildSkewed compiles the node with a time.Now that a Skew sets; scratch is a
// folder for what the compiler reads in place of Go's own files.
func BuildSkewed(ctx context.Context, binary, scratch string) error {
	root, err := fish.ModuleRoot()
	if err != nil {
		return err
	}
	original, skewed, err := skewedTime(ctx)
	if err != nil {
		return err
	}
	hook := filepath.Join(root, "cmd", "aquarium-fish", "zskew.go")
	if linkSkewedTime(ctx, binary, scratch, map[string]string{original: skewed}, map[string]string{hook: skewFile}) == nil {
		return nil
	}
	// The linker found the packages not to be the same, as with a later Go they may not be: all is compiled anew.
	return buildOverlaid(ctx, binary, scratch, map[string]string{original: skewed, hook: skewFile})
}

// skewedTime is the file of Go with time.Now, and what takes its place.
func skewedTime(ctx context.Context) (original, skewed string, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", "", fmt.Errorf("find Go: %w", err)
	}
	original = filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", "", err
	}
	if strings.Count(string(text), honestNow) != 1 {
		return "", "", fmt.Errorf("time.Now in %s is not as it was: adapt tests/farm/skew.go to this version of Go", original)
	}
	return original, strings.Replace(string(text), honestNow, skewedNow, 1) + skewCall, nil
}

// linkSkewedTime compiles a package time and a package main of their own, and
// links them with everything else as it is.
func linkSkewedTime(ctx context.Context, binary, scratch string, clock, hook map[string]string) error {
	times, hooks := filepath.Join(scratch, "time"), filepath.Join(scratch, "main")
	for _, dir := range []string{times, hooks} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	list, err := overlay(times, clock)
	if err != nil {
		return err
	}
	archive, tool := filepath.Join(scratch, "time.a"), filepath.Join(scratch, "tool")
	compile := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-o", archive, "time")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := output(compile); err != nil {
		return err
	}
	if err := os.WriteFile(tool, fmt.Appendf(nil, linkSkewed, archive), 0o600); err != nil {
		return err
	}
	if list, err = overlay(hooks, hook); err != nil {
		return err
	}
	return fish.BuildWith(ctx, binary, "-overlay", list, "-toolexec", "sh '"+tool+"'")
}

// Skew is how wrong the clock of one node is; it can jump while the node runs.
type Skew struct {
	t    testing.TB
	path string
}

// NewSkew makes the clock of one node, right at first.
func NewSkew(t testing.TB) *Skew {
	t.Helper()
	s := &Skew{t: t, path: filepath.Join(t.TempDir(), "skew")}
	if err := os.WriteFile(s.path, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Env goes to the environment of the skewed binary.
func (s *Skew) Env() string { return skewVariable + "=" + s.path }

// Set makes the clock wrong by so much from now on.
func (s *Skew) Set(offset time.Duration) {
	s.t.Helper()
	f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(offset)), 0) // in place: it is mapped
	if closeErr := f.Close(); err != nil || closeErr != nil {
		s.t.Fatal("set skew:", err, closeErr)
	}
}
