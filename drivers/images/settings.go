package images

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// maxSize bounds images_max_size: more is no number of bytes.
const maxSize = 1 << 62

// Settings are the keys of an instance's cfg that are about images and where
// they are (contract 29). A driver's settings embed them.
type Settings struct {
	ImagesPath    string `yaml:"images_path"`
	WorkspacePath string `yaml:"workspace_path"`

	DownloadUser     string          `yaml:"download_user"`
	DownloadPassword yamlconf.Secret `yaml:"download_password"`
	ImagesFileRoots  []string        `yaml:"images_file_roots"`
	ImagesMirrors    []Mirror        `yaml:"images_mirrors"`
	ImagesRequireSum string          `yaml:"images_require_sum"`
	// ImagesMaxSize is what the cache keeps of images that nobody uses; 0 is all.
	ImagesMaxSize yamlconf.Size `yaml:"images_max_size"`
}

// Complete makes the paths absolute, and says what is wrong in what types can
// not say. It looks at no disk: one that hangs would hold up the whole config.
func (s *Settings) Complete(doc *yamlconf.Document) error {
	errs := []error{s.checkFolders(doc)}
	if s.ImagesMaxSize > maxSize {
		errs = append(errs, doc.Problem("images_max_size", "got %d bytes, want at most 4EB, or 0 for no limit", s.ImagesMaxSize))
	}
	if sum := strings.ToLower(s.ImagesRequireSum); sum != "" && sum != "sha256" {
		errs = append(errs, doc.Problem("images_require_sum", "got %q, want sha256 or nothing", s.ImagesRequireSum))
	}
	for i, m := range s.ImagesMirrors {
		if m.From == "" || len(m.To) == 0 {
			errs = append(errs, doc.Problem("images_mirrors", "entry %d: want `from`, a URL prefix, and `to`, a list of them", i))
		}
	}
	return errors.Join(errs...)
}

// checkFolders keeps the folders apart: what is not the cache's own in the one
// is an admin's image, and an environment may write to the other.
func (s *Settings) checkFolders(doc *yamlconf.Document) error {
	for _, p := range []struct {
		key  string
		path *string
	}{{"workspace_path", &s.WorkspacePath}, {"images_path", &s.ImagesPath}} {
		if *p.path == "" {
			return doc.Problem(p.key, "got nothing, want a folder")
		}
		var err error
		if *p.path, err = filepath.Abs(*p.path); err != nil {
			return doc.Problem(p.key, "%v", err)
		}
	}
	var where string
	switch {
	case s.ImagesPath == s.WorkspacePath:
		where = "the same folder as workspace_path"
	case isBelow(s.ImagesPath, s.WorkspacePath):
		where = "inside of workspace_path, " + s.WorkspacePath
	case isBelow(s.WorkspacePath, s.ImagesPath):
		where = "a folder around workspace_path, " + s.WorkspacePath
	default:
		return nil
	}
	key := "images_path"
	if doc.Line(key) == 0 {
		key = "workspace_path" // it was set, and the other is the default
	}
	return doc.Problem(key, "images_path is %s, which is %s: images and environments would be taken for each other; "+
		"set two folders of which none is in the other, such as /srv/fish/images and /srv/fish/workspace (images may be moved there, or are downloaded again)", s.ImagesPath, where)
}

// isBelow reports whether an absolute path is inside of a folder.
func isBelow(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// ImageOptions are the options of a cache with these settings.
func (s *Settings) ImageOptions(log *slog.Logger) Options {
	return Options{
		Path: s.ImagesPath, User: s.DownloadUser, Password: string(s.DownloadPassword), FileRoots: s.ImagesFileRoots,
		Mirrors: s.ImagesMirrors, RequireSum: s.ImagesRequireSum, Logger: log,
		MaxSize: int64(s.ImagesMaxSize), //nolint:gosec // checked to be at most maxSize
	}
}
