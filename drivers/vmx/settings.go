package vmx

import (
	"cmp"
	"errors"
	"net/netip"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/machine"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrun"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// settings is an instance's cfg: the keys of contract 29, then ours.
type settings struct {
	VmrunPath        string `yaml:"vmrun_path"`
	VdiskmanagerPath string `yaml:"vdiskmanager_path"`
	HdiutilPath      string `yaml:"hdiutil_path"` // on macOS, for formatted disks

	machine.Share
	images.Settings

	// LogMonitor: vmware.log is read for guests that are gone though their
	// virtual machine is still there.
	LogMonitor bool `yaml:"log_monitor"`

	// Product is what vmrun is told to serve: fusion or ws.
	Product string `yaml:"product"`
	// LeaseFiles are those of the DHCP servers of VMware's networks.
	LeaseFiles []string `yaml:"lease_files"`
	// MetadataNetworks are where environments ask for their metadata; without
	// it those of the host's vmnet interfaces.
	MetadataNetworks []string `yaml:"metadata_networks"`

	// How long things may take.
	AddressWait    time.Duration `yaml:"address_wait"` // from the start until the guest has an address; 0 waits for none
	StopTimeout    time.Duration `yaml:"stop_timeout"` // for the guest's own way down
	StartTimeout   time.Duration `yaml:"start_timeout"`
	CloneTimeout   time.Duration `yaml:"clone_timeout"` // also for making disks
	SuspendTimeout time.Duration `yaml:"suspend_timeout"`

	networks []netip.Prefix // MetadataNetworks, read
}

// listTimeout bounds what vmrun does in well under a second where it is well.
const listTimeout = 30 * time.Second

// The least and the most that a timeout may be.
const (
	leastTimeout = 10 * time.Millisecond
	mostTimeout  = 24 * time.Hour
)

// readSettings reads an instance's cfg. Warnings are about unknown keys.
func readSettings(cfg []byte) (settings, []yamlconf.Problem, error) {
	s := settings{
		Settings:   images.Settings{ImagesPath: "fish_vmx_images", WorkspacePath: "fish_vmx_workspace"},
		LogMonitor: true, Product: product(runtime.GOOS), LeaseFiles: leaseFiles(runtime.GOOS),
		AddressWait: time.Minute, StopTimeout: 10 * time.Second, StartTimeout: 2 * time.Minute,
		CloneTimeout: 10 * time.Minute, SuspendTimeout: 5 * time.Minute,
	}
	doc, err := yamlconf.Parse(cfg)
	if err != nil {
		return settings{}, nil, err
	}
	if err := doc.Decode(&s); err != nil {
		return settings{}, nil, err
	}
	if err := errors.Join(s.Complete(doc), s.check(doc), s.checkTimes(doc), s.readNetworks(doc)); err != nil {
		return settings{}, nil, err
	}
	return s, doc.Warnings(), nil
}

// check is about what types can not say.
func (s *settings) check(doc *yamlconf.Document) error {
	var errs []error
	if s.Product != vmrun.Fusion && s.Product != vmrun.Workstation {
		errs = append(errs, doc.Problem("product", "got %q, want %s or %s", s.Product, vmrun.Fusion, vmrun.Workstation))
	}
	for i, path := range s.LeaseFiles {
		if !filepath.IsAbs(path) {
			errs = append(errs, doc.Problem("lease_files", "entry %d: got %q, want an absolute path", i, path))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) checkTimes(doc *yamlconf.Document) error {
	var errs []error
	for _, p := range []struct {
		key   string
		value time.Duration
		least time.Duration
	}{
		{"address_wait", s.AddressWait, 0}, {"stop_timeout", s.StopTimeout, leastTimeout},
		{"start_timeout", s.StartTimeout, leastTimeout}, {"clone_timeout", s.CloneTimeout, leastTimeout},
		{"suspend_timeout", s.SuspendTimeout, leastTimeout},
	} {
		if p.value < p.least || p.value > mostTimeout {
			errs = append(errs, doc.Problem(p.key, "got %v, want %v to %v", p.value, p.least, mostTimeout))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) readNetworks(doc *yamlconf.Document) error {
	var errs []error
	for i, text := range s.MetadataNetworks {
		n, err := netip.ParsePrefix(text)
		if err != nil || n.Bits() == 0 {
			errs = append(errs, doc.Problem("metadata_networks", "entry %d: got %q, want a network such as 192.168.10.0/24", i, text))
			continue
		}
		s.networks = append(s.networks, n.Masked())
	}
	return errors.Join(errs...)
}

// bounds are what calls of the tools may take.
func (s *settings) bounds() vmrun.Bounds {
	return vmrun.Bounds{
		List: min(listTimeout, s.StartTimeout), Clone: s.CloneTimeout, Start: s.StartTimeout, Stop: s.StopTimeout, Suspend: s.SuspendTimeout,
	}
}

// product is what there is for a system.
func product(goos string) string {
	if goos == "darwin" {
		return vmrun.Fusion
	}
	return vmrun.Workstation
}

// leaseFiles are where the systems' VMware keeps leases; vmnet1 is its host-only
// network and vmnet8 the one with NAT. From macOS 11 on Apple's server may give them.
func leaseFiles(goos string) []string {
	switch goos {
	case "darwin":
		return []string{
			"/var/db/vmware/vmnet-dhcpd-vmnet1.leases", "/var/db/vmware/vmnet-dhcpd-vmnet8.leases", "/var/db/dhcpd_leases",
		}
	case "windows":
		return []string{`C:\ProgramData\VMware\vmnetdhcp.leases`}
	}
	return []string{"/etc/vmware/vmnet1/dhcpd/dhcpd.leases", "/etc/vmware/vmnet8/dhcpd/dhcpd.leases"}
}

// tools are where the tools of a system's VMware usually are, when they are not
// in PATH.
func tools(goos, name string) []string {
	if goos != "darwin" {
		return []string{name}
	}
	return []string{name, "/Applications/VMware Fusion.app/Contents/Library/" + name, "/Applications/VMware Fusion.app/Contents/Public/" + name}
}

// findTool returns the path of a tool: the one of the config, else the first
// that is there. lookup is exec.LookPath outside of tests.
func findTool(configured, goos, name string, lookup func(string) (string, error)) (string, error) {
	candidates := tools(goos, name)
	if configured != "" {
		candidates = []string{configured}
	}
	var first error
	for _, c := range candidates {
		path, err := lookup(c)
		if err == nil {
			return filepath.Abs(path)
		}
		first = cmp.Or(first, err)
	}
	return "", first
}
