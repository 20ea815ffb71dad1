package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// taskLabel is on what tasks commit: the task's UID. Images that are built on
// one inherit it, so it only tells together with commentOf.
const taskLabel = "aquarium.fish.task"

func commentOf(uid string) string { return "task " + uid }

// commit keeps the container's file system as an image of the engine under the
// name, unless it did before. The engine lets the container stand still for it,
// and gives it back as it was: suspended, if it was.
func (i *Images) commit(ctx context.Context, t task, name string) error {
	now, done, err := i.still(ctx, t.Container)
	if err != nil {
		return err
	}
	defer done()
	// Also one whose asker was killed gave the image its name before it ended.
	if _, found, err := i.inspectImage(ctx, name); found || err != nil {
		return err
	}
	if now == nil {
		return errContainerGone
	}
	config, err := i.committed(ctx, t.Container, t.UID)
	if err != nil {
		return err
	}
	pauses := now.Running && !now.Paused
	if pauses {
		if err := i.mark(t.Container); err != nil {
			return err
		}
	}
	err = i.commitAs(ctx, t, client.ContainerCommitOptions{
		Reference: name, Comment: commentOf(t.UID.String()), Author: i.opts.Node + " " + i.opts.Instance, Config: config, NoPause: !pauses,
	})
	if err == nil && pauses {
		err = i.resume(ctx, t.Container)
	}
	return err
}

// errContainerGone ends a task: there is nothing that it could be done with.
var errContainerGone = final("the container is gone")

func (i *Images) commitAs(ctx context.Context, t task, opts client.ContainerCommitOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, i.opts.Limits.Task, fmt.Errorf("the engine did not commit within %v", i.opts.Limits.Task))
	defer cancel()
	_, err := i.cli.ContainerCommit(ctx, t.Container, opts)
	switch {
	case errdefs.IsNotFound(err):
		return errContainerGone
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("commit container: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("commit container: %w", explainEngine(err))
	}
	return nil
}

// committed is the configuration of an image made from the container: that of
// the image the container was made from. The engine adds what the container
// has besides, environment and labels: metadata that may be secret, and labels
// by which the driver would take for its own whatever runs of the image. The
// engine can not be told to leave them out, only that they are empty.
func (i *Images) committed(ctx context.Context, id string, task model.UID) (*container.Config, error) {
	ctx, cancel := i.call(ctx)
	defer cancel()
	c, err := i.cli.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil, errContainerGone
	}
	if err != nil {
		return nil, fmt.Errorf("inspect container: %w", causeOf(ctx, err))
	}
	base, err := i.cli.ImageInspect(ctx, c.Container.Image)
	if err != nil {
		return nil, fmt.Errorf("inspect the container's image: %w", causeOf(ctx, err))
	}
	config := &container.Config{Labels: map[string]string{}}
	if b := base.Config; b != nil {
		config.User, config.WorkingDir, config.StopSignal = b.User, b.WorkingDir, b.StopSignal
		config.Env, config.Entrypoint, config.Cmd = b.Env, b.Entrypoint, b.Cmd
		for key, value := range b.Labels {
			config.Labels[key] = value
		}
	}
	config.Labels[taskLabel] = task.String()
	if c.Container.Config == nil {
		return config, nil
	}
	config.Env = append(config.Env, emptied(config.Env, c.Container.Config.Env)...)
	for key := range c.Container.Config.Labels {
		if _, ok := config.Labels[key]; !ok {
			config.Labels[key] = ""
		}
	}
	return config, nil
}

// emptied are the variables of all that base has not, without their values.
func emptied(base, all []string) (empty []string) {
	has := map[string]bool{}
	for _, variable := range base {
		key, _, _ := strings.Cut(variable, "=")
		has[key] = true
	}
	for _, variable := range all {
		if key, _, _ := strings.Cut(variable, "="); !has[key] {
			has[key] = true
			empty = append(empty, key+"=")
		}
	}
	return empty
}

// dropUnnamed removes what tasks committed and lost the name of: an engine
// commits on when who asked for it was killed, and the name goes to the last. Of
// the given task, which is done, all go; of others those that nobody comes back to.
func (i *Images) dropUnnamed(ctx context.Context, uid model.UID) {
	call, cancel := i.call(ctx)
	defer cancel()
	list, err := i.cli.ImageList(call, client.ImageListOptions{Filters: make(client.Filters).Add("dangling", "true").Add("label", taskLabel)})
	if err != nil {
		return // the next task looks again
	}
	for _, s := range list.Items {
		of := s.Labels[taskLabel]
		if of != uid.String() && time.Since(time.Unix(s.Created, 0)) < abandoned {
			continue
		}
		got, err := i.cli.ImageInspect(call, s.ID)
		if err != nil || got.Comment != commentOf(of) || len(got.RepoTags)+len(got.RepoDigests) != 0 {
			continue
		}
		i.dropTaskImage(ctx, s.ID)
	}
}
