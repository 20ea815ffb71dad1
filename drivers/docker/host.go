package docker

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// checkAddress says what is wrong with the address of an engine.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("can not be read; want unix:///path, tcp://host:port or npipe:////./pipe/name")
	}
	switch {
	case u.User != nil && u.Scheme != "ssh": // which no engine wants, and logs would show
		return fmt.Errorf("got %.80q, want it without a user: who may speak to an engine, TLS or the rights of its socket say", u.Redacted())
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
	case u.Scheme == "npipe" && u.Path != "":
	case u.Scheme == "tcp" && u.Hostname() != "" && u.Port() != "":
	case u.Scheme == "ssh":
		return errors.New("ssh:// is not spoken; forward the engine's socket with `ssh -L` and name that one as unix:///path")
	default:
		return fmt.Errorf("got %.80q, want unix:///path, tcp://host:port or npipe:////./pipe/name", u.Redacted())
	}
	return nil
}

// usualSockets are where engines listen by default, those for all users first.
func usualSockets(goos, home string, getenv func(string) string) []string {
	if goos == "windows" {
		return []string{"npipe:////./pipe/docker_engine", "npipe:////./pipe/dockerDesktopLinuxEngine"}
	}
	list := []string{"/var/run/docker.sock"}
	if runtimeDir := getenv("XDG_RUNTIME_DIR"); runtimeDir != "" {
		list = append(list, filepath.Join(runtimeDir, "docker.sock")) // rootless
	}
	if home != "" {
		list = append(list, filepath.Join(home, ".docker", "run", "docker.sock"), filepath.Join(home, ".docker", "desktop", "docker.sock"))
		if goos == "darwin" {
			list = append(list, filepath.Join(home, ".orbstack", "run", "docker.sock"), filepath.Join(home, ".colima", "default", "docker.sock"))
		}
	}
	for i, path := range list {
		list[i] = "unix://" + path
	}
	return list
}

// present are the addresses whose socket is there. Pipes only show when they
// are opened.
func present(addresses []string) []string {
	var list []string
	for _, a := range addresses {
		path, isSocket := strings.CutPrefix(a, "unix://")
		if isSocket {
			if _, err := os.Stat(path); err != nil {
				continue
			}
		}
		list = append(list, a)
	}
	return list
}
