package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// What the node keeps is for its own user: the database has password hashes,
// access keys and other people's metadata. Older versions made it 0640 in
// folders of 0750, and a copy by hand has the mode of whoever made it.

// tightenFiles takes away what others may do with the node's files, and warns
// of each that it changed. A file that it can not change is told too: the node
// works all the same.
func tightenFiles(cfg *config.Config, folder string, log *slog.Logger) {
	if runtime.GOOS == "windows" {
		return // modes mean nothing there
	}
	tighten(cfg.Directory, passable(cfg.Directory), log)
	tighten(folder, 0o700, log)
	for _, path := range secretFiles(cfg, folder) {
		tighten(path, 0o600, log)
	}
}

// passable is the widest mode of the node's directory: others still pass
// through where the working directory, and with it the default workspace of
// environments, is below it or is it.
func passable(directory string) fs.FileMode {
	top, err := filepath.Abs(directory)
	if err != nil {
		return 0o700
	}
	below, err := os.Getwd()
	if err != nil {
		return 0o700
	}
	if rel, err := filepath.Rel(top, below); err == nil && filepath.IsLocal(rel) {
		return 0o711
	}
	return 0o700
}

// secretFiles are the keys, the database with its log, and every copy of it.
func secretFiles(cfg *config.Config, folder string) []string {
	ca := strings.TrimSuffix(cfg.TLSCACrt, filepath.Ext(cfg.TLSCACrt))
	files := []string{ca + ".key", ca + "-next.key", ca + ".key.old", cfg.TLSKey, cfg.SSHKey} // the middle two of a rotation
	entries, _ := os.ReadDir(folder)                                                          // one that is not there yet has nothing to tighten
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "sqlite.db") && e.Type().IsRegular() {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	return files
}

// tighten takes every right away that is beyond the widest mode.
func tighten(path string, widest fs.FileMode, log *slog.Logger) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		log.Warn("mode of a file can not be read", "path", path, "error", err)
		return
	}
	was := info.Mode().Perm()
	if was&^widest&0o077 == 0 {
		return
	}
	now := was & (widest | 0o700)
	if err := os.Chmod(path, now); err != nil {
		log.Warn("others can read a file that holds secrets, and the node can not change its mode: give it to the node's user",
			"path", path, "mode", was.String(), "error", err)
		return
	}
	log.Warn("mode of a file was too wide and has been tightened", "path", path, "was", was.String(), "mode", now.String())
}
