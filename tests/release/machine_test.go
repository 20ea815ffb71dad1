//go:build linux

package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// debianPackages are what the machine has besides the essential ones.
const debianPackages = "systemd,systemd-sysv,dbus,passwd,procps"

// takeKernel puts the kernel beside the root that mmdebstrap makes. A small one
// is enough: everything that the machine needs is built into it.
const takeKernel = `set -e; cd "$1"; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
apt-get -qq download "$name"
dpkg-deb --fsys-tarfile "$name"_*.deb | tar -xO --wildcards './boot/vmlinuz-*' >vmlinuz
rm "$name"_*.deb`

// Limits of what is done outside of the node, on a busy machine.
const (
	debianTimeout = 15 * time.Minute
	bootTimeout   = 18 * time.Minute
)

// debian is a small Debian for a machine: its kernel, and its files as an archive
// that a kernel takes as its root. It is made once and kept in the user's cache.
func debian(t *testing.T, suite string) (kernel, root string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	recipe := sha256.Sum256([]byte(debianPackages + takeKernel))
	dir := filepath.Join(cache, "aquarium-fish-tests", fmt.Sprintf("%s-%x", suite, recipe[:6]))
	kernel, root = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "root.cpio")
	if _, err := os.Stat(dir); err == nil {
		return kernel, root
	}
	making := dir + fmt.Sprintf(".%d", os.Getpid())
	t.Cleanup(func() { _ = os.RemoveAll(making) })
	makeDebian(t, suite, making)
	if err := os.Rename(making, dir); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	return kernel, root
}

// makeDebian downloads and unpacks it into a folder.
func makeDebian(t *testing.T, suite, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), debianTimeout)
	defer cancel()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(dir, "tree")
	args := []string{
		"--quiet", "--mode=root", "--format=directory", "--variant=essential", "--include=" + debianPackages,
		"--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Retries 3", "--dpkgopt=force-unsafe-io", "--customize-hook=" + takeKernel,
	}
	for _, unused := range []string{"doc", "locale", "man", "info"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+unused+"/*")
	}
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "10", "mmdebstrap"}, append(args, suite, tree)...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		needs.Lacking(t, "no Debian can be made:", err, string(out))
	}
	if err := os.Rename(filepath.Join(tree, "vmlinuz"), filepath.Join(dir, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	toArchive(t, tree, filepath.Join(dir, "root.cpio"))
	if err := os.RemoveAll(tree); err != nil {
		t.Fatal(err)
	}
}

// toArchive packs a folder for the kernel.
func toArchive(t *testing.T, dir, file string) {
	t.Helper()
	command(t, dir, "sh", "-c", `find . -xdev -print0 | cpio --quiet --null --create --format=newc --owner=0:0 >"$0"`, file)
}

// machine is an emulated one with systemd as its first process, on which this
// test binary runs one of its tests.
type machine struct {
	t            *testing.T
	kernel, root string
	dir          string // for what it is made of
}

// needsMachine ends a test where no machine can be made.
func needsMachine(t *testing.T) {
	t.Helper()
	needs.All(t, "starts an emulated machine: minutes")
	needs.Root(t, "to make a Debian")
	if runtime.GOARCH != "amd64" {
		needs.Lacking(t, "needs amd64, this is", runtime.GOARCH)
	}
	for _, tool := range []string{"mmdebstrap", "qemu-system-x86_64", "cpio", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs Debian's packages mmdebstrap, qemu-system-x86, cpio:", err)
		}
	}
}

// newMachine adds files to a Debian: path inside -> path here.
func newMachine(t *testing.T, suite string, files map[string]string) machine {
	t.Helper()
	m := machine{t: t, dir: t.TempDir()}
	var debianRoot string
	m.kernel, debianRoot = debian(t, suite)
	more := filepath.Join(m.dir, "more")
	for inside, here := range files {
		to := filepath.Join(more, inside)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		command(t, ".", "cp", here, to)
	}
	m.root = filepath.Join(m.dir, "root")
	toArchive(t, more, filepath.Join(m.dir, "more.cpio"))
	m.join(debianRoot, filepath.Join(m.dir, "more.cpio"))
	return m
}

// join writes archives one after the other: the kernel unpacks them in order.
func (m machine) join(archives ...string) {
	m.t.Helper()
	out, err := os.Create(m.root)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, path := range archives {
		in, err := os.Open(path)
		if err != nil {
			m.t.Fatal(err)
		}
		_, err = io.Copy(out, in)
		if err := errors.Join(err, in.Close()); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// run starts the machine, waits until it is off, and returns what the unit of
// its test has printed, and what the kernel has.
func (m machine) run() (text, console string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootTimeout)
	defer cancel()
	printed := filepath.Join(m.dir, "printed")
	cmd := exec.CommandContext(ctx, "nice", "-n", "10", // it has time: tests beside it may not
		"qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2", "-m", "2048",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-serial", "file:"+printed,
		"-kernel", m.kernel, "-initrd", m.root,
		"-append", "console=ttyS0 rdinit=/sbin/init panic=-1 quiet systemd.show_status=no systemd.unit=inside.service "+
			"no_timer_check") // that of a machine that is starved of time looks broken, which would end it
	var kernel bytes.Buffer
	cmd.Stdout, cmd.Stderr = &kernel, &kernel
	if err := cmd.Run(); err != nil {
		m.t.Errorf("machine: %v", err)
	}
	lines := strings.NewReplacer("\r\n", "\n")
	return lines.Replace(read(m.t, printed)), lines.Replace(kernel.String())
}

// insideEnv is set where this binary runs in a machine.
const insideEnv = "FISH_INSIDE"

// verdictMark is before systemd's word for how the test ended on the console. That
// is written without interrupts: what the test prints comes by the emulated port,
// which once ended in the middle.
const verdictMark = "the test ended with: "

// verdict is how the test ended by the console: success, exit-code, signal; "" if
// the machine went off before.
func verdict(console string) string {
	_, after, _ := strings.Cut(console, verdictMark)
	word, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(word)
}

// insideUnit runs one test of this binary and turns the machine off.
func insideUnit(t *testing.T, test string) string {
	t.Helper()
	unit := filepath.Join(t.TempDir(), "inside.service")
	text := `[Unit]
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
Environment=` + insideEnv + `=1 HOME=/root ` + fish.BinaryEnv + `=/usr/bin/aquarium-fish
WorkingDirectory=/inside
ExecStart=/inside/test -test.run=^` + test + `$ -test.v -test.timeout=15m
ExecStopPost=/bin/sh -c 'echo "<1>` + verdictMark + `$SERVICE_RESULT" >/dev/kmsg'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
`
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return unit
}

// runInside runs the test that calls it in a machine with the files, and gives
// its verdict as its own. A machine that goes off before there is one, as the
// emulation failed, is started once more.
func runInside(t *testing.T, suite string, files map[string]string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files["/inside/test"] = self
	files["/etc/systemd/system/inside.service"] = insideUnit(t, t.Name())
	begun := time.Now()
	m := newMachine(t, suite, files)
	made := time.Since(begun)
	printed, console := m.run()
	if verdict(console) == "" {
		t.Logf("the machine went off before the test ended, and is started once more; it printed:\n%s\nits console said:\n%s", printed, console)
		printed, console = m.run()
	}
	t.Logf("made in %v, ran for %v\n%s", made.Round(time.Second), (time.Since(begun) - made).Round(time.Second), printed)
	if got := verdict(console); got != "success" || strings.Contains(printed, "--- SKIP") {
		t.Errorf("in the machine the test ended with %q; the console said:\n%s", got, console)
	}
}
