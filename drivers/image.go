package drivers

import (
	"context"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ErrImageUnknown says that the instance has no image of that ID.
var ErrImageUnknown = errors.New("no such image")

// ErrImageInUse says that an environment, or one that is being made, needs the
// image: it is removed when none does any more.
var ErrImageInUse = errors.New("image is in use")

// ErrImageForeign says that an admin put the image where it is: it is used, and
// only they remove it.
var ErrImageForeign = errors.New("image was put there by an admin")

// ImageHolder is a driver that keeps images of environments on this machine. Of
// nodes that could run an application equally well, one that has its image is
// chosen, and then one that an ImageManager says is fetching it.
type ImageHolder interface {
	// Cached reports whether everything that the definition's environment is
	// made from is at hand, so that nothing has to be downloaded. It is asked
	// at every vote, and so must answer from memory; to be wrong costs time only.
	Cached(def model.LabelDefinition) bool
}

// ImageManager is a driver whose images an admin can see, fetch and remove.
type ImageManager interface {
	ImageHolder

	// Coming reports whether what Cached lacks is on its way: whatever is not at
	// hand is being fetched, and something new of it came within the last minute.
	// What an earlier attempt that failed had brought is not new, so that a
	// download which stands still, or fails each time at the same place, draws no
	// application to this node. It is asked as Cached is, and right after it.
	Coming(def model.LabelDefinition) bool

	// ListImages names what is on this machine for the instance, and what is on
	// its way, sorted by ID. Instances that share a cache name the same ones.
	ListImages(ctx context.Context) ([]ImageStatus, error)

	// PullImages returns when everything that the definition's environment is
	// made from is at hand. A download is shared with all who want the same and
	// goes on when ctx ends, which ends this wait only. The node calls it before
	// Allocate where Cached says no, and counts allocate_timeout from its return:
	// a download that stands still is for the driver to end.
	PullImages(ctx context.Context, def model.LabelDefinition) error

	// RemoveImage removes an image by its ID. Its error is ErrImageUnknown,
	// ErrImageInUse or ErrImageForeign where it is one of these; one that is on
	// its way is in use.
	RemoveImage(ctx context.Context, id string) error
}

// ImageState is how far an image has come.
type ImageState string

// The states of an image.
const (
	ImageReady       ImageState = "ready"
	ImageDownloading ImageState = "downloading"
	ImageUnpacking   ImageState = "unpacking"
	// ImageFailed: its last fetch failed, for the reason of ImageStatus.Error.
	ImageFailed ImageState = "failed"
)

// ImageStatus is what there is to say about one image of an instance.
type ImageStatus struct {
	// ID names it within the instance, for good: a folder's name, or an engine's
	// own name of the image.
	ID            string
	Name, Version string
	// Source is where it comes from, without anything secret; empty for one that
	// an admin put there.
	Source string
	State  ImageState
	// Done and Total are bytes of the download; Total is 0 while nobody knows.
	Done, Total int64
	// Size is the bytes it takes on disk; 0 while it is on its way.
	Size int64
	// UsedAt is when an environment was last made from it; zero: never.
	UsedAt time.Time
	InUse  bool
	Error  string // why it failed, for the user
}
