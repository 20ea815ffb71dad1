package images

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxRedirects is as many as browsers follow, more or less.
const maxRedirects = 10

// errSource is what a source does wrong and will do wrong again.
type errSource struct{ error }

func (e errSource) Unwrap() error { return e.error }

// archive is an image's archive, checked and open.
type archive struct {
	file *os.File
	sums map[string]string
	info os.FileInfo // of a file that belongs to others; nil for our own download
}

// unchanged says whether a file of others is still the one that was checked.
func (a archive) unchanged() error {
	if a.info == nil {
		return nil
	}
	now, err := a.file.Stat()
	if err != nil {
		return err
	}
	if now.Size() != a.info.Size() || !now.ModTime().Equal(a.info.ModTime()) {
		return errors.New("file was changed while it was unpacked")
	}
	return nil
}

// obtain gets the archive from the first source that has it right.
func (c *Cache) obtain(ctx context.Context, p parsed, see *progress) (archive, error) {
	if a, ok := c.downloaded(ctx, p, see); ok {
		return a, nil
	}
	var errs []string
	var last error
	sources := c.sources(p.url)
	for _, u := range sources {
		a, err := c.from(ctx, p, u, see)
		if err == nil {
			return a, nil
		}
		if why := context.Cause(ctx); why != nil {
			return archive{}, why
		}
		if errors.Is(err, errDiskFull) || diskFull(err) || len(sources) == 1 {
			return archive{}, err
		}
		see.failed(err)
		c.logger.Warn("image source does not serve", "source", shown(u), "error", err)
		errs, last = append(errs, shown(u)+": "+err.Error()), err
	}
	err := fmt.Errorf("no source serves it: %s", strings.Join(errs, "; "))
	if !resumable(last) {
		err = errSource{err}
	}
	return archive{}, err
}

// sources are the mirrors of the URL in their order, then the URL itself.
func (c *Cache) sources(u *url.URL) []*url.URL {
	var found []*url.URL
	for _, m := range c.opts.Mirrors {
		rest, ok := strings.CutPrefix(u.String(), m.From)
		if !ok || !strings.HasSuffix(m.From, "/") && rest != "" && rest[0] != '/' && rest[0] != '?' {
			continue // "https://host" is no prefix of "https://host.evil"
		}
		for _, to := range m.To {
			if mirror, err := url.Parse(to + rest); err == nil {
				found = append(found, mirror)
			}
		}
	}
	return append(found, u)
}

func (c *Cache) from(ctx context.Context, p parsed, u *url.URL, see *progress) (archive, error) {
	if u.Scheme == "file" {
		return c.openFile(ctx, p, filepath.FromSlash(u.Path), see)
	}
	return c.download(ctx, p, u, see)
}

// openFile opens a file below one of the allowed roots, out of which no link
// leads.
func (c *Cache) openFile(ctx context.Context, p parsed, path string, see *progress) (archive, error) {
	for _, root := range c.opts.FileRoots {
		if !below([]string{root}, path) {
			continue
		}
		a, err := openBelow(root, path)
		if err != nil {
			return archive{}, errSource{fmt.Errorf("open file: %w", err)}
		}
		size := a.info.Size()
		if err := c.admit(ctx, see, 0, size); err != nil {
			return archive{}, errors.Join(err, a.file.Close())
		}
		see.sized(size, size)
		if a.sums, err = digest(ctx, see.checking(a.file), []sum{p.sum}); err == nil {
			err = match(a.sums, p.sum, "sum")
		}
		if err != nil {
			return archive{}, errors.Join(err, a.file.Close())
		}
		return a, nil
	}
	return archive{}, errSource{errors.New("the file is not below any of images_file_roots")}
}

func openBelow(root, path string) (archive, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return archive{}, err
	}
	defer dir.Close()
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return archive{}, err
	}
	info, err := dir.Stat(rel)
	if err != nil {
		return archive{}, err
	}
	if !info.Mode().IsRegular() { // opening a FIFO would wait for ever
		return archive{}, errors.New("not a regular file")
	}
	f, err := dir.Open(rel)
	return archive{file: f, info: info}, err
}

// match compares a computed digest with one that was stated.
func match(got map[string]string, want sum, stated string) error {
	if want.algo == "" || got[want.algo] == want.hex {
		return nil
	}
	return errSource{fmt.Errorf("%s does not match: it states %s, the archive has %s:%s", stated, want, want.algo, got[want.algo])}
}

// downloaded returns the archive that an earlier process had complete. Only a
// sum can tell.
func (c *Cache) downloaded(ctx context.Context, p parsed, see *progress) (archive, bool) {
	path := c.work(p.key(), ".part")
	info, err := os.Stat(path)
	if p.sum.algo == "" || err != nil || info.Size() == 0 {
		return archive{}, false
	}
	f, err := os.Open(path)
	if err != nil {
		return archive{}, false
	}
	sums, err := digest(ctx, see.checking(f), []sum{p.sum})
	if err != nil || match(sums, p.sum, "sum") != nil {
		see.unchecked()
		_ = f.Close()
		return archive{}, false
	}
	see.sized(info.Size(), info.Size())
	return archive{file: f, sums: sums}, true
}

// authorize adds the credentials, over https only.
func (c *Cache) authorize(req *http.Request) {
	if req.URL.Scheme == "https" && c.opts.User != "" {
		req.SetBasicAuth(c.opts.User, c.opts.Password)
	}
}

// redirect keeps the credentials with the host that they are for: the standard
// client would hand them to its subdomains, and on to http.
func (c *Cache) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errSource{fmt.Errorf("more than %d redirects", maxRedirects)}
	}
	req.Header.Del("Authorization")
	if req.URL.User != nil {
		return errSource{errors.New("redirect to a url with a user")}
	}
	if first := via[0].URL; first.Scheme == "https" && first.Host == req.URL.Host {
		c.authorize(req)
	}
	return nil
}

// resumable says whether the same download may go on later from where it is.
func resumable(err error) bool {
	var source errSource
	return !errors.As(err, &source) && !errors.Is(err, errDiskFull) && !diskFull(err) && !errors.Is(err, errArchive)
}

// backoff is the wait before the next attempt after so many in vain.
func backoff(first time.Duration, failed int) time.Duration {
	return min(first<<min(failed, 16), time.Minute)
}
