package engine

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxWindow bounds the memory that unpacking a snapshot may take; ours need 8 MB.
const maxWindow = 128 << 20

// snapshotResult is what `snapshot` answers: a disk as a disk's `clone` names
// it, a file system as a label's image names it.
type snapshotResult struct {
	Snapshots []string     `json:"snapshots"`
	When      model.Status `json:"when"`
}

// snapshot keeps the disks of an environment and, if full, its file system as
// an image of the engine.
func (i *Images) snapshot(ctx context.Context, t task) (any, error) {
	if len(t.Disks) == 0 && !t.opts.Full {
		return nil, final("the environment has no disks: set the option full to keep its file system")
	}
	result := snapshotResult{Snapshots: []string{}, When: t.When}
	for _, disk := range slices.Sorted(maps.Keys(t.Disks)) {
		if err := i.keepDisk(ctx, t, disk); err != nil {
			return nil, err
		}
		result.Snapshots = append(result.Snapshots, t.UID.String()+"/"+disk)
	}
	if t.opts.Full {
		name := snapshotsRepo + ":" + t.UID.String()
		if err := i.keepFileSystem(ctx, t, name); err != nil {
			return nil, err
		}
		result.Snapshots = append(result.Snapshots, name)
	}
	return result, nil
}

// keepFileSystem makes an image of the engine out of the container's file system,
// unless a process did that was killed then. It is loaded from what the commit is
// as an archive, because an engine keeps in a commit the container's own variables.
func (i *Images) keepFileSystem(ctx context.Context, t task, name string) (err error) {
	if _, found, err := i.inspectImage(ctx, name); found || err != nil {
		return err
	}
	image, err := i.export(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.discard()) }()
	size, err := image.length(name)
	if err != nil {
		return fmt.Errorf("read the saved image: %w", err)
	}
	if err := i.roomFor(ctx, size); err != nil {
		return fmt.Errorf("keep file system: %w", err)
	}
	f := &flight{status: drivers.ImageStatus{Source: name}, logged: time.Now()}
	err = i.send(ctx, f, size, func(w io.Writer) error {
		return image.write(w, name, func(_ *tar.Header, body io.Reader) io.Reader { return body })
	})
	if err != nil {
		return fmt.Errorf("keep file system: %w", explainEngine(err))
	}
	return nil
}

// diskFile is the file of a disk's snapshot in the folder of its task.
func diskFile(disk string) string { return "disk_" + escape(disk) + ".tar.zst" }

// keepDisk has the engine read a disk: it may do so where the node may not, and
// where the engine is on another machine. What is written meanwhile may be in
// it half: a task with `when` DEALLOCATE finds a quiet disk sooner.
func (i *Images) keepDisk(ctx context.Context, t task, disk string) error {
	ctx, alive, stop := i.watched(ctx)
	defer stop()
	file := t.half(diskFile(disk))
	_, err := i.compress(file, func(w io.Writer) error {
		got, err := i.cli.CopyFromContainer(ctx, t.Container, client.CopyFromContainerOptions{SourcePath: path.Clean(t.Disks[disk]) + "/."})
		if errdefs.IsNotFound(err) {
			return final("disk %s is gone with its container", disk)
		}
		if err != nil {
			return err
		}
		defer got.Content.Close()
		return copyTar(w, &counted{Reader: got.Content, note: func(int64) { alive() }})
	})
	if err != nil {
		return fmt.Errorf("keep disk %s: %w", disk, causeOf(ctx, err))
	}
	return durable.Rename(file, strings.TrimSuffix(file, halfSuffix))
}

// copyTar copies a tar and fails if it has no end: that is how an engine says
// that it could not read on.
func copyTar(w io.Writer, r io.Reader) error {
	const end = 2 * 512 // of zeros, like files may hold too: so all is read
	from := &counted{Reader: io.TeeReader(r, w), note: func(int64) {}}
	for t := tar.NewReader(from); ; {
		before := from.n
		_, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && from.n-before < end:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			_, err := io.Copy(io.Discard, from)
			return err
		case err != nil:
			return err
		}
		if _, err := io.Copy(io.Discard, t); err != nil {
			return err
		}
	}
}

// CheckClone says whether a disk's clone is written as the task `snapshot`
// answers it. It asks nobody.
func (i *Images) CheckClone(clone string) error {
	_, err := i.cloneFile(clone)
	return err
}

func (i *Images) cloneFile(clone string) (string, error) {
	uid, disk, ok := strings.Cut(clone, "/")
	if !ok || disk == "" || !isUID(uid) {
		return "", fmt.Errorf("clone %q: want one of the `snapshots` that the task snapshot answered, such as 018f.../data", clone)
	}
	return filepath.Join(i.opts.TasksPath, uid, diskFile(disk)), nil
}

// isUID reports whether the text is a UID as we write it: the name of a task's folder.
func isUID(text string) bool {
	uid, err := uuid.Parse(text)
	return err == nil && uid.String() == text
}

// FillDisk unpacks a snapshot into a mount of a container that was made and not
// started.
func (i *Images) FillDisk(ctx context.Context, clone, containerID, mountPath string) error {
	name, err := i.cloneFile(clone)
	if err != nil {
		return err
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clone %s: there is no such snapshot on this node", clone)
	}
	if err != nil {
		return fmt.Errorf("clone %s: %w", clone, err)
	}
	defer file.Close()
	z, err := zstd.NewReader(bufio.NewReader(file), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return fmt.Errorf("clone %s: %w", clone, err)
	}
	defer z.Close()
	if err := i.fill(ctx, z, containerID, mountPath); err != nil {
		return fmt.Errorf("clone %s: %w", clone, err)
	}
	return nil
}

// fill streams a snapshot to the engine. It goes through a pipe as the client may
// still read its source when the call has returned, and this one ends with it.
func (i *Images) fill(ctx context.Context, z *zstd.Decoder, containerID, mountPath string) error {
	ctx, alive, stop := i.watched(ctx)
	defer stop()
	read, write := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		_, err := z.WriteTo(write)
		_ = write.CloseWithError(err)
		unpacked <- err
	}()
	_, err := i.cli.CopyToContainer(ctx, containerID, client.CopyToContainerOptions{
		DestinationPath: mountPath, Content: &counted{Reader: read, note: func(int64) { alive() }},
	})
	_ = read.CloseWithError(errUnread)
	broken := <-unpacked
	switch {
	case err == nil:
		return nil
	case broken != nil && !errors.Is(broken, errUnread): // the client takes it for a connection that failed
		return fmt.Errorf("read the snapshot, which is damaged: %w", broken)
	}
	return causeOf(ctx, err)
}
