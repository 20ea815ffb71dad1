package aws

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// image makes an image of the machine, and encrypts it anew where the label has
// a key: by a copy, as EC2 does it no other way. The first image stays until the
// copy is whole.
func (r *taskRun) image(ctx context.Context) (any, error) {
	if r.rec.Image == "" && r.rec.made() == "" {
		if r.machine.Hibernates {
			r.log.Warn("an image of a machine that may hibernate may not be reached when it is started", "identifier", r.machine.ID)
		}
		if err := r.create(ctx, "make an image", r.makeImage); err != nil {
			return nil, err
		}
	}
	if r.rec.made() == "" {
		if _, err := r.awaitImage(ctx, r.rec.Image); err != nil {
			return nil, err
		}
		if err := r.copy(ctx); err != nil {
			return nil, err
		}
	}
	made, err := r.awaitImage(ctx, r.rec.made())
	if err != nil {
		return nil, err
	}
	result := imageResult{Image: madeImage{ID: made.ID, Name: made.Name, Snapshots: []string{}}, Images: []string{made.ID}, When: r.req.When}
	for _, disk := range made.Disks {
		if disk.SnapshotID != "" {
			result.Image.Snapshots = append(result.Image.Snapshots, disk.SnapshotID)
		}
	}
	slices.Sort(result.Image.Snapshots)
	result.Snapshots = result.Image.Snapshots
	if err := r.commit(ctx, append([]string{made.ID}, result.Image.Snapshots...)); err != nil {
		return nil, err
	}
	r.dropStep(ctx)
	return result, nil
}

// dropStep removes the image that was encrypted anew.
func (r *taskRun) dropStep(ctx context.Context) {
	if r.rec.KeyID == "" || r.rec.Image == "" {
		return
	}
	if err := absent(r.api.DeregisterImage(ctx, r.rec.Image)); err != nil {
		r.log.Warn("an image that is not needed any more is not removed yet; it is swept when its lease is over",
			"image", r.rec.Image, "lease", r.rec.lease(), "error", err)
	}
}

func (r *taskRun) makeImage(ctx context.Context) (err error) {
	r.rec.Image, err = r.api.CreateImage(ctx, cloud.ImageRequest{
		InstanceID: r.rec.Machine, Name: r.rec.firstName(), Description: r.description(), Omit: r.rec.Omit, Tags: r.rec.Tags,
	})
	return err
}

// findImages looks for the task's images. Their names tell which is which.
func (r *taskRun) findImages(ctx context.Context) (found bool, err error) {
	list, err := r.api.Images(ctx, self(), r.mine())
	if err != nil {
		return false, err
	}
	for _, i := range list {
		switch i.Name {
		case r.rec.firstName():
			r.rec.Image = i.ID
		case r.rec.Name:
			r.rec.Copy = i.ID
		}
	}
	return r.rec.Image != "" || r.rec.Copy != "", nil
}

// copy asks for the copy with the key. It has a client token, so that it may be
// asked for as often as it takes.
func (r *taskRun) copy(ctx context.Context) error {
	request := cloud.ImageCopy{
		ClientToken: r.rec.copyToken(), SourceID: r.rec.Image, Name: r.rec.Name, Description: r.description(), KeyID: r.rec.KeyID, Tags: r.rec.Tags,
	}
	return r.until(ctx, "encrypt the image anew", func() (bool, string, error) {
		if time.Now().After(r.rec.Deadline) {
			return false, "not begun", nil
		}
		id, err := r.api.CopyImage(ctx, request)
		switch {
		case err == nil:
			r.rec.Copy = id
			return true, "", r.save()
		case duplicate(err), cloud.IsKind(err, cloud.Mismatch): // an earlier one, of a record that is lost
			if _, e := r.findImages(ctx); e != nil || r.rec.Copy == "" {
				return false, err.Error(), e
			}
			return true, "", r.save()
		case !cloud.Undone(err):
			return false, err.Error(), nil
		}
		return false, err.Error(), refusal("encrypt the image anew", err)
	})
}

// awaitImage waits until an image is available.
func (r *taskRun) awaitImage(ctx context.Context, id string) (made cloud.Image, err error) {
	missing := absence{}
	err = r.until(ctx, "wait for image "+id, func() (bool, string, error) {
		asked := time.Now()
		list, err := r.api.Images(ctx, self(), cloud.Where("image-id", id))
		if err != nil {
			return false, "", err
		}
		if missing.lasts(len(list) > 0, asked) {
			return false, "", failure("image %s is gone: somebody removed it", id)
		}
		if len(list) == 0 {
			return false, "not listed", nil
		}
		switch made = list[0]; made.State {
		case cloud.ImageAvailable:
			return true, "", nil
		case cloud.ImagePending, "transient", "":
			return false, made.State, nil
		}
		return false, "", failure("image %s is %s: %s", id, made.State, cmp.Or(made.Reason, "EC2 does not say why"))
	})
	return made, err
}
