package farm

import (
	"archive/tar"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

//go:embed testdata
var testdata embed.FS

// BeforeCluster names the home of a node that ran alone, stopped before its
// database knew anything of other nodes.
const BeforeCluster = "before-cluster"

// maxKeptFile bounds one file of a kept home, in bytes: they are small.
const maxKeptFile = 64 << 20

// Kept is the home of a node that another version of the binary left, and what
// that binary said of it. testdata/README.md tells how one is made.
type Kept struct {
	Made     time.Time `json:"made"`
	NodeUID  string    `json:"node_uid"`
	NodeName string    `json:"node_name"`
	// Config is what the node ran with: its drivers are so slow that nothing
	// goes on by itself, and nothing is ever too old.
	Config string `json:"config"`
	// Quick replaces Config to have everything go on.
	Quick     string            `json:"quick"`
	Passwords map[string]string `json:"passwords"` // by the user's name, admin included
	// Applications are those that are not over, and one of each ending, by
	// what they are there for: "new", "elected", "allocated"...
	Applications map[string]string `json:"applications"`
	// Answers are what the API said of everything before the node stopped.
	Answers []KeptAnswer `json:"answers"`
}

// KeptAnswer is one GET and its answer.
type KeptAnswer struct {
	User string `json:"user"`
	Path string `json:"path"`
	Body string `json:"body"`
}

// Unpack lays the files of a kept home into an empty folder, as the node's
// working directory.
func Unpack(t testing.TB, name, dir string) Kept {
	t.Helper()
	kept, err := unpack(name, dir)
	if err != nil {
		t.Fatalf("unpack kept home %s: %v", name, err)
	}
	return kept
}

func unpack(name, dir string) (Kept, error) {
	text, err := testdata.ReadFile(path.Join("testdata", name, "kept.json"))
	if err != nil {
		return Kept{}, err
	}
	var kept Kept
	if err := json.Unmarshal(text, &kept); err != nil {
		return Kept{}, err
	}
	f, err := testdata.Open(path.Join("testdata", name, "home.tar.gz"))
	if err != nil {
		return Kept{}, err
	}
	defer func() { _ = f.Close() }() // only read
	return kept, unpackAll(f, dir)
}

func unpackAll(packed io.Reader, dir string) error {
	unzipped, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	archive := tar.NewReader(unzipped)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = unpackOne(h, archive, dir)
		}
		if err != nil {
			return err
		}
	}
}

func unpackOne(h *tar.Header, from io.Reader, dir string) error {
	if !filepath.IsLocal(h.Name) {
		return fmt.Errorf("%q leaves the folder", h.Name)
	}
	to, mode := filepath.Join(dir, h.Name), h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(to, mode)
	case tar.TypeSymlink: // the test driver's markers, which point nowhere
		return os.Symlink(h.Linkname, to)
	case tar.TypeReg:
		b, err := io.ReadAll(io.LimitReader(from, maxKeptFile))
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, mode)
	}
	return fmt.Errorf("%q is of type %c", h.Name, h.Typeflag)
}

// pack writes a folder as a kept home's archive: times and owners are left out.
func pack(dir string, into io.Writer) error {
	zipped, err := gzip.NewWriterLevel(into, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		name, nameErr := filepath.Rel(dir, file)
		if err = errors.Join(err, nameErr); err != nil || name == "." {
			return err
		}
		return packOne(archive, file, filepath.ToSlash(name), d)
	})
	return errors.Join(err, archive.Close(), zipped.Close())
}

func packOne(archive *tar.Writer, file, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm())}
	switch {
	case d.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return archive.WriteHeader(h)
	case d.Type()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(file); err != nil {
			return err
		}
		return archive.WriteHeader(h)
	case strings.HasSuffix(name, ".yaml"): // written anew by who runs it
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(b))
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	_, err = archive.Write(b)
	return err
}
