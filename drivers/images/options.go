package images

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// Options say where the images are kept and how they are got.
type Options struct {
	Path string // images_path: the folder of the cache; made if it is missing
	// User and Password are download_user and download_password. They go over
	// https only, to the host that the image or mirror names.
	User, Password string
	// FileRoots are the absolute folders below which file:// URLs may point;
	// none allows no such URL.
	FileRoots []string
	Mirrors   []Mirror
	// RequireSum refuses images without a sum at least this strong: "" (none),
	// "sha256" or "sha512".
	RequireSum string
	// MaxSize is images_max_size: how many bytes the cache may keep. Images that
	// nobody uses are evicted beyond it, the least recently used first; those of
	// an admin count for nothing. 0 is no limit.
	MaxSize int64
	// Owner says on whose behalf images have holders, such as a node and its
	// instance; only for who passes a holder to Use.
	Owner  string
	Logger *slog.Logger
	// Client is copied, apart from its redirect policy; nil is one with the
	// timeouts of Limits.
	Client *http.Client
	Limits Limits
}

// Mirror says where else to find what begins with a URL prefix. The mirrors
// are tried in order, and the image's own URL last.
type Mirror struct {
	From string   `yaml:"from" json:"from"`
	To   []string `yaml:"to" json:"to"`
}

// Limits bound one image, so that a broken server or archive costs only that
// image. Zero fields take the default of DefaultLimits.
type Limits struct {
	MaxArchive int64         // bytes of the archive
	MaxBytes   int64         // bytes of all its files, unpacked
	MaxEntries int           // files, folders and links in it
	MinFree    int64         // bytes that stay free on the cache's disk, for the node's own database
	Stall      time.Duration // without one byte, or without an answer: the attempt ends
	Total      time.Duration // one image in all, against servers that drip
	Attempts   int           // of one source, in a row, without one new byte
	Backoff    time.Duration // before the second attempt; doubles up to a minute
}

// DefaultLimits are wide enough for images of whole machines, which are the
// largest known.
func DefaultLimits() Limits {
	return Limits{
		MaxArchive: 256 << 30,
		MaxBytes:   512 << 30,
		MaxEntries: 4_000_000,
		MinFree:    1 << 30,
		Stall:      time.Minute,
		Total:      12 * time.Hour,
		Attempts:   6,
		Backoff:    time.Second,
	}
}

// withDefaults fills the fields that are zero.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ field, def *int64 }{
		{&l.MaxArchive, &d.MaxArchive}, {&l.MaxBytes, &d.MaxBytes}, {&l.MinFree, &d.MinFree},
		{(*int64)(&l.Stall), (*int64)(&d.Stall)}, {(*int64)(&l.Total), (*int64)(&d.Total)},
		{(*int64)(&l.Backoff), (*int64)(&d.Backoff)},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	if l.MaxEntries == 0 {
		l.MaxEntries = d.MaxEntries
	}
	if l.Attempts == 0 {
		l.Attempts = d.Attempts
	}
	return l
}

func (o *Options) validate() error {
	switch {
	case o.Path == "":
		return errors.New("images_path is empty: name the folder for the images")
	case o.Logger == nil:
		return errors.New("images have no logger")
	case o.MaxSize < 0:
		return fmt.Errorf("images_max_size %d: want a size, or 0 for no limit", o.MaxSize)
	case o.RequireSum != "" && o.RequireSum != "sha256" && o.RequireSum != "sha512":
		return fmt.Errorf("images_require_sum %q: want sha256, sha512 or nothing", o.RequireSum)
	}
	for _, root := range o.FileRoots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("images_file_roots %q: want an absolute path", root)
		}
	}
	for i, m := range o.Mirrors {
		if err := m.validate(); err != nil { // without the URL, which may hold a password
			return fmt.Errorf("images_mirrors: entry %d: %w", i, err)
		}
	}
	return nil
}

func (m Mirror) validate() error {
	if _, err := parseURL(m.From); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	for i, prefix := range m.To {
		if _, err := parseURL(prefix); err != nil {
			return fmt.Errorf("to %d: %w", i, err)
		}
	}
	return nil
}

// newClient is the http client of a cache: no timeout in all, because archives
// are large, but one on every step.
func newClient(stall time.Duration) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: stall,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   2,
		ForceAttemptHTTP2:     true,
	}}
}
