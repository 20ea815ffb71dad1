//go:build unix

package vmrunfake

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFreeAddress(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var full strings.Builder
	for host := 128; host < 255; host++ {
		full.WriteString(leaseBlock(fmt.Sprintf("10.0.0.%d", host), "02:00:00:00:00:ff", now.Add(time.Duration(255-host)*time.Second)))
	}
	for _, test := range []struct{ name, leases, want string }{
		{"nobody has any", "", "10.0.0.128"},
		{"it has one", leaseBlock("10.0.0.140", "02:00:00:00:00:01", now.Add(-time.Minute)), "10.0.0.140"},
		{"it had one", leaseBlock("10.0.0.128", "02:00:00:00:00:02", now) + leaseBlock("10.0.0.140", "02:00:00:00:00:01", now.Add(-time.Hour)), "10.0.0.129"},
		{"another's has expired", leaseBlock("10.0.0.128", "02:00:00:00:00:02", now.Add(-time.Hour)), "10.0.0.128"},
		{"all are taken", full.String(), "10.0.0.254"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := freeAddress(test.leases, "10.0.0", "02:00:00:00:00:01", now); got != test.want {
				t.Errorf("address %s, want %s", got, test.want)
			}
		})
	}
}

func TestDictionary(t *testing.T) {
	d := ParseDictionary("#!/usr/bin/vmware\r\n.encoding = \"UTF-8\"\r\nMemSize=512\r\n memsize = \"1024\"\r\nname = \"a = \"\"b\"\r\n\r\nnonsense\r\n")
	for key, want := range map[string]string{"memsize": "1024", "MEMSIZE": "1024", "name": `a = ""b`, "none": "", ".ENCODING": "UTF-8"} {
		if got := d.Get(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if want := ".encoding = \"UTF-8\"\nMemSize = \"1024\"\n"; !strings.HasPrefix(d.String(), want) {
		t.Errorf("text\n%swant it to begin\n%s", d, want)
	}
	d.Delete(func(key string) bool { return key == "memsize" })
	if d.Get("memsize") != "" || strings.Contains(d.String(), "MemSize") {
		t.Errorf("deleted, and yet\n%s", d)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"10GB": 10 << 21, "10G": 10 << 21, "100MB": 100 << 11, "2kb": 4, "7": 7, "": 0, "0GB": 0, "1.5GB": 0, "-1GB": 0, "GB": 0,
	} {
		got, err := parseSize(text)
		if (err != nil) != (want == 0) || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}
