package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// resultFile, in a task's folder, says that the task is done, and how.
	resultFile = "result.json"
	// halfSuffix is of files that are not whole yet.
	halfSuffix = ".half"
	// abandoned is when nobody comes back to a task that is not done: far more
	// than a task is tried for.
	abandoned = 24 * time.Hour
)

// TaskRequest is one task to run with a container.
type TaskRequest struct {
	UID       model.UID
	Task      string
	When      model.Status
	Options   json.RawMessage
	Container string // its full ID in the engine
	// Disks are the mount points of the environment's disks, by their names in
	// the definition.
	Disks map[string]string
	// Images are the definition's: the last one gives a made image its name.
	Images []images.Image
}

// taskOptions are the options of both tasks.
type taskOptions struct {
	// Full has `snapshot` keep the container's file system too, not the disks alone.
	Full bool `json:"full"`
	// Name and Version are of what `image` makes.
	Name    string `json:"name"`
	Version string `json:"version"`
}

// finalError ends a task: the same would be wrong with it the next time.
type finalError struct{ reason string }

func (e *finalError) Error() string { return e.reason }

func final(format string, args ...any) error { return &finalError{fmt.Sprintf(format, args...)} }

// RunTask runs `snapshot` or `image`. A task that was done answers what it
// answered then; one that was cut short begins again, and keeps nothing half.
func (i *Images) RunTask(ctx context.Context, req TaskRequest) (json.RawMessage, error) {
	run := map[string]func(context.Context, task) (any, error){"snapshot": i.snapshot, "image": i.image}[req.Task]
	t := task{TaskRequest: req, folder: filepath.Join(i.opts.TasksPath, req.UID.String())}
	if run == nil {
		return nil, drivers.ErrTaskUnknown
	}
	if len(req.Options) > 0 && json.Unmarshal(req.Options, &t.opts) != nil {
		return nil, drivers.ErrTaskUnknown
	}
	done, err := i.turns.Take(ctx, t.folder)
	if err != nil {
		return nil, err
	}
	defer done()
	i.sweepTasks(ctx)
	if result, err := os.ReadFile(filepath.Join(t.folder, resultFile)); !errors.Is(err, fs.ErrNotExist) {
		return result, err
	}
	result, err := i.runIn(ctx, t, run)
	var wrong *finalError
	if errors.As(err, &wrong) {
		return model.TaskError(wrong.reason), nil
	}
	return result, err
}

// task is a request with its folder, read.
type task struct {
	TaskRequest
	opts   taskOptions
	folder string
}

// half is where a file of the task is written before it is whole.
func (t task) half(name string) string { return filepath.Join(t.folder, name+halfSuffix) }

// runIn runs the task in an empty folder of its own, and leaves none without a
// result: what is half takes room, which may be what was lacking.
func (i *Images) runIn(ctx context.Context, t task, run func(context.Context, task) (any, error)) (_ json.RawMessage, err error) {
	if err := os.RemoveAll(t.folder); err != nil {
		return nil, fmt.Errorf("remove what was left of the task: %w", err)
	}
	if err := os.MkdirAll(t.folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the task: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(t.folder))
		}
	}()
	made, err := run(ctx, t)
	if err != nil {
		return nil, err
	}
	result, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(t.folder, resultFile), result, 0o600); err != nil {
		return nil, fmt.Errorf("write down the task's result: %w", err)
	}
	if t.Task == "image" || t.opts.Full { // what was asked for is made of it
		i.dropTaskImage(ctx, taskImage(t.UID))
	}
	i.dropUnnamed(ctx, t.UID)
	return result, nil
}

func taskImage(uid model.UID) string { return tasksRepo + ":" + uid.String() }

// dropTaskImage removes what `image` needed in the engine. What can not be
// removed now is by a later sweep.
func (i *Images) dropTaskImage(ctx context.Context, name string) {
	if err := i.untag(ctx, name); err != nil {
		i.log.Warn("image of a task can not be removed yet", "image", name, "error", err)
	}
}

// sweepTasks removes what tasks left to which nobody came back.
func (i *Images) sweepTasks(ctx context.Context) {
	entries, err := os.ReadDir(i.opts.TasksPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.log.Warn("folder of tasks can not be read", "error", err)
	}
	for _, e := range entries {
		folder := filepath.Join(i.opts.TasksPath, e.Name())
		if !isUID(e.Name()) || !leftAlone(folder) {
			continue
		}
		if err := os.RemoveAll(folder); err != nil {
			i.log.Warn("folder of a task can not be removed", "error", err)
		}
	}
	i.sweepMarks()
	call, cancel := i.call(ctx)
	defer cancel()
	list, err := i.cli.ImageList(call, client.ImageListOptions{})
	if err != nil {
		return // the task itself says what is wrong with the engine
	}
	for _, s := range list.Items {
		for _, tag := range s.RepoTags {
			if strings.HasPrefix(tag, tasksRepo+":") && time.Since(time.Unix(s.Created, 0)) > abandoned {
				i.dropTaskImage(ctx, tag)
			}
		}
	}
}

// leftAlone reports whether a folder has no result and was not written to for long.
func leftAlone(folder string) bool {
	if _, err := os.Stat(filepath.Join(folder, resultFile)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	names := []string{folder}
	for _, e := range entries {
		names = append(names, filepath.Join(folder, e.Name()))
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err != nil || time.Since(info.ModTime()) < abandoned
	})
}

// imageResult is what `image` answers.
type imageResult struct {
	Images  []string     `json:"images"` // URLs, for a label's images
	Name    string       `json:"name"`
	Size    int64        `json:"size"`
	Sum     string       `json:"sum"`
	Version string       `json:"version"`
	When    model.Status `json:"when"`
}

// image makes an archive out of the container's file system, as labels name
// them (contract 30). Disks are no part of it.
func (i *Images) image(ctx context.Context, t task) (_ any, err error) {
	name, version, err := t.nameVersion()
	if err != nil {
		return nil, err
	}
	image, err := i.export(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, image.discard()) }()
	file := filepath.Join(t.folder, name+"-"+version+".tar.zst")
	packed, err := i.pack(ctx, image, taskImage(t.UID), t.half("archive"), name+"-"+version+"/"+name+".tar")
	if err != nil {
		return nil, err
	}
	if err := durable.Rename(t.half("archive"), file); err != nil {
		return nil, fmt.Errorf("name the archive: %w", err)
	}
	source := fileURL(file)
	i.log.Info("image of an environment is made", "image", source, "sum", packed.sum, "bytes", packed.size)
	return imageResult{Images: []string{source}, Name: name, Size: packed.size, Sum: packed.sum, Version: version, When: t.When}, nil
}

// export commits the container, and returns what came of it without what is the
// container's own. Whoever has it discards it.
func (i *Images) export(ctx context.Context, t task) (*clean, error) {
	if err := i.commit(ctx, t, taskImage(t.UID)); err != nil {
		return nil, err
	}
	saved, err := i.save(ctx, taskImage(t.UID), t.half("saved.tar"))
	if err != nil {
		return nil, err
	}
	image, err := saved.clean()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the saved image: %w", err), saved.file.Close())
	}
	return image, nil
}

// fileURL names a file as labels do.
func fileURL(file string) string {
	file = filepath.ToSlash(file)
	if !strings.HasPrefix(file, "/") {
		file = "/" + file // a drive of Windows
	}
	return (&url.URL{Scheme: "file", Path: file}).String()
}

// nameVersion is what the made image is called: by the options, else as the one
// it came from, in a version of its own.
func (t task) nameVersion() (name, version string, err error) {
	name, version = t.opts.Name, t.opts.Version
	if name == "" && len(t.Images) > 0 {
		last := t.Images[len(t.Images)-1]
		if name = last.Name; last.URL != "" {
			name, _, _ = last.NameVersion()
		} else if ref, err := reference.ParseNormalizedNamed(last.Name); err == nil {
			name = path.Base(ref.Name())
		}
	}
	if version == "" {
		text := t.UID.String()
		version = text[len(text)-12:] // its beginning is that of all UIDs of a node
	}
	if err := (images.Image{URL: "file:///-", Name: name, Version: version}).Validate(); err != nil {
		return "", "", final("options name and version: %v", err)
	}
	return name, version, nil
}
