package wire

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// snapshotItem is a snapshot in a list, and one that was just begun: the two
// call their state by other names.
type snapshotItem struct {
	ID        string       `xml:"snapshotId"`
	VolumeID  string       `xml:"volumeId,omitempty"`
	Owner     string       `xml:"ownerId,omitempty"`
	Status    string       `xml:"status,omitempty"` // in a list
	Reason    string       `xml:"statusMessage,omitempty"`
	State     string       `xml:"state,omitempty"` // of one just begun
	Started   string       `xml:"startTime,omitempty"`
	SizeGB    int          `xml:"volumeSize"`
	Encrypted bool         `xml:"encrypted"`
	Progress  string       `xml:"progress,omitempty"`
	Tags      set[tagItem] `xml:"tagSet"`
}

func lookOfSnapshot(s cloud.Snapshot) snapshotItem {
	return snapshotItem{
		ID: s.ID, VolumeID: s.VolumeID, Owner: s.Owner, Status: s.State, Reason: s.Reason, Started: stamp(s.Started),
		SizeGB: s.SizeGB, Encrypted: s.Encrypted, Progress: s.Progress, Tags: tagSet(s.Tags),
	}
}

func lookOfBegunSnapshot(s cloud.Snapshot) snapshotItem {
	item := lookOfSnapshot(s)
	item.State, item.Status, item.Reason = item.Status, "", ""
	return item
}

type snapshotsReply struct {
	head
	Snapshots set[snapshotItem] `xml:"snapshotSet"`
	NextToken string            `xml:"nextToken,omitempty"`
}

func (h *Handler) describeSnapshots(f form) run {
	owners := f.texts("Owner")
	get := list(h, f, listing[cloud.Snapshot]{
		action: "DescribeSnapshots", ids: "SnapshotId", idFilter: "snapshot-id", missing: "InvalidSnapshot.NotFound",
		idOf: func(s cloud.Snapshot) string { return s.ID },
		fetch: func(ctx context.Context, q cloud.Query) ([]cloud.Snapshot, error) {
			return h.backend.Snapshots(ctx, owners, q)
		},
	})
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &snapshotsReply{Snapshots: setOf(page, lookOfSnapshot), NextToken: next}, err
	}
}

func (h *Handler) createSnapshots(f form) run {
	of := f.group("InstanceSpecification")
	r := cloud.SnapshotsRequest{
		InstanceID:  of.required("InstanceId"),
		WithoutRoot: of.flag("ExcludeBootVolume"),
		Description: f.text("Description"),
		Tags:        f.tagsFor("snapshot"),
	}
	return func(ctx context.Context) (any, error) {
		begun, err := h.backend.CreateSnapshots(ctx, r)
		return &snapshotsReply{Snapshots: setOf(begun, lookOfBegunSnapshot)}, err
	}
}

func (h *Handler) deleteSnapshot(f form) run {
	id := f.required("SnapshotId")
	return doing(func(ctx context.Context) error { return h.backend.DeleteSnapshot(ctx, id) })
}

type volumeItem struct {
	ID          string              `xml:"volumeId"`
	Zone        string              `xml:"availabilityZone"`
	State       string              `xml:"status"`
	SizeGB      int                 `xml:"size"`
	Type        string              `xml:"volumeType,omitempty"`
	Created     string              `xml:"createTime,omitempty"`
	Attachments set[attachmentItem] `xml:"attachmentSet"`
	Tags        set[tagItem]        `xml:"tagSet"`
}

type attachmentItem struct {
	VolumeID   string `xml:"volumeId"`
	InstanceID string `xml:"instanceId"`
}

func lookOfVolume(v cloud.Volume) volumeItem {
	item := volumeItem{
		ID: v.ID, Zone: v.Zone, State: v.State, SizeGB: v.SizeGB, Type: v.Type, Created: stamp(v.Created), Tags: tagSet(v.Tags),
	}
	if v.InstanceID != "" {
		item.Attachments.Items = []attachmentItem{{v.ID, v.InstanceID}}
	}
	return item
}

func (h *Handler) describeVolumes(f form) run {
	get := list(h, f, listing[cloud.Volume]{
		action: "DescribeVolumes", ids: "VolumeId", idFilter: "volume-id", missing: "InvalidVolume.NotFound",
		idOf:  func(v cloud.Volume) string { return v.ID },
		fetch: h.backend.Volumes,
	})
	type reply struct {
		head
		Volumes   set[volumeItem] `xml:"volumeSet"`
		NextToken string          `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{Volumes: setOf(page, lookOfVolume), NextToken: next}, err
	}
}

func (h *Handler) deleteVolume(f form) run {
	id := f.required("VolumeId")
	return doing(func(ctx context.Context) error { return h.backend.DeleteVolume(ctx, id) })
}

func (h *Handler) createTags(f form) run {
	ids, tags := readIDs(f, "ResourceId"), f.tags("Tag")
	if len(tags) == 0 {
		f.required("Tag.1.Key")
	}
	return doing(func(ctx context.Context) error { return h.backend.CreateTags(ctx, ids, tags) })
}
