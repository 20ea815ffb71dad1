package vmx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
)

// smallFile is up to which size a file of an image is copied: its texts, which
// VMware writes to when it clones. What is larger is a disk or a memory, which
// it only reads from a snapshot.
const smallFile = 1 << 20

func (b build) imagePath() string { return filepath.Join(b.folder(), imageFolder) }

// layOut lays the images out beside each other, as environments of their own
// could be: what they are cloned from is written to, and an image never is.
func (b build) layOut(ctx context.Context) error {
	for _, laid := range b.laid {
		if err := copyImage(ctx, laid, b.imagePath()); err != nil {
			return fmt.Errorf("image %s-%s: %w", laid.Name, laid.Version, err)
		}
	}
	return joinChains(b.imagePath())
}

// copyImage copies the small files of an image and links the others.
func copyImage(ctx context.Context, laid images.Laid, into string) error {
	root, err := filepath.EvalSymlinks(laid.Folder)
	if err != nil {
		return err
	}
	target := filepath.Join(into, filepath.Base(laid.Folder))
	if there, err := exists(target); err != nil || there {
		return errors.Join(err, fmt.Errorf("another image of the list has a folder %q as well", filepath.Base(laid.Folder)))
	}
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, rel)
		switch name := e.Name(); {
		case e.IsDir() && strings.HasSuffix(name, ".lck"):
			return fs.SkipDir // a lock of whoever made the image
		case e.IsDir():
			return os.MkdirAll(to, 0o700)
		case strings.HasSuffix(name, ".log"):
			return nil
		}
		return copyOrLink(path, to)
	})
}

// copyOrLink gives a file of an image a second name. A hard link is better than
// a symbolic one: VMware puts its locks beside a file, and follows links first.
func copyOrLink(from, to string) error {
	file, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if info.Size() > smallFile {
		if os.Link(file, to) == nil {
			return nil
		}
		return os.Symlink(file, to) // the images are on another file system
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// joinChains lets disks find those that they build on, which may be in another
// image of the list and were elsewhere when they were made.
func joinChains(folder string) error {
	disks := map[string]string{} // by name
	var texts []string
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".vmdk" {
			return err
		}
		disks[e.Name()] = path
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() <= smallFile {
			texts = append(texts, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range texts {
		if err := joinChain(path, disks); err != nil {
			return err
		}
	}
	return nil
}

const parentHint = "parentFileNameHint"

func joinChain(path string, disks map[string]string) error {
	text, err := os.ReadFile(path)
	if err != nil || strings.ContainsRune(string(text), 0) || !strings.Contains(string(text), parentHint) {
		return err // a sparse file that happens to be small, or a disk without parent
	}
	f, err := vmxfile.Parse(text)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	parent, ok := f.Get(parentHint)
	if !ok || parent == "" {
		return nil
	}
	at := parent
	if !filepath.IsAbs(at) {
		at = filepath.Join(filepath.Dir(path), at)
	}
	if there, err := exists(at); err != nil || there {
		return err
	}
	found, ok := disks[filepath.Base(filepath.FromSlash(strings.ReplaceAll(parent, `\`, "/")))]
	if !ok {
		return fmt.Errorf("disk %s builds on %q, which is in no image of the list: name the image that it was made from before it", filepath.Base(path), parent)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), parentHint) {
			lines[i] = parentHint + `="` + found + `"` // a path as it is: VMware undoes nothing
		}
	}
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600)
}

// sourceVMX finds the machine that runs, which is that of the last image, and
// the snapshot that it is cloned from.
func sourceVMX(folder string, laid []images.Laid) (string, error) {
	if len(laid) == 0 {
		return "", errNoImages
	}
	last := laid[len(laid)-1]
	stem := filepath.Join(folder, filepath.Base(last.Folder), last.Name)
	if there, err := exists(stem + ".vmx"); err != nil || !there {
		return "", errors.Join(err, fmt.Errorf("image %s-%s holds no %s.vmx", last.Name, last.Version, last.Name))
	}
	if there, err := hasSnapshot(stem+".vmx", snapshot); err != nil || there {
		return stem + ".vmx", err
	}
	return "", fmt.Errorf("image %s-%s has no snapshot named %q: make one of it while it is off", last.Name, last.Version, snapshot)
}
