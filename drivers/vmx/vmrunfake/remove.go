//go:build unix

package vmrunfake

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// deleteVM removes what belongs to the virtual machine in its folder, and the
// folder when it is empty then. Disks elsewhere stay, and so do strange files.
func (p *program) deleteVM(vmx string) command {
	return func(io.Writer) error {
		vmx, config, release, err := p.take(vmx)
		if err != nil {
			return err
		}
		defer release()
		if p.state.running(vmx) != nil {
			return isRunning
		}
		folder := filepath.Dir(vmx)
		files, err := belongings(vmx, config)
		if err != nil {
			return err
		}
		for i, file := range files {
			if i == (len(files)+1)/2 {
				p.half()
			}
			if err := os.RemoveAll(file); err != nil {
				return err
			}
		}
		rest, err := os.ReadDir(folder)
		if err != nil || len(rest) > 0 {
			return err
		}
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
}

// belongings are the files of the virtual machine in its folder, the .vmx
// first: half a removal leaves disks that nothing names.
func belongings(vmx string, config *Dictionary) ([]string, error) {
	folder := filepath.Dir(vmx)
	base := strings.TrimSuffix(filepath.Base(vmx), filepath.Ext(vmx))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var own []string
	for _, disk := range disks(config, folder) {
		// A snapshot's disk is the parent of the one that is attached.
		for path := disk.Path; path != "" && filepath.Dir(path) == folder; {
			own = append(own, filepath.Base(path))
			head, err := ReadDictionary(path)
			if err != nil {
				break
			}
			parent := head.Get("parentFileNameHint")
			if parent == "" {
				break
			}
			path = within(folder, parent)
		}
	}
	files := []string{vmx}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), lockSuffix)
		switch extension := filepath.Ext(name); {
		case filepath.Join(folder, entry.Name()) == vmx:
			continue
		case slices.Contains(own, name), name == filepath.Base(vmx):
		case strings.HasPrefix(name, base) && slices.Contains([]string{".vmsd", ".vmxf", ".nvram", ".vmss", ".vmsn", ".vmem"}, extension):
		case strings.HasPrefix(name, "vmware") && extension == ".log":
		default:
			continue
		}
		files = append(files, filepath.Join(folder, entry.Name()))
	}
	return files, nil
}
