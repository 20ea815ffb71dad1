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
)

// clean is what an engine saved of a commit, without what it notes in it of the
// container: its variables, which are metadata and maybe secret, its labels and
// its name. It stands in the configuration and, for engines before 1.10, beside
// each layer.
type clean struct {
	saved  *saved
	config []byte
	layers map[string]bool
}

func (s *saved) clean() (*clean, error) {
	raw, err := s.member(s.manifest.Config)
	if err != nil {
		return nil, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("its configuration can not be read: %w", err)
	}
	delete(all, "container")
	delete(all, "container_config")
	c := &clean{saved: s, layers: map[string]bool{}}
	if c.config, err = json.Marshal(all); err != nil {
		return nil, err
	}
	for _, layer := range s.manifest.Layers {
		c.layers[path.Clean(layer)] = true
	}
	return c, nil
}

// discard closes and removes the file of what was saved.
func (c *clean) discard() error {
	return errors.Join(c.saved.file.Close(), os.Remove(c.saved.file.Name()))
}

// content gives what is written of a layer that the archive has as body.
type content func(h *tar.Header, body io.Reader) io.Reader

// length is how much write writes. No layer is read for that.
func (c *clean) length(name string) (int64, error) {
	var n tally
	err := c.write(&n, name, func(h *tar.Header, _ io.Reader) io.Reader { return io.LimitReader(zeros{}, h.Size) })
	return int64(n), err
}

// write writes the image under a name. It fails if a layer is missing.
func (c *clean) write(w io.Writer, name string, of content) error {
	image := c.saved.manifest
	sum := sha256.Sum256(c.config)
	image.Config, image.RepoTags = hex.EncodeToString(sum[:])+".json", []string{name}
	manifest, err := json.Marshal([]savedImage{image})
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for _, m := range []struct {
		name string
		text []byte
	}{{manifestFile, manifest}, {image.Config, c.config}} {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Mode: 0o644, Size: int64(len(m.text)), Format: tar.FormatPAX}
		if err := writeMember(out, h, bytes.NewReader(m.text)); err != nil {
			return err
		}
	}
	found := map[string]bool{}
	err = c.saved.each(func(h *tar.Header, body io.Reader) error {
		if !c.layers[h.Name] {
			return nil
		}
		found[h.Name] = true
		return writeMember(out, h, of(h, body))
	})
	if err != nil {
		return err
	}
	for layer := range c.layers {
		if !found[layer] {
			return fmt.Errorf("its layer %q is not there", layer)
		}
	}
	return out.Close()
}

// tally counts what is written to it.
type tally int64

func (t *tally) Write(p []byte) (int, error) {
	*t += tally(len(p))
	return len(p), nil
}

// zeros is a reader of them.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
