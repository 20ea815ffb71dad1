package engine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	manifestFile = "manifest.json"
	// maxManifest bounds the JSON files of an archive: they are read whole.
	maxManifest = 16 << 20
	// maxMembers bounds the files of an archive: an image has at most 127 layers,
	// with three files each in the oldest format.
	maxMembers = 10_000
)

// saved is a file made by `docker save`, read far enough to load one image of
// it under a name of ours.
type saved struct {
	file     *os.File
	manifest savedImage
	// config is the digest of the image's configuration as it is in the archive:
	// the ID of the image in an engine without containerd's image store.
	config string
}

// savedImage is an entry of manifest.json. What else there is in it is dropped.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// openSaved reads the archive's table. It is from a stranger: nothing of it
// reaches the engine but one image and the files that the engine unpacks.
func openSaved(file, name, version string) (*saved, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	s := &saved{file: f}
	if err := s.read(name, version); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is no output of `docker save`: %w", filepath.Base(file), err)
	}
	return s, nil
}

func (s *saved) read(name, version string) error {
	raw, err := s.member(manifestFile)
	if err != nil {
		return err
	}
	if raw == nil {
		return errors.New("it holds no manifest.json: save the image with Docker 1.10 or later")
	}
	var entries []savedImage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return fmt.Errorf("its manifest.json can not be read: %w", err)
	}
	if s.manifest, err = choose(entries, name, version); err != nil {
		return err
	}
	config, err := s.member(s.manifest.Config)
	if err != nil {
		return err
	}
	if config == nil {
		return fmt.Errorf("its manifest.json names the configuration %q, which is not there", s.manifest.Config)
	}
	sum := sha256.Sum256(config)
	s.config = "sha256:" + hex.EncodeToString(sum[:])
	return nil
}

// choose finds the image of a label among those of an archive.
func choose(entries []savedImage, name, version string) (savedImage, error) {
	if len(entries) == 1 {
		return entries[0], nil
	}
	var names []string
	for _, e := range entries {
		for _, tag := range e.RepoTags {
			if tag == name+":"+version || strings.HasSuffix(tag, "/"+name+":"+version) {
				return e, nil
			}
			names = append(names, tag)
		}
	}
	return savedImage{}, fmt.Errorf("it holds %d images and none is %s:%s, but %.200s", len(entries), name, version, strings.Join(names, ", "))
}

// member returns one small file, nil where there is none, and refuses an
// archive with anything that no image has.
func (s *saved) member(name string) ([]byte, error) {
	var found []byte
	err := s.each(func(h *tar.Header, body io.Reader) error {
		if h.Name != path.Clean(name) || h.Typeflag != tar.TypeReg {
			return nil
		}
		raw, err := readBounded(body)
		found = raw
		return err
	})
	return found, err
}

func readBounded(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(raw) > maxManifest {
		err = fmt.Errorf("a JSON file in it is larger than %d bytes", maxManifest)
	}
	return raw, err
}

// each hands every member to visit, with a header that holds only what an
// image needs. Bodies that visit does not read are skipped, not read.
func (s *saved) each(visit func(h *tar.Header, body io.Reader) error) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := tar.NewReader(s.file)
	seen := members{room: s.size()}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		clean, err := cleanHeader(h)
		if err != nil {
			return err
		}
		if clean == nil {
			continue
		}
		if err := seen.add(clean); err != nil {
			return err
		}
		if err := visit(clean, r); err != nil {
			return err
		}
	}
}

// members is what was seen of an archive so far.
type members struct {
	n     int
	room  int64 // bytes that more members can have
	links map[string]bool
}

// add refuses what no single header shows. Holes are written out on their way
// to the engine: a few bytes could state terabytes of them. And a file behind
// a link would be unpacked over another, such as our manifest.json.
func (m *members) add(h *tar.Header) error {
	if m.n++; m.n > maxMembers {
		return fmt.Errorf("it has more than %d files", maxMembers)
	}
	if m.room -= h.Size; m.room < 0 {
		return errors.New("its files are larger than itself: save it without holes")
	}
	for dir := path.Dir(h.Name); dir != "."; dir = path.Dir(dir) {
		if m.links[dir] {
			return fmt.Errorf("its member %q is behind its link %q", h.Name, dir)
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		if m.links == nil {
			m.links = map[string]bool{}
		}
		m.links[h.Name] = true
	}
	return nil
}

// cleanHeader refuses members that lead out of the folder into which an engine
// unpacks, and those that no image has.
func cleanHeader(h *tar.Header) (*tar.Header, error) {
	clean := &tar.Header{Typeflag: h.Typeflag, Name: path.Clean(h.Name), Mode: 0o644, Size: h.Size, ModTime: h.ModTime, Format: tar.FormatPAX}
	if !filepath.IsLocal(filepath.FromSlash(clean.Name)) {
		return nil, fmt.Errorf("its member %q leads out of it", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil, nil //nolint:nilnil // nothing to hand on, and nothing wrong
	case tar.TypeReg:
	case tar.TypeDir:
		clean.Mode = 0o755
		if clean.Name == "." {
			return nil, nil //nolint:nilnil // as above
		}
	case tar.TypeSymlink: // an old way to name a layer twice
		clean.Linkname = h.Linkname
		target := path.Join(path.Dir(clean.Name), h.Linkname)
		if path.IsAbs(h.Linkname) || !filepath.IsLocal(filepath.FromSlash(target)) {
			return nil, fmt.Errorf("its link %q leads out of it", h.Name)
		}
	default:
		return nil, fmt.Errorf("its member %q is no file, folder or link", h.Name)
	}
	return clean, nil
}

// writeAs writes the archive with the one image under the given name and no
// other. Without this, loading would take the names that the archive states
// from whatever image has them. The other tables are left out: of an archive
// that has several an engine may read any.
func (s *saved) writeAs(w io.Writer, name string) error {
	s.manifest.RepoTags = []string{name}
	raw, err := json.Marshal([]savedImage{s.manifest})
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	if err := writeMember(out, &tar.Header{Typeflag: tar.TypeReg, Name: manifestFile, Mode: 0o644, Size: int64(len(raw))}, bytes.NewReader(raw)); err != nil {
		return err
	}
	err = s.each(func(h *tar.Header, body io.Reader) error {
		switch h.Name {
		case manifestFile, "repositories", "index.json", "oci-layout":
			return nil
		}
		return writeMember(out, h, body)
	})
	if err != nil {
		return err
	}
	return out.Close()
}

func writeMember(out *tar.Writer, h *tar.Header, body io.Reader) error {
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(out, body)
	return err
}

func (s *saved) size() int64 {
	info, err := s.file.Stat()
	if err != nil {
		return 0 // only for people to see
	}
	return info.Size()
}
