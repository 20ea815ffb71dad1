//go:build unix

package vmx

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake/fakehost"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// node is an arbitrary one.
var node = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// site is a machine with VMware, an image and a workspace.
type site struct {
	host *fakehost.Host
	dir  string
	cfg  string // more of it
}

// newSite is a new machine, not in short runs.
func newSite(t testing.TB, cfg string) site {
	t.Helper()
	needs.Unhurried(t, "starts machines by programs")
	return anySite(t, cfg)
}

func anySite(t testing.TB, cfg string) site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := site{host: fakehost.New(t), dir: dir, cfg: cfg}
	s.host.Image(s.image("base"), "base")
	write(t, filepath.Join(s.image("base"), "data.vmdk"), string(descriptor("data-flat.vmdk", 4)))
	write(t, filepath.Join(s.image("base"), "data-flat.vmdk"), strings.Repeat("some content....", 4*sector/16))
	return s
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// image is the folder of an image in the cache.
func (s site) image(name string) string {
	return filepath.Join(s.dir, "images", name+"-1", name+"_abc")
}

func (s site) workspace() string { return filepath.Join(s.dir, "workspace") }

func (s site) config(instance string, uid model.UID, h slog.Handler) drivers.Config {
	var files []string
	for _, network := range []string{"vmnet1", "vmnet8"} {
		files = append(files, filepath.Join(s.host.Leases, "vmnet-dhcpd-"+network+".leases"))
	}
	list, _ := json.Marshal(files)
	return drivers.Config{
		Instance: instance, NodeUID: uid, Directory: filepath.Join(s.dir, "node"), Logger: slog.New(h),
		Cfg: fmt.Appendf(nil, "product: fusion\nvmrun_path: %q\nvdiskmanager_path: %q\nworkspace_path: %q\nimages_path: %q\nlease_files: %s\n%s",
			s.host.Vmrun, s.host.VDiskManager, s.workspace(), filepath.Join(s.dir, "images"), list, s.cfg),
	}
}

func (s site) open(t testing.TB, instance string, uid model.UID) *driver {
	t.Helper()
	d, err := New(context.Background(), s.config(instance, uid, slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d.(*driver)
}

// start opens an instance for one test.
func (s site) start(t testing.TB) *driver {
	t.Helper()
	d := s.open(t, "vmx", node)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func definition() model.LabelDefinition {
	return model.LabelDefinition{
		Driver: "vmx", Options: json.RawMessage(`{"images":[{"url":"https://images.invalid/base-1.tar.xz"}]}`),
		Resources:      model.Resources{CPU: 1, RAM: 1},
		Authentication: &model.Authentication{Username: "user", Password: "secret", Port: 22},
	}
}

func request() drivers.Request {
	token := strings.ReplaceAll(uuid.NewString(), "-", "")
	return drivers.Request{ApplicationUID: uuid.New(), Token: token, Definition: definition()}
}

func reference(req drivers.Request) drivers.Ref {
	return drivers.Ref{Token: req.Token, Definition: req.Definition, ApplicationUID: req.ApplicationUID}
}

// leftovers are all that environments leave when they are not removed: folders,
// virtual machines, notes of who has a disk, and calls of tools.
func (s site) leftovers(t testing.TB) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(s.workspace())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".disks" {
			found = append(found, e.Name())
		}
	}
	uses, _ := filepath.Glob(filepath.Join(s.dir, "images", ".fish", "use", "*", "by-*"))
	taken, _ := filepath.Glob(filepath.Join(s.workspace(), ".disks", "*", "taken.json"))
	found = append(append(found, taken...), uses...)
	for _, vm := range s.host.VMs() {
		found = append(found, "virtual machine "+vm.VMX)
	}
	return append(found, s.calls(t)...)
}

// calls are the tools' processes that are about an environment.
func (s site) calls(t testing.TB) []string {
	t.Helper()
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		argv := strings.ReplaceAll(string(text), "\x00", " ")
		if strings.HasPrefix(argv, s.host.Vmrun+" ") && !strings.HasSuffix(argv, " list ") || strings.HasPrefix(argv, s.host.VDiskManager+" ") {
			found = append(found, "call "+argv)
		}
	}
	return found
}

// wantNothing fails unless everything is gone.
func (s site) wantNothing(t testing.TB) {
	t.Helper()
	if left := s.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
