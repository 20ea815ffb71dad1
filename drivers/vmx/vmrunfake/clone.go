//go:build unix

package vmrunfake

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// clone makes a linked clone: disks that hold what differs from the disks of
// the source's snapshot, a .vmsd, and the .vmx last. The source's .vmsd names
// the clone afterwards.
func (p *program) clone(source, target, snapshot, name string) command {
	return func(io.Writer) error {
		source, config, release, err := p.take(source)
		if err != nil {
			return err
		}
		defer release()
		if p.state.running(source) != nil {
			return isRunning
		}
		vmsd, err := readSnapshots(source)
		if err != nil {
			return err
		}
		prefix, err := findSnapshot(vmsd, snapshot)
		if err != nil {
			return err
		}
		folder := filepath.Dir(source)
		if hasMemory(vmsd, prefix, folder) {
			return isRunning
		}
		target, err := makeRoom(target)
		if err != nil {
			return err
		}
		disks := snapshotDisks(vmsd, prefix, folder)
		if err := p.cloneFiles(config, disks, target, name); err != nil {
			return err
		}
		return noteClone(source, vmsd, prefix, target)
	}
}

// makeRoom makes the folder of the clone.
func makeRoom(target string) (canonical string, err error) {
	if exists(target) {
		return "", say("The file already exists")
	}
	if target, err = filepath.Abs(target); err != nil {
		return "", err
	}
	folder := filepath.Dir(target)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	folder, err = filepath.EvalSymlinks(folder)
	return filepath.Join(folder, filepath.Base(target)), err
}

// cloneFiles makes all files of the clone.
func (p *program) cloneFiles(config *Dictionary, disks []Disk, target, name string) error {
	folder := filepath.Dir(target)
	for _, disk := range disks {
		file := strings.TrimSuffix(filepath.Base(disk.Path), ".vmdk") + "-cl1.vmdk"
		if err := child(filepath.Join(folder, file), disk.Path); err != nil {
			return err
		}
		config.Set(disk.Key, file)
	}
	p.half()
	if err := replace(sibling(target, ".vmsd"), []byte(".encoding = \"UTF-8\"\n")); err != nil {
		return err
	}
	config.Delete(func(key string) bool {
		return strings.HasPrefix(key, "uuid.") || strings.HasPrefix(key, "checkpoint.") ||
			strings.HasPrefix(key, "ethernet") && strings.HasSuffix(key, "address")
	})
	for _, key := range config.Keys() {
		if strings.HasPrefix(key, "ethernet") && strings.HasSuffix(key, ".present") {
			config.Set(strings.TrimSuffix(key, ".present")+".addressType", "generated")
		}
	}
	config.Set("displayName", name)
	config.Set("extendedConfigFile", filepath.Base(sibling(target, ".vmxf")))
	return config.Write(target)
}

// noteClone writes into the source's .vmsd that its snapshot has a clone.
func noteClone(source string, vmsd *Dictionary, prefix, target string) error {
	count := number(vmsd, prefix+".numClones")
	vmsd.Set(fmt.Sprintf("%s.clone%d", prefix, count), target)
	vmsd.Set(prefix+".numClones", strconv.Itoa(count+1))
	return vmsd.Write(sibling(source, ".vmsd"))
}
