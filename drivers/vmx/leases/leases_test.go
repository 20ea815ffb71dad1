package leases

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const dhcpd = `# All times in this file are in UTC
lease 192.168.10.128 {
	starts 2 2026/03/17 20:05:20;
	ends 2 2026/03/17 20:35:20;
	hardware ethernet 00:50:56:01:02:03;
	uid 01:00:50:56:01:02:03;
	client-hostname "a { b";
}
lease 192.168.10.129 {
	starts 2 2026/03/17 20:20:00;
	ends 2 2026/03/17 20:50:00;
	hardware ethernet 00:50:56:01:02:03;
}
lease 192.168.10.130 {
	starts 2 2026/03/17 20:20:00;
	ends never;
	hardware ethernet 00:50:56:00:00:09;
}
lease 192.168.10.132 {
	ends 2 2026/03/17 20:50:00;
	hardware ethernet 00:50:56:00:00:10;
}
lease 192.168.10.132 {
	ends 2 2026/03/17 20:55:00;
	hardware ethernet 00:50:56:00:00:11;
}
lease 192.168.10.131 {
	starts 2 2026/03/17 20:2`

const bootpd = `{
	name=vm
	ip_address=192.168.64.5
	hw_address=1,0:50:56:a:b:c
	identifier=1,0:50:56:a:b:c
	lease=0x69b9bd00
}
`

func TestFind(t *testing.T) {
	now := time.Date(2026, 3, 17, 20, 30, 0, 0, time.UTC)
	arp := "IP address       HW type     Flags       HW address            Mask     Device\n" +
		"192.168.10.140   0x1         0x2         00:50:56:00:00:40     *        vmnet1\n" +
		"192.168.10.132   0x1         0x2         00:50:56:00:00:10     *        vmnet1\n" +
		"192.168.10.128   0x1         0x2         00:50:56:00:00:28     *        vmnet1\n" +
		"192.168.10.141   0x1         0x0         00:00:00:00:00:00     *        vmnet1\n" +
		"? (192.168.10.142) at 0:50:56:0:0:42 on vmnet1 ifscope [ethernet]\n" +
		"? (192.168.10.143) at (incomplete) on vmnet1 [ethernet]\n"
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "none"), filepath.Join(dir, "dhcpd"), filepath.Join(dir, "bootpd")}
	for i, text := range []string{dhcpd, bootpd} {
		if err := os.WriteFile(files[i+1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := Finder{Files: files, Neighbors: func(context.Context) (string, error) { return arp, nil }}
	for _, tt := range []struct {
		name, hw string
		now      time.Time
		want     string
	}{
		{"the newest lease", "00:50:56:01:02:03", now, "192.168.10.129"},
		{"written otherwise", "0:50:56:1:2:3", now, "192.168.10.129"},
		{"with dashes and capitals", "00-50-56-0A-0B-0C", now, "192.168.64.5"},
		{"a lease that is over", "00:50:56:01:02:03", now.Add(time.Hour), ""},
		{"one for ever", "00:50:56:00:00:09", now.AddDate(9, 0, 0), "192.168.10.130"},
		{"an address that moved on", "00:50:56:00:00:10", now, ""},
		{"an address that came from another", "00:50:56:00:00:11", now, "192.168.10.132"},
		{"a neighbour of Linux", "00:50:56:00:00:40", now, "192.168.10.140"},
		{"a neighbour with an address of which another's lease is over", "00:50:56:00:00:28", now.Add(time.Hour), "192.168.10.128"},
		{"a neighbour of macOS", "00:50:56:00:00:42", now, "192.168.10.142"},
		{"nobody", "00:50:56:00:00:77", now, ""},
		{"zeros", "00:00:00:00:00:00", now, ""},
		{"nonsense", "hello", now, ""},
		{"nothing", "", now, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := f.Find(t.Context(), tt.hw, tt.now)
			want, _ := netip.ParseAddr(tt.want)
			if err != nil || got != want {
				t.Errorf("Find(%q) = %v, %v, want %v", tt.hw, got, err, want)
			}
		})
	}
}

func TestFindTells(t *testing.T) {
	broken := errors.New("broken")
	f := Finder{Files: []string{t.TempDir()}, Neighbors: func(context.Context) (string, error) { return "", broken }}
	if _, err := f.Find(t.Context(), "00:50:56:00:00:01", time.Now()); !errors.Is(err, broken) {
		t.Errorf("Find() = %v, want the error of the table", err)
	}
	if _, err := Neighbors(t.Context()); err != nil {
		t.Errorf("Neighbors() of this machine = %v", err)
	}
}

func TestHugeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	text := append(make([]byte, maxFile), "\n"+dhcpd...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f := Finder{Files: []string{path}}
	if got, err := f.Find(t.Context(), "00:50:56:00:00:09", time.Now()); err != nil || got.String() != "192.168.10.130" {
		t.Errorf("Find() in a huge file = %v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(dhcpd)
	f.Add(bootpd)
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range Parse(text) {
			if !l.IP.IsValid() || Normal(l.HW) != l.HW {
				t.Errorf("Parse() gave %+v", l)
			}
		}
		parseNeighbors(text)
	})
}
