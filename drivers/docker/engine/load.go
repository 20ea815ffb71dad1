package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// load gets an image's archive and has the engine load it under our claim. The
// claim comes with the image, in one step: no kill leaves one without the other.
func (i *Images) load(ctx context.Context, f *flight, w wanted) (known, error) {
	laid, unused, err := i.cache.Use(ctx, w.image, images.Holder{})
	if err != nil {
		return known{}, err
	}
	defer unused() // the engine has it then
	i.mu.Lock()
	f.shown = true // until here the cache showed it
	i.mu.Unlock()
	file := laid.Archive()
	if file == "" {
		return known{}, fmt.Errorf("image %s: folder %s holds no %s.tar: want the output of `docker save` there", w.source(), laid.Folder, laid.Name)
	}
	archive, err := openSaved(file, w.name, w.version)
	if err != nil {
		return known{}, fmt.Errorf("image %s: %w", w.source(), err)
	}
	defer archive.file.Close()
	// Where the engine names images by their configuration it may have it already.
	if got, found, err := i.inspectImage(ctx, archive.config); err != nil {
		return known{}, err
	} else if found && slices.ContainsFunc(got.RepoTags, func(tag string) bool { return strings.HasPrefix(tag, loadedRepo+":") }) {
		return i.claimed(ctx, got.ID, w) // another label brought it: the use of each counts
	} else if found {
		return known{id: got.ID}, nil
	}
	// The engine may have some of its layers: it is refused too soon rather than too late.
	if err := i.roomFor(ctx, archive.size()); err != nil {
		return known{}, fmt.Errorf("load image %s into the engine: %w", w.source(), err)
	}
	i.log.Info("image is loaded into the engine", "image", w.source(), "bytes", archive.size())
	if err := i.send(ctx, f, archive.size(), func(to io.Writer) error { return archive.writeAs(to, w.claim) }); err != nil {
		return known{}, fmt.Errorf("load image %s into the engine: %w", w.source(), explainEngine(err))
	}
	got, found, err := i.inspectImage(ctx, w.claim)
	if err != nil {
		return known{}, err
	}
	if !found {
		return known{}, fmt.Errorf("load image %s into the engine: it took the archive and has no image of it", w.source())
	}
	return i.claimed(ctx, got.ID, w)
}

// claimed puts our claim on an image, which also notes that it is used now.
func (i *Images) claimed(ctx context.Context, id string, w wanted) (known, error) {
	ctx, cancel := i.call(ctx)
	defer cancel()
	if _, err := i.cli.ImageTag(ctx, client.ImageTagOptions{Source: id, Target: w.claim}); err != nil {
		return known{}, fmt.Errorf("claim image %s: %w", w.source(), causeOf(ctx, err))
	}
	return known{id: id, claim: w.claim, touched: time.Now()}, nil
}

// send streams an archive to the engine and waits for its last word.
func (i *Images) send(ctx context.Context, f *flight, total int64, archive func(io.Writer) error) error {
	ctx, alive, stop := i.watched(ctx)
	defer stop()
	read, write := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := archive(write)
		_ = write.CloseWithError(err)
		written <- err
	}()
	body := &counted{Reader: read, note: func(n int64) {
		alive()
		i.report(f, drivers.ImageUnpacking, min(n, total), total)
		i.reach(f, min(n, total))
	}}
	steps := steps{}
	err := i.loadFrom(ctx, body, func(m jsonstream.Message) {
		alive()
		i.reach(f, total+steps.add(m)) // it has read most of it then
	})
	_ = read.CloseWithError(errUnread)
	if werr := <-written; werr != nil && !errors.Is(werr, errUnread) {
		return fmt.Errorf("read archive: %w", werr) // the engine only says that its input broke off
	}
	return causeOf(ctx, err)
}

// errUnread ends the writer of an archive that the engine reads no further.
var errUnread = errors.New("the engine reads no further")

func (i *Images) loadFrom(ctx context.Context, body io.Reader, told func(jsonstream.Message)) error {
	resp, err := i.cli.ImageLoad(ctx, body, client.ImageLoadWithQuiet(false))
	if err != nil {
		return err
	}
	defer resp.Close()
	for dec := json.NewDecoder(resp); ; {
		var m jsonstream.Message
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the engine's answer: %w", err)
		case m.Error != nil:
			return m.Error
		}
		told(m)
	}
}

// counted tells how much of it was read.
type counted struct {
	io.Reader
	n    int64
	note func(n int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	c.note(c.n)
	return n, err
}

// explainEngine says what to do about what went wrong in the engine itself.
func explainEngine(err error) error {
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, context.Canceled):
		return err
	case strings.Contains(err.Error(), "no space left on device"):
		return errors.New("the engine's disk is full: remove images there, or set images_max_size (" + bounded(err.Error()) + ")")
	}
	return instead(err, errors.New(bounded(err.Error())))
}

// Away is an error of a call that the engine was not there for: it broke off, or
// had no answer in its time.
type Away struct{ Err error }

// Error implements error.
func (a Away) Error() string { return a.Err.Error() }

// Unwrap is for errors.Is.
func (a Away) Unwrap() error { return a.Err }

// instead returns what to show in place of err, which keeps of it only whether
// the engine was there.
func instead(err, shown error) error {
	if client.IsErrConnectionFailed(err) || errors.As(err, new(Away)) {
		return Away{shown}
	}
	return shown
}

// maxReason bounds what an engine or a registry may say in an error of ours.
const maxReason = 500

func bounded(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason], "") + "..."
}
