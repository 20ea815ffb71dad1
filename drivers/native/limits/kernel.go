package limits

import (
	"errors"
	"os"
)

// kernel is what the kernel does with the folders and files of cgroups that an
// ordinary file system does not, so that tests can use recorded trees.
type kernel interface {
	mkdir(path string) error
	rmdir(path string) error
	write(path, value string) error // one value into an existing file
	writable(path string) error     // may an existing file be written?
	kill(pid int) error             // no error if it is gone
}

// realKernel is the one of this machine.
type realKernel struct{}

func (realKernel) mkdir(path string) error { return os.Mkdir(path, 0o755) } //nolint:gosec // as all groups: no secrets in them

func (realKernel) rmdir(path string) error { return os.Remove(path) }

func (realKernel) write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

func (realKernel) writable(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func (realKernel) kill(pid int) error { return killProcess(pid) }
