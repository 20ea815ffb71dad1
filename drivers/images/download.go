package images

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

var errStalled = errors.New("the server sends nothing")

// download is one archive on its way from one source into its .part file.
type download struct {
	c         *Cache
	p         parsed
	see       *progress
	url       *url.URL
	file      *os.File
	size      int64  // bytes in file
	best      int64  // the most that size ever was: what counts as progress
	validator string // for If-Range: what the bytes in file are of; "" if unknown
	pieced    bool   // file was put together from several answers
	stated    []sum  // by the server, of the whole
	wait      time.Duration
}

// download gets the archive from one http source, with as many attempts as
// make progress.
func (c *Cache) download(ctx context.Context, p parsed, u *url.URL, see *progress) (archive, error) {
	file, err := os.OpenFile(c.work(p.key(), ".part"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return archive{}, fmt.Errorf("open download: %w", err)
	}
	d := &download{c: c, p: p, see: see, url: u, file: file}
	sums, err := d.run(ctx)
	if err != nil {
		return archive{}, errors.Join(err, file.Close())
	}
	return archive{file: file, sums: sums}, nil
}

func (d *download) run(ctx context.Context) (map[string]string, error) {
	if err := d.begin(); err != nil {
		return nil, err
	}
	for failed := 0; ; {
		d.wait = backoff(d.c.opts.Limits.Backoff, failed)
		err := d.attempt(ctx)
		if err == nil {
			sums, wrong := d.verify(ctx)
			if wrong == nil {
				return sums, nil
			}
			pieced := d.pieced
			if err := d.restart(); err != nil { // nor may the next source build on these bytes
				return nil, err
			}
			if !pieced {
				return nil, wrong
			}
			// Bytes of two archives, or of a crash: once more, whole from one answer.
			err = fmt.Errorf("put together from parts: %s", wrong.Error())
		}
		if why := context.Cause(ctx); why != nil {
			return nil, why
		}
		if failed++; d.size > d.best {
			d.best, failed = d.size, 1
		}
		if !resumable(err) || failed >= d.c.opts.Limits.Attempts {
			return nil, err
		}
		d.see.failed(err)
		d.c.logger.Info("download broke off, it goes on", "source", shown(d.url), "bytes", d.size, "error", err)
		if err := pause(ctx, d.wait); err != nil {
			return nil, err
		}
	}
}

// begin keeps what an earlier attempt left, if a sum will tell whether it was
// of this archive.
func (d *download) begin() error {
	if d.p.sum.algo == "" {
		return d.restart()
	}
	size, err := d.file.Seek(0, io.SeekEnd)
	d.size, d.best, d.pieced = size, size, size > 0 // a mismatch then costs one attempt
	return err
}

func (d *download) restart() error {
	d.size, d.validator, d.pieced, d.stated = 0, "", false, nil
	if err := d.file.Truncate(0); err != nil {
		return fmt.Errorf("start download over: %w", err)
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// verify compares the whole file with the image's sum and the server's.
func (d *download) verify(ctx context.Context) (map[string]string, error) {
	want := append([]sum{d.p.sum}, d.stated...)
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if d.p.sum.algo == "" {
		want = want[1:]
	}
	got, err := digest(ctx, d.see.checking(d.file), want)
	if err != nil {
		return nil, fmt.Errorf("read download: %w", err)
	}
	if err := match(got, d.p.sum, "sum"); err != nil {
		return nil, err
	}
	for _, s := range d.stated {
		if err := match(got, s, "the server's X-Checksum"); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// attempt asks once for what is missing and takes what comes.
func (d *download) attempt(ctx context.Context) error {
	stall := d.c.opts.Limits.Stall
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%w for %v", errStalled, stall)) })
	defer watch.Stop()

	req, err := d.request(ctx)
	if err != nil {
		return err
	}
	resp, err := d.c.client.Do(req)
	if err != nil {
		return plain(ctx, err)
	}
	defer resp.Body.Close()
	total, whole, err := d.accept(ctx, resp)
	if err != nil || whole {
		return err
	}
	if err := d.take(ctx, &alive{resp.Body, watch, stall}); err != nil {
		return err
	}
	if total >= 0 && d.size != total {
		return fmt.Errorf("got %d bytes of %d: %w", d.size, total, io.ErrUnexpectedEOF)
	}
	return nil
}

func (d *download) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return nil, errSource{errors.New("url can not be asked for")}
	}
	req.Header.Set("User-Agent", "aquarium-fish")
	req.Header.Set("Accept-Encoding", "identity") // the sum is of the bytes as they are stored
	if d.size > 0 && d.p.sum.algo == "" && d.validator == "" {
		if err := d.restart(); err != nil { // nothing would tell a resumed download from a mixed one
			return nil, err
		}
	}
	if d.size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.size))
		if d.validator != "" {
			req.Header.Set("If-Range", d.validator)
		}
	}
	d.c.authorize(req)
	return req, nil
}

// accept reads the answer's head and makes the file ready for its body. It
// returns the size of the whole archive, -1 if unknown, and whether all of it
// is there already.
func (d *download) accept(ctx context.Context, resp *http.Response) (total int64, whole bool, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		total, err = resp.ContentLength, d.restart()
	case http.StatusPartialContent:
		total, err = d.continued(resp)
	case http.StatusRequestedRangeNotSatisfiable:
		_, total = contentRange(resp.Header)
		if total == d.size && d.size > 0 {
			return total, true, nil
		}
		return -1, false, errors.Join(d.restart(), errors.New("the server's file is shorter than what was downloaded"))
	default:
		return -1, false, d.refused(resp)
	}
	if err != nil {
		return -1, false, err
	}
	d.validator = validator(resp.Header)
	d.stated = headerSums(resp.Header)
	for _, s := range d.stated {
		if s.algo == d.p.sum.algo && s != d.p.sum {
			return -1, false, errSource{fmt.Errorf("sum does not match: the image states %s, the server %s", d.p.sum, s)}
		}
	}
	return total, false, d.fits(ctx, total)
}

// continued checks that a partial answer goes on where the file ends.
func (d *download) continued(resp *http.Response) (total int64, err error) {
	start, total := contentRange(resp.Header)
	now := validator(resp.Header)
	if d.size == 0 || start != d.size || d.validator != "" && now != "" && now != d.validator {
		return -1, errors.Join(d.restart(), errors.New("the server sent another range than asked for"))
	}
	d.pieced = true
	return total, nil
}

// fits says whether the archive may be this large and has room.
func (d *download) fits(ctx context.Context, total int64) error {
	if most := d.c.opts.Limits.MaxArchive; total > most {
		return errSource{fmt.Errorf("archive has %d bytes, at most %d are allowed", total, most)}
	}
	if err := d.c.admit(ctx, d.see, max(total-d.size, 0), max(total, 0)); err != nil {
		return err
	}
	d.see.sized(d.size, total)
	return nil
}

// take appends the body to the file.
func (d *download) take(ctx context.Context, body io.Reader) error {
	l := d.c.opts.Limits
	most, key := l.MaxArchive, ""
	if size := d.c.opts.MaxSize; size > 0 && size < most { // nobody need have said how much comes
		most, key = size, " of images_max_size"
	}
	g := &guard{
		ctx: ctx, w: d.file, max: most - d.size, minFree: l.MinFree,
		free: func() (int64, error) { return d.c.roomOrEvict(ctx, d.c.opts.Path) },
		over: errSource{fmt.Errorf("archive has more than the allowed %d bytes%s", most, key)},
	}
	had := d.size
	g.wrote = func(n int64) { had += n; d.see.got(had) }
	n, err := io.CopyBuffer(g, body, make([]byte, 256<<10))
	d.size += n
	return plain(ctx, err)
}

// refused turns a status into what to do about it.
func (d *download) refused(resp *http.Response) error {
	err := fmt.Errorf("server answers %s", resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized && d.url.Scheme == "http" && d.c.opts.User != "":
		return errSource{fmt.Errorf("%w: download_user is sent over https only, change the url", err)}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return errSource{fmt.Errorf("%w: check download_user and download_password", err)}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if s, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && s > 0 {
			d.wait = min(time.Duration(s)*time.Second, time.Minute)
		}
		return err
	}
	return errSource{err}
}

// plain takes the URL, which may hold a signature, out of an error of the http
// client, and says why the attempt was ended if it was by us.
func plain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if why := context.Cause(ctx); why != nil {
		return why
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return errSource{err}
	}
	return err
}

// validator is what names the very bytes of an answer: a strong ETag, else the
// time of the last change.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes 10-99/100" and "bytes */100"; what is not stated is -1.
func contentRange(h http.Header) (start, total int64) {
	start, total = -1, -1
	span, size, _ := strings.Cut(strings.TrimPrefix(h.Get("Content-Range"), "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	if n, err := strconv.ParseInt(first, 10, 64); err == nil {
		start = n
	}
	if n, err := strconv.ParseInt(size, 10, 64); err == nil {
		total = n
	}
	return start, total
}

// alive is a body that keeps its watch from ending the attempt.
type alive struct {
	io.Reader
	watch *time.Timer
	stall time.Duration
}

func (a *alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.watch.Reset(a.stall)
	}
	return n, err
}
