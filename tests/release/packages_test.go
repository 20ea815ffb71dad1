package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	candidate = "v1.2.3-rc1"
	base      = "aquarium-fish_" + candidate + "_linux_"
)

// command runs one and wants it to succeed.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// pack packs a binary for Linux, and for other platforms if any are named, into
// a folder.
func pack(t *testing.T, tool, binary, version string, others ...string) string {
	t.Helper()
	out, root := t.TempDir(), command(t, ".", "go", "env", "GOMOD")
	args := []string{"-root", filepath.Dir(strings.TrimSpace(root)), "-out", out, "-version", version, "-epoch", "1700000000"}
	for _, platform := range append([]string{"linux/" + runtime.GOARCH}, others...) {
		args = append(args, platform+"="+binary)
	}
	command(t, ".", tool, args...)
	return out
}

// smallBinary is for packages whose binary is not run: to pack a real one takes
// seconds for each.
func smallBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, bytes.Repeat([]byte("binary\n"), 10_000), 0o755); err != nil {
		t.Fatal(err)
	}
	return binary
}

func releaseTool(t *testing.T) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "release")
	command(t, "../../tools/release", "go", "build", "-o", tool, ".")
	return tool
}

// TestPackages: the same bytes twice, sums that fit, and all that belongs there.
func TestPackages(t *testing.T) {
	tool, binary := releaseTool(t), smallBinary(t)
	first, second := pack(t, tool, binary, candidate, "darwin/arm64"), pack(t, tool, binary, candidate, "darwin/arm64")
	linux := base + runtime.GOARCH
	var names []string
	for line := range strings.Lines(read(t, first+"/SHA256SUMS")) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		names = append(names, name)
		text := read(t, filepath.Join(first, name))
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); got != sum {
			t.Errorf("sum of %s is %s, said to be %s", name, got, sum)
		}
		if text != read(t, filepath.Join(second, name)) {
			t.Errorf("%s is not the same twice", name)
		}
	}
	if diff := cmp.Diff([]string{"aquarium-fish_v1.2.3-rc1_darwin_arm64.tar.gz", linux + ".deb", linux + ".rpm", linux + ".tar.gz"}, names); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if magic := []byte{0xed, 0xab, 0xee, 0xdb}; !bytes.HasPrefix([]byte(read(t, filepath.Join(first, linux+".rpm"))), magic) {
		t.Error("the rpm is none")
	}
	archived := listArchive(t, filepath.Join(first, linux+".tar.gz"))
	for _, want := range []string{"aquarium-fish -rwxr-xr-x", "LICENSE -rw-r--r--", "README.md -rw-r--r--", "aquarium-fish.service -rw-r--r--"} {
		if !slices.Contains(archived, linux+"/"+want) {
			t.Errorf("the archive has %q, want %s in it", archived, want)
		}
	}
}

func listArchive(t *testing.T, path string) (names []string) {
	t.Helper()
	zip, err := gzip.NewReader(strings.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zip)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name+" "+h.FileInfo().Mode().String())
	}
}

// installation is a copy of this machine's files, for changing.
type installation struct {
	t    *testing.T
	root string
}

// overlay lays an empty layer over this machine's root.
func overlay(t *testing.T) installation {
	t.Helper()
	needs.Root(t, "to mount a copy of this machine")
	for _, tool := range []string{"dpkg", "chroot", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "there is no", tool)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	options := fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", dir, dir)
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "overlay", "overlay", "-o", options, root).CombinedOutput(); err != nil {
		needs.Lacking(t, "no layer can be mounted:", string(out))
	}
	t.Cleanup(func() { unmount(t, root) })
	// Others may make users meanwhile: their locks and half-written files are not part of the copy.
	command(t, dir, "sh", "-c", "tar -C / --exclude='etc/*.lock' --ignore-failed-read -cf - etc 2>/dev/null | tar -xf -")
	command(t, ".", "mount", "--bind", filepath.Join(dir, "etc"), root+"/etc")
	t.Cleanup(func() { unmount(t, root+"/etc") })
	for _, name := range []string{"/dev", "/proc"} {
		command(t, ".", "mount", "--bind", name, root+name)
		t.Cleanup(func() { unmount(t, root+name) })
	}
	return installation{t, root}
}

func unmount(t *testing.T, path string) {
	if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
		t.Errorf("umount %s: %v %s", path, err, out)
	}
}

// run runs a command in the copy.
func (i installation) run(args ...string) string {
	i.t.Helper()
	return command(i.t, ".", "chroot", append([]string{i.root}, args...)...)
}

// TestInstallTheDeb installs, upgrades and removes the package in a copy of
// this machine.
func TestInstallTheDeb(t *testing.T) {
	t.Parallel()
	i := overlay(t)
	deb := filepath.Join(pack(t, releaseTool(t), os.Getenv(fish.BinaryEnv), candidate), base+runtime.GOARCH+".deb")
	command(t, ".", "cp", deb, i.root+"/tmp/fish.deb")
	i.run("dpkg", "-i", "/tmp/fish.deb")
	if got := i.run("dpkg-query", "-W", "-f", "${Version}", "aquarium-fish"); got != "1.2.3~rc1" {
		t.Errorf("version %q, want one that sorts before 1.2.3", got)
	}
	i.wantInstalled("after the installation")
	if got := i.run("/usr/bin/aquarium-fish", "version"); !strings.HasPrefix(got, "aquarium-fish ") {
		t.Errorf("version says %q", got)
	}
	i.verifyUnit()
	i.run("sh", "-c", "echo '# mine' >> /etc/aquarium-fish/config.yml && touch /var/lib/aquarium-fish/data/kept")
	i.run("dpkg", "-i", "/tmp/fish.deb") // again: an upgrade
	i.wantInstalled("after an upgrade")
	i.run("grep", "-q", "^# mine", "/etc/aquarium-fish/config.yml")
	i.keepsOwners(func() { i.run("dpkg", "-i", "/tmp/fish.deb") })
	i.run("dpkg", "-r", "aquarium-fish")
	i.run("test", "-e", "/var/lib/aquarium-fish/data/kept")
	i.run("test", "!", "-e", "/usr/bin/aquarium-fish")
}

// wantInstalled checks modes and owners.
func (i installation) wantInstalled(when string) {
	i.t.Helper()
	for path, want := range map[string]string{
		"/usr/bin/aquarium-fish": "755 root root", "/etc/aquarium-fish/config.yml": "640 root aquarium-fish",
		"/etc/aquarium-fish":     "750 root aquarium-fish",
		"/var/lib/aquarium-fish": "711 aquarium-fish aquarium-fish", "/var/lib/aquarium-fish/data": "700 aquarium-fish aquarium-fish",
		"/usr/lib/systemd/system/aquarium-fish.service": "644 root root",
	} {
		if got := strings.TrimSpace(i.run("stat", "-c", "%a %U %G", path)); got != want {
			i.t.Errorf("%s: %s is %s, want %s", when, path, got, want)
		}
	}
}

// keepsOwners upgrades where the node runs as root and its config is elsewhere.
// systemd would give a tree whose top has another owner to root whole, with the
// homes of running environments in it.
func (i installation) keepsOwners(upgrade func()) {
	i.t.Helper()
	i.run("chown", "root", "/var/lib/aquarium-fish")
	i.run("rm", "/etc/aquarium-fish/config.yml")
	upgrade()
	if got := strings.TrimSpace(i.run("stat", "-c", "%a %U", "/var/lib/aquarium-fish")); got != "711 root" {
		i.t.Errorf("after an upgrade /var/lib/aquarium-fish is %s, want 711 root as before", got)
	}
}

// TestInstallTheRPM installs, upgrades and removes the package in a copy of
// this machine, with what it runs. Its needs are left out: rpm knows nothing of
// what is installed here.
func TestInstallTheRPM(t *testing.T) {
	t.Parallel()
	i := overlay(t)
	if _, err := exec.LookPath("rpm"); err != nil {
		needs.Lacking(t, "needs the package rpm:", err)
	}
	tool, binary := releaseTool(t), smallBinary(t)
	for name, version := range map[string]string{"old": candidate, "new": "v1.2.3"} {
		rpm := filepath.Join(pack(t, tool, binary, version), "aquarium-fish_"+version+"_linux_"+runtime.GOARCH+".rpm")
		command(t, ".", "cp", rpm, i.root+"/tmp/"+name+".rpm")
	}
	rpm := func(args ...string) string {
		t.Helper()
		return i.run(append([]string{"rpm", "--nodeps", "--force-debian"}, args...)...)
	}
	rpm("--install", "/tmp/old.rpm")
	i.wantInstalled("after the installation")
	i.run("touch", "/var/lib/aquarium-fish/data/kept")
	rpm("--upgrade", "/tmp/new.rpm") // a release goes after its candidate
	i.wantInstalled("after an upgrade")
	if got := i.run("rpm", "-q", "--queryformat", "%{VERSION}", "aquarium-fish"); got != "1.2.3" {
		t.Errorf("version %s after the upgrade, want 1.2.3", got)
	}
	i.run("sh", "-c", "echo '# mine' >> /etc/aquarium-fish/config.yml")
	rpm("--upgrade", "--replacepkgs", "/tmp/new.rpm")
	i.run("grep", "-q", "^# mine", "/etc/aquarium-fish/config.yml")
	i.wantInstalled("after another upgrade")
	i.keepsOwners(func() { rpm("--upgrade", "--replacepkgs", "/tmp/new.rpm") })
	rpm("--erase", "aquarium-fish")
	i.run("test", "-e", "/var/lib/aquarium-fish/data/kept")
	i.run("test", "!", "-e", "/usr/bin/aquarium-fish")
}

// verifyUnit asks systemd, where it is there. DelegateSubgroup is younger than
// some that are in use: those warn of it and go on.
func (i installation) verifyUnit() {
	i.t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		i.t.Log("no systemd-analyze here: the unit is not verified by it")
		return
	}
	out, err := exec.CommandContext(i.t.Context(), "chroot", i.root, "systemd-analyze", "verify", "/usr/lib/systemd/system/aquarium-fish.service").CombinedOutput()
	var complaints []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "aquarium-fish") && !strings.Contains(line, "DelegateSubgroup") {
			complaints = append(complaints, line)
		}
	}
	if len(complaints) > 0 {
		i.t.Errorf("systemd-analyze verify: %v %q", err, complaints)
	}
}
