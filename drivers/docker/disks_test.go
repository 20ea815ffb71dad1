//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// needsFileSystems ends the test where disks can not be mounted.
func needsFileSystems(t testing.TB) {
	t.Helper()
	needs.Root(t, "to mount disks")
	if reason := volume.Find(volume.Options{}).Missing()[volume.Ext4]; reason != "" {
		needs.Lacking(t, "needs ext4 disks:", reason)
	}
}

func withDisks(def model.LabelDefinition, disks string) model.LabelDefinition {
	if err := json.Unmarshal([]byte(disks), &def.Resources.Disks); err != nil {
		panic(err)
	}
	return def
}

// diskInterrupts are the moments between the steps that make disks.
func (s site) diskInterrupts() map[string]func(testing.TB, drivers.Request) {
	return map[string]func(testing.TB, drivers.Request){
		"with the folder claimed": func(t testing.TB, req drivers.Request) {
			if _, err := s.start(t).disks.workspace.Claim(context.Background(), req); err != nil {
				t.Fatal(err)
			}
		},
		"with the disks made and mounted": func(t testing.TB, req drivers.Request) {
			if _, err := s.start(t).disks.make(context.Background(), req); err != nil {
				t.Fatal(err)
			}
		},
		"with the container made": func(t testing.TB, req drivers.Request) {
			d := s.start(t)
			if _, err := d.disks.make(context.Background(), req); err != nil {
				t.Fatal(err)
			}
			s.half(t, req)
		},
		"with the container removed and its disks there": func(t testing.TB, req drivers.Request) {
			d := s.start(t)
			if _, err := d.Allocate(context.Background(), req); err != nil {
				t.Fatal(err)
			}
			list, err := d.find(context.Background(), drivers.Ref{Token: req.Token})
			if err != nil || len(list) != 1 {
				t.Fatalf("find() = %v, %v", list, err)
			}
			if err := d.remove(context.Background(), list[0]); err != nil {
				t.Fatal(err)
			}
		},
		"with the disks unmounted": func(t testing.TB, req drivers.Request) {
			d := s.start(t)
			if _, err := d.disks.make(context.Background(), req); err != nil {
				t.Fatal(err)
			}
			if err := d.disks.tools.Unmount(context.Background(), d.disks.folder(req.Token)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// TestDisks: they are where the label says, of the size and kind that it says,
// may be written by any user of the container, and are gone with it.
func TestDisks(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	needsFileSystems(t)
	d := s.start(t)
	req := request(withDisks(guest(
		"mounts ; write /work/deep text ; write /mnt/data/f text ; read /mnt/data/f ; list /mnt/plain ; write /mnt/block text ; reserve /mnt/data/big 1100 ; reserve /mnt/data/some 500 ; print done ; wait",
		`"user":"1000:1000"`),
		`{"cache":{"type":"dir","label":"/work"},"data":{"type":"ext4","size":1},"b":{"type":"raw","size":1,"label":"block"},"c":{"type":"dir","label":"plain"}}`))
	text := s.says(t, d.allocate(t, req), "done")
	for _, command := range []string{"write", "read", "list"} {
		if failed(text, command) {
			t.Errorf("%s failed:\n%s", command, text)
		}
	}
	if failed(text, "reserve /mnt/data/some") || !failed(text, "reserve /mnt/data/big") {
		t.Errorf("a disk of 1 GB takes 1100 MB, or not 500:\n%s", text)
	}
	for _, want := range []string{" /work ", " /mnt/data ", " /mnt/plain ", " /mnt/block "} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is mounted at%s:\n%s", want, text)
		}
	}
	folder := d.disks.folder(req.Token)
	precious := filepath.Join(s.dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.dir, filepath.Join(volume.DisksOf(folder), "cache", "data", "link")); err != nil { // as a build may
		t.Fatal(err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Fatal(err)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("the removal followed a link out of a disk: %v", err)
	}
}

// TestDiskThatTheEngineDoesNotSee: as where the node runs in a mount name space of
// its own. The environment would write beside its disk.
func TestDiskThatTheEngineDoesNotSee(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	needsFileSystems(t)
	d := s.start(t)
	req := request(withDisks(guest("wait"), `{"data":{"type":"ext4","size":1}}`))
	t.Cleanup(func() {
		if err := d.Deallocate(context.Background(), drivers.Ref{Token: req.Token}); err != nil {
			t.Error(err)
		}
	})
	m := d.making(t, req)
	var err error
	if m.plan.mounts, err = d.disks.make(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	b, release, err := d.networks.use(t.Context(), m.plan.network)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	m.plan.bridge = b
	for _, bare := range []bool{false, true} {
		if bare { // what the engine sees then: the folder below
			m.plan.mounts[0].Source = filepath.Join(s.dir, "bare")
			if err := os.Mkdir(m.plan.mounts[0].Source, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		id, err := m.create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.seen(t.Context(), id); bare != (err != nil) || bare && !strings.Contains(err.Error(), "mount name spaces") {
			t.Errorf("seen() = %v, want an error: %v", err, bare)
		}
		if err := m.remove(t.Context(), found{id: id}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskInPlaceOfTmp: a disk at a folder that a read-only environment has in
// memory takes its place; of two there the engine makes none.
func TestDiskInPlaceOfTmp(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	needs.Root(t, "to make disks")
	d := s.start(t)
	req := request(withDisks(guest("write /tmp/f text ; write /run/f text ; write /x text ; print done ; wait", `"read_only":true`), `{"scratch":{"type":"dir","label":"/tmp/"}}`))
	text := s.says(t, d.allocate(t, req), "done")
	if failed(text, "write /tmp") || failed(text, "write /run") || !failed(text, "write /x") {
		t.Errorf("want a read-only root, with /tmp and /run that can be written:\n%s", text)
	}
	written := filepath.Join(volume.DisksOf(d.disks.folder(req.Token)), "scratch", "data", "f")
	if _, err := os.Stat(written); err != nil {
		t.Errorf("what is written to /tmp is not on the disk: %v", err)
	}
}

// TestReusedDisk: it lives longer than its environment, and is one's at a time.
func TestReusedDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	needsFileSystems(t)
	d, other := s.start(t), s.open(t, "docker/other", node)
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	const disks = `{"cache":{"type":"dir","label":"/cache","reuse":true},"fs":{"type":"ext4","label":"/fs","size":1,"reuse":true}}`
	first := request(withDisks(guest("write /cache/f kept ; write /fs/f here ; print done ; wait"), disks))
	s.says(t, d.allocate(t, first), "done")
	second := request(withDisks(guest("read /cache/f ; print ; read /fs/f ; print ; print done ; wait"), disks))
	if _, err := other.Allocate(t.Context(), second); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("Allocate() with a disk that another has = %v, want a refusal", err)
	}
	if err := other.Deallocate(t.Context(), drivers.Ref{Token: second.Token}); err != nil {
		t.Error(err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: first.Token}); err != nil {
		t.Fatal(err)
	}
	if text := s.says(t, other.allocate(t, second), "done"); !strings.Contains(text, "kept") || !strings.Contains(text, "here") {
		t.Errorf("the next environment finds %q, want what the first left", text)
	}
	want := []string{"disk /cache in " + s.workspace(), "disk /fs in " + s.workspace()}
	if diff := cmp.Diff(want, d.Exclusive(first.Definition)); diff != "" {
		t.Errorf("Exclusive() (-want +got):\n%s", diff)
	}
}

// TestClone: what a task kept of one environment's disk is on another's.
func TestClone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	needsFileSystems(t)
	d := s.start(t)
	first := request(withDisks(guest("write /mnt/data/f kept ; print done ; wait"), `{"data":{"type":"dir"},"b":{"type":"raw","size":1}}`))
	env := d.allocate(t, first)
	s.says(t, env, "done")
	ref := drivers.Ref{Token: first.Token, Identifier: env.Identifier, Definition: first.Definition}
	task := drivers.TaskRequest{UID: first.ApplicationUID, Task: "snapshot", When: model.StatusAllocated, Ref: ref}
	result, err := d.RunTask(t.Context(), task)
	var answer struct{ Snapshots []string }
	if err != nil || json.Unmarshal(result, &answer) != nil || len(answer.Snapshots) != 1 {
		t.Fatalf("RunTask() = %s, %v, want one snapshot", result, err)
	}
	if err := d.Deallocate(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if again, err := d.RunTask(t.Context(), task); err != nil || string(again) != string(result) {
		t.Errorf("RunTask() of a task that was done = %s, %v, want %s also without the container", again, err, result)
	}
	second := request(withDisks(guest("read /mnt/copy/f ; print ; print done ; wait"), `{"copy":{"type":"ext4","size":1,"clone":"`+answer.Snapshots[0]+`"}}`))
	if text := s.says(t, d.allocate(t, second), "done"); !strings.Contains(text, "kept") {
		t.Errorf("the clone holds %q, want what was kept", text)
	}
}

func TestDisksThatCanNotBe(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	remote := site{s.Engine, s.dir, "is_remote: true\n"}.open(t, "docker/remote", node)
	t.Cleanup(func() {
		if err := remote.Close(); err != nil {
			t.Error(err)
		}
	})
	for disks, want := range map[string]string{
		`{"a":{"type":"hfs+","size":1}}`:                                                            "only macOS has it",
		`{"a":{"type":"zfs","size":1}}`:                                                             "is not known",
		`{"a":{"type":"dir","label":"/"}}`:                                                          "nothing can be mounted there",
		`{"a":{"type":"dir","label":"/proc/../sys/x"}}`:                                             "nothing can be mounted there",
		`{"a":{"type":"dir","label":"/sbin/"}}`:                                                     "nothing can be mounted there",
		`{"a":{"type":"dir","label":"/etc/hosts"}}`:                                                 "nothing can be mounted there",
		`{"a":{"type":"dir","label":"a/b"}}`:                                                        "want a name",
		`{"a":{"type":"dir","label":"/mnt/b"},"b":{"type":"dir"}}`:                                  "would both be mounted at /mnt/b",
		`{"a":{"type":"dir","clone":"other"}}`:                                                      "want one of the `snapshots`",
		`{"a":{"type":"raw","size":1,"clone":"other"}}`:                                             "neither a reused disk nor a raw one",
		`{"a":{"type":"dir","reuse":true,"clone":"other"}}`:                                         "neither a reused disk nor a raw one",
		`{"a":{"type":"ext4"}}`:                                                                     "want 1 or more GB",
		`{"../a":{"type":"dir"}}`:                                                                   "its name must be",
		`{"a":{"type":"dir","reuse":true,"label":"x"},"b":{"type":"dir","reuse":true,"label":"x"}}`: "the same reused disk",
	} {
		if err := d.Validate(withDisks(definition(""), disks)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() of disks %s = %v, want an error with %q", disks, err, want)
		}
	}
	if err := remote.Validate(withDisks(definition(""), `{"a":{"type":"dir"}}`)); err == nil || !strings.Contains(err.Error(), "is_remote") {
		t.Errorf("Validate() of a disk on a remote engine = %v, want a refusal", err)
	}
	if err := remote.Validate(definition("")); err != nil || len(remote.MetadataNetworks()) > 0 || !remote.Limits().Remote {
		t.Errorf("a remote engine: Validate() = %v, MetadataNetworks() = %v, Limits() = %+v", err, remote.MetadataNetworks(), remote.Limits())
	}
}
