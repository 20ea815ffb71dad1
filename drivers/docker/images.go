package docker

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/docker/engine"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func (d *driver) openImages() (err error) {
	s := d.settings
	cache := s.ImageOptions(d.log)
	d.images, err = engine.New(engine.Options{
		Client: d.engine, Logger: d.log, Node: d.owner.Node, Instance: d.owner.Instance,
		Registries: s.Registries, WorkPath: s.WorkspacePath, TasksPath: s.TasksPath, Remote: s.IsRemote,
		MaxSize: cache.MaxSize, Cache: cache,
	})
	return err
}

// Cached implements drivers.ImageHolder.
func (d *driver) Cached(def model.LabelDefinition) bool {
	o, err := d.options(def)
	return err == nil && d.images.Cached(o.images)
}

// Coming implements drivers.ImageManager.
func (d *driver) Coming(def model.LabelDefinition) bool {
	o, err := d.options(def)
	return err == nil && d.images.Coming(o.images)
}

// ListImages implements drivers.ImageManager.
func (d *driver) ListImages(ctx context.Context) ([]drivers.ImageStatus, error) {
	return d.images.List(ctx)
}

// PullImages implements drivers.ImageManager. An engine that restarts meanwhile is
// waited for, as Allocate does.
func (d *driver) PullImages(ctx context.Context, def model.LabelDefinition) error {
	o, err := d.options(def)
	if err != nil {
		return err
	}
	_, release, err := d.ensure(ctx, o.images, true)
	if err == nil {
		release()
	}
	return err
}

// RemoveImage implements drivers.ImageManager.
func (d *driver) RemoveImage(ctx context.Context, id string) error { return d.images.Remove(ctx, id) }

var _ drivers.ImageManager = (*driver)(nil)
