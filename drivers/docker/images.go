package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// imageStore is the images of the engine. The last image of a list is what runs.
type imageStore interface {
	// Check says what is wrong with a list, from memory.
	Check(list []images.Image) error
	// Ensure returns the engine's own ID of the image that runs. Until release it
	// is not removed.
	Ensure(ctx context.Context, list []images.Image) (id string, release func(), err error)
	// Forget takes back what Ensure knew of an ID: the engine has it no more.
	Forget(id string)
}

// localImages are those that the engine has.
type localImages struct{ engine *client.Client }

func (localImages) Check(list []images.Image) error {
	if len(list) == 0 {
		return errors.New("got none, want at least the image that runs")
	}
	last := list[len(list)-1]
	if last.URL != "" || last.Name == "" || last.Version == "" {
		return errors.New("want a name and a version, and no url: only images that the engine has can be run yet")
	}
	return nil
}

func (l localImages) Ensure(ctx context.Context, list []images.Image) (id string, release func(), err error) {
	last := list[len(list)-1]
	image, err := l.engine.ImageInspect(ctx, last.Name+":"+last.Version)
	if err != nil {
		return "", nil, fmt.Errorf("look for image %s:%s: %w", last.Name, last.Version, err)
	}
	return image.ID, func() {}, nil
}

func (localImages) Forget(string) {}
