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
// all that it links; the product has no hook.
const (
	honestNow = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	skewedNow = honestNow + "\tsec, nsec = skewed(sec, nsec)\n"
	skewFile  = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var skew = mapSkew()

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
	ns := int64(nsec) + atomic.LoadInt64(skew)
	sec, ns = sec+ns/1e9, ns%1e9
	if ns < 0 {
		sec, ns = sec-1, ns+1e9
	}
	return sec, int32(ns)
}
`
)

// SkewedBinary is the path of a binary whose clock the test sets. It is built
// unless one is given, which takes minutes the first time: everything is
// compiled anew.
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
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find Go: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	if strings.Count(string(text), honestNow) != 1 {
		return fmt.Errorf("time.Now in %s is not as it was: adapt tests/farm/skew.go to this version of Go", original)
	}
	return buildOverlaid(ctx, binary, scratch, map[string]string{
		original: strings.Replace(string(text), honestNow, skewedNow, 1),
		filepath.Join(filepath.Dir(original), "zskew.go"): skewFile,
	})
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
