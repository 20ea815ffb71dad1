package wire

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// allocateHosts allocates one host: cloud.API allocates no more in one call.
func (h *Handler) allocateHosts(f form) run {
	f.only("Quantity", "1", true)
	// AWS's documentation names both as the default, in its older and newer text.
	f.only("AutoPlacement", "off", true)
	f.only("HostRecovery", "off", false)
	f.only("HostMaintenance", "off", false)
	r := cloud.HostRequest{
		ClientToken: f.text("ClientToken"),
		Type:        f.required("InstanceType"),
		Zone:        f.required("AvailabilityZone"),
		Tags:        f.tagsFor("dedicated-host"),
	}
	type reply struct {
		head
		IDs set[string] `xml:"hostIdSet"`
	}
	return func(ctx context.Context) (any, error) {
		id, err := h.backend.AllocateHost(ctx, r)
		return &reply{IDs: set[string]{[]string{id}}}, err
	}
}

type hostItem struct {
	ID             string         `xml:"hostId"`
	Zone           string         `xml:"availabilityZone"`
	State          string         `xml:"state"`
	AllocationTime string         `xml:"allocationTime,omitempty"`
	ReleaseTime    string         `xml:"releaseTime,omitempty"`
	AutoPlacement  string         `xml:"autoPlacement"`
	Recovery       string         `xml:"hostRecovery"`
	ClientToken    string         `xml:"clientToken,omitempty"`
	Type           string         `xml:"hostProperties>instanceType"`
	Free           *set[freeItem] `xml:"availableCapacity>availableInstanceCapacity,omitempty"`
	Instances      set[guestItem] `xml:"instances"`
	Tags           set[tagItem]   `xml:"tagSet"`
}

type freeItem struct {
	Free int    `xml:"availableCapacity"`
	Type string `xml:"instanceType"`
}

type guestItem struct {
	ID   string `xml:"instanceId"`
	Type string `xml:"instanceType"`
}

func lookOfHost(h cloud.Host) hostItem {
	item := hostItem{
		ID: h.ID, Zone: h.Zone, State: h.State, AllocationTime: stamp(h.AllocationTime), ReleaseTime: stamp(h.ReleaseTime),
		AutoPlacement: "off", Recovery: "off", ClientToken: h.ClientToken, Type: h.Type, Tags: tagSet(h.Tags),
		Instances: setOf(h.Instances, func(id string) guestItem { return guestItem{id, h.Type} }),
	}
	if h.Free >= 0 {
		item.Free = &set[freeItem]{[]freeItem{{h.Free, h.Type}}}
	}
	return item
}

func (h *Handler) describeHosts(f form) run {
	get := list(h, f, listing[cloud.Host]{
		action: "DescribeHosts", ids: "HostId", idFilter: "host-id", missing: "InvalidHostID.NotFound", most: 500,
		idOf:  func(h cloud.Host) string { return h.ID },
		fetch: h.backend.Hosts,
	})
	type reply struct {
		head
		Hosts     set[hostItem] `xml:"hostSet"`
		NextToken string        `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{Hosts: setOf(page, lookOfHost), NextToken: next}, err
	}
}

func (h *Handler) releaseHosts(f form) run {
	ids := readIDs(f, "HostId")
	type refusal struct {
		Error reasonItem `xml:"error"`
		ID    string     `xml:"resourceId"`
	}
	type reply struct {
		head
		Released set[string]  `xml:"successful"`
		Refused  set[refusal] `xml:"unsuccessful"`
	}
	return func(ctx context.Context) (any, error) {
		released, refused, err := h.backend.ReleaseHosts(ctx, ids)
		return &reply{Released: set[string]{released}, Refused: setOf(sortedKeys(refused), func(id string) refusal {
			return refusal{reasonItem{refused[id].Code, refused[id].Message}, id}
		})}, err
	}
}

func (h *Handler) describeMacHosts(f form) run {
	get := list(h, f, listing[cloud.MacHost]{
		action: "DescribeMacHosts", ids: "HostId", idFilter: "host-id", missing: "InvalidHostID.NotFound", most: 500,
		idOf:  func(m cloud.MacHost) string { return m.HostID },
		fetch: h.backend.MacHosts,
	})
	type item struct {
		HostID string      `xml:"hostId"`
		Latest set[string] `xml:"macOSLatestSupportedVersionSet"`
	}
	type reply struct {
		head
		Hosts     set[item] `xml:"macHostSet"`
		NextToken string    `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{NextToken: next, Hosts: setOf(page, func(m cloud.MacHost) item {
			return item{m.HostID, set[string]{m.Latest}}
		})}, err
	}
}
