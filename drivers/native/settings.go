package native

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/machine"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// The kinds of isolation between environments and from the node.
const (
	isolationUser    = "user"    // a system user of its own for each environment
	isolationProcess = "process" // the node's own user: for builds that are trusted
)

// defaultLogSize bounds what is kept of an environment's output: enough to see
// why a build's start failed, small against a build.
const defaultLogSize = 10 << 20

// settings is an instance's cfg: the keys of contract 29, then ours.
type settings struct {
	// Where the system's tools are; each is looked up in PATH by default.
	ShPath    string `yaml:"sh_path"`   // the login shell that runs the entry
	SudoPath  string `yaml:"sudo_path"` // these four if the node is not root
	ChownPath string `yaml:"chown_path"`
	RmPath    string `yaml:"rm_path"`
	KillPath  string `yaml:"kill_path"`
	// Users and disks.
	UseraddPath     string `yaml:"useradd_path"`
	UserdelPath     string `yaml:"userdel_path"`
	GroupdelPath    string `yaml:"groupdel_path"`
	BusyboxPath     string `yaml:"busybox_path"`
	MountPath       string `yaml:"mount_path"`
	UmountPath      string `yaml:"umount_path"`
	PsPath          string `yaml:"ps_path"`
	DsclPath        string `yaml:"dscl_path"` // these three on macOS
	DseditgroupPath string `yaml:"dseditgroup_path"`
	HdiutilPath     string `yaml:"hdiutil_path"`
	SuPath          string `yaml:"su_path"` // only for what an old version left
	// Known to configs of the original and of no effect here: archives are
	// unpacked by the driver, and homes are made by it.
	TarPath           string `yaml:"tar_path"`
	ChmodPath         string `yaml:"chmod_path"`
	KillallPath       string `yaml:"killall_path"`
	MdutilPath        string `yaml:"mdutil_path"`
	CreatehomedirPath string `yaml:"createhomedir_path"`

	machine.Share
	images.Settings

	// Isolation is "user" unless the config says otherwise in so many words.
	Isolation string `yaml:"isolation"`
	// LogSize bounds the kept output of one environment.
	LogSize yamlconf.Size `yaml:"log_size"`
	// CACrtPath is the CA certificate that environments get a copy of.
	// Default: ca.crt in the node's directory.
	CACrtPath string `yaml:"ca_crt_path"`
}

// readSettings reads an instance's cfg. Warnings are about unknown keys.
func readSettings(cfg []byte, directory string) (settings, []yamlconf.Problem, error) {
	s := settings{
		Settings:  images.Settings{ImagesPath: "fish_native_images", WorkspacePath: "fish_native_workspace"},
		Isolation: isolationUser, LogSize: defaultLogSize,
	}
	doc, err := yamlconf.Parse(cfg)
	if err != nil {
		return settings{}, nil, err
	}
	if err := doc.Decode(&s); err != nil {
		return settings{}, nil, err
	}
	if err := errors.Join(s.Complete(doc), s.check(doc)); err != nil {
		return settings{}, nil, err
	}
	s.CACrtPath = cmp.Or(s.CACrtPath, filepath.Join(directory, "ca.crt"))
	s.ShPath = cmp.Or(s.ShPath, "/bin/sh")
	if s.CACrtPath, err = filepath.Abs(s.CACrtPath); err != nil {
		return settings{}, nil, err
	}
	if s.Isolation == isolationUser && closed(directory, s.WorkspacePath) {
		return settings{}, nil, doc.Problem("workspace_path", "%s is inside of the node's directory %s, which the node keeps closed to other users, "+
			"so no environment could enter its home: set a folder outside of it, or isolation: %s", s.WorkspacePath, directory, isolationProcess)
	}
	return s, doc.Warnings(), nil
}

// closed reports whether other users can not enter path because it is in the
// node's directory. That has the mode 0700; others may pass only where the
// working directory is in it too.
func closed(directory, path string) bool {
	top, err1 := filepath.Abs(directory)
	work, err2 := os.Getwd()
	if err1 != nil || err2 != nil {
		return false // whether it can be entered is tried before anything is made
	}
	inside := func(path string) bool {
		rel, err := filepath.Rel(top, path)
		return err == nil && filepath.IsLocal(rel)
	}
	return inside(path) && !inside(work)
}

// check is about what types can not say.
func (s *settings) check(doc *yamlconf.Document) error {
	var errs []error
	if s.Isolation != isolationUser && s.Isolation != isolationProcess {
		errs = append(errs, doc.Problem("isolation", "got %q, want %s or %s", s.Isolation, isolationUser, isolationProcess))
	}
	if s.LogSize < 4096 || s.LogSize > 1<<40 {
		errs = append(errs, doc.Problem("log_size", "got %d bytes, want 4KB to 1TB", s.LogSize))
	}
	return errors.Join(errs...)
}

// accountTools are the tools for users whose places the config names.
func (s *settings) accountTools() map[string]string {
	paths := map[string]string{
		"sudo": s.SudoPath, "sh": s.ShPath, "ps": s.PsPath, "useradd": s.UseraddPath, "userdel": s.UserdelPath,
		"groupdel": s.GroupdelPath, "busybox": s.BusyboxPath, "dscl": s.DsclPath, "dseditgroup": s.DseditgroupPath,
	}
	maps.DeleteFunc(paths, func(_, path string) bool { return path == "" })
	return paths
}
