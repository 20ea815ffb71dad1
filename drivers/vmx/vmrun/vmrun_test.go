package vmrun

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
		ok         bool
	}{
		{"none", "Total running VMs: 0\n", []string{}, true},
		{"two", "Total running VMs: 2\n/a b/c.vmx\n/d.vmx\n", []string{"/a b/c.vmx", "/d.vmx"}, true},
		{"as on Windows", "Total running VMs: 1\r\nC:\\a.vmx\r\n", []string{`C:\a.vmx`}, true},
		{"a warning first", "some warning\nTotal running VMs: 1\n/a.vmx\n", []string{"/a.vmx"}, true},
		{"nothing", "", nil, false},
		{"cut in the count", "Total running VMs: ", nil, false},
		{"cut before the paths", "Total running VMs: 2\n", nil, false},
		{"cut between paths", "Total running VMs: 2\n/a.vmx\n", nil, false},
		{"cut in a path", "Total running VMs: 1\n/a.v", nil, false},
		{"cut behind the count", "Total running VMs: 0", nil, false},
		{"more than it says", "Total running VMs: 1\n/a.vmx\n/b.vmx\n", nil, false},
		{"no number", "Total running VMs: many\n", nil, false},
		{"less than none", "Total running VMs: -1\n", nil, false},
		{"another answer", "Error: Unknown error\n", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseList(tt.text)
			if (err == nil) != tt.ok {
				t.Fatalf("parseList() = %v, %v, want success %v", got, err, tt.ok)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parseList() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoseCall(t *testing.T) {
	tool := New(Options{Vmrun: "/opt/VMware Fusion/vmrun", DiskManager: "/opt/vmware-vdiskmanager"})
	for argv, want := range map[string]bool{
		"/opt/VMware Fusion/vmrun -T fusion clone /i/a.vmx /w/005056000001/005056000001.vmx linked": true,
		"/bin/sh /opt/VMware Fusion/vmrun -T ws start /w/005056000001/005056000001.vmx nogui":       true,
		"/opt/vmware-vdiskmanager -c -s 1GB /w/005056000001/disks/a/disk.vmdk":                      true,
		"/opt/VMware Fusion/vmrun -T fusion start /w/0050560000012/a.vmx nogui":                     false,
		"/opt/VMware Fusion/vmrun -T fusion list":                                                   false,
		"/opt/vmware-vmx /w/005056000001/005056000001.vmx":                                          false,
		"tail -f /w/005056000001/vmware.log":                                                        false,
	} {
		if got := tool.orphan(argv, "/w/005056000001"); got != want {
			t.Errorf("orphan(%q) = %v, want %v", argv, got, want)
		}
	}
	for argv, want := range map[string]bool{
		"/Applications/VMware Fusion.app/Contents/Library/vmware-vmx -s vmx.noUIBuildNumberCheck=TRUE -# x /w/a.vmx": true,
		"/opt/vmware-vmx /w/a.vmx":     true,
		"/opt/vmware-vmx /w/a.vmx.lck": false,
		"vim /w/a.vmx":                 false,
		"tail -f /opt/vmware-vmx.log":  false,
	} {
		if got := machine(argv, "/w/a.vmx"); got != want {
			t.Errorf("machine(%q) = %v, want %v", argv, got, want)
		}
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "it said nothing",
		"hint\nError: gone\nmore\n":     "Error: gone",
		"plain words\nand more\n":       "plain words",
		strings.Repeat("x", 999) + "\n": strings.Repeat("x", 300),
	} {
		if got := firstLine(text); got != want {
			t.Errorf("firstLine(%.20q) = %q, want %q", text, got, want)
		}
	}
}
