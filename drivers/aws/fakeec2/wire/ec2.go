package wire

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// maxFilterValues is how many values the filters of one request have at most.
const maxFilterValues = 200

// ec2Actions are all that can be asked of EC2.
func (h *Handler) ec2Actions() map[string]action {
	return map[string]action{
		"RunInstances":       h.runInstances,
		"DescribeInstances":  h.describeInstances,
		"StopInstances":      h.stopInstances,
		"StartInstances":     h.startInstances,
		"TerminateInstances": h.terminateInstances,

		"DescribeSpotInstanceRequests": h.describeSpotRequests,
		"CancelSpotInstanceRequests":   h.cancelSpotRequests,

		"AllocateHosts":    h.allocateHosts,
		"DescribeHosts":    h.describeHosts,
		"ReleaseHosts":     h.releaseHosts,
		"DescribeMacHosts": h.describeMacHosts,

		"DescribeImages":  h.describeImages,
		"CreateImage":     h.createImage,
		"CopyImage":       h.copyImage,
		"DeregisterImage": h.deregisterImage,

		"CreateSnapshots":   h.createSnapshots,
		"DescribeSnapshots": h.describeSnapshots,
		"DeleteSnapshot":    h.deleteSnapshot,
		"DescribeVolumes":   h.describeVolumes,
		"DeleteVolume":      h.deleteVolume,
		"CreateTags":        h.createTags,

		"DescribeVpcs":           h.describeVPCs,
		"DescribeSubnets":        h.describeSubnets,
		"DescribeSecurityGroups": h.describeSecurityGroups,

		"DescribeInstanceTypes":         h.describeInstanceTypes,
		"DescribeInstanceTypeOfferings": h.describeOfferings,
		"DescribeAvailabilityZones":     h.describeZones,
	}
}

// done is the answer of what has nothing to tell.
type done struct {
	head
	Return bool `xml:"return"`
}

// doing is the run of what has nothing to tell.
func doing(do func(ctx context.Context) error) run {
	return func(ctx context.Context) (any, error) {
		if err := do(ctx); err != nil {
			return nil, err
		}
		return &done{Return: true}, nil
	}
}

// listing is an action that lists things of one kind.
type listing[T any] struct {
	action string
	// ids is the parameter that names things, which have to be there, idFilter
	// the filter by which the backend finds them, and idOf the id of a thing.
	ids, idFilter string
	missing       string // the code if one is not there
	idOf          func(T) string
	fetch         func(ctx context.Context, q cloud.Query) ([]T, error)
	most          int // of MaxResults; 1000 if 0
}

// list reads a request for things; the function gets one page of them.
func list[T any](h *Handler, f form, l listing[T]) func(ctx context.Context) (page []T, next string, err error) {
	query := readQuery(f, l.action)
	ids := f.texts(l.ids)
	if len(ids) > 0 {
		query = query.And(l.idFilter, ids...)
		if f.has("MaxResults") {
			f.fail("InvalidParameterCombination", "The parameter %s cannot be used with the parameter MaxResults", l.ids)
		}
	}
	turn := h.turn(f, l.paging())
	if len(ids) > 0 {
		turn.size = len(ids)
	}
	return func(ctx context.Context) ([]T, string, error) {
		things, err := l.fetch(ctx, query)
		if err != nil {
			return nil, "", err
		}
		if err := l.complete(things, ids); err != nil {
			return nil, "", err
		}
		page, next := pageOf(turn, things, l.idOf)
		return page, next, nil
	}
}

func (l listing[T]) paging() paging {
	p := paging{salt: l.action, sizeName: "MaxResults", tokenName: "NextToken", least: 5, most: 1000,
		wrongSize: "InvalidParameterValue", wrongToken: "InvalidNextToken"}
	if l.most != 0 {
		p.most = l.most
	}
	return p
}

// complete says which of the things that were named are missing.
func (l listing[T]) complete(things []T, ids []string) error {
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(things, func(t T) bool { return l.idOf(t) == id })
	})
	if len(missing) == 0 {
		return nil
	}
	return cloud.NewError(l.missing, "The ID '%s' does not exist", strings.Join(missing, ", "))
}

// readQuery reads filters, of which the names have to be known to EC2: a backend
// that takes more must not hide that EC2 does not.
func readQuery(f form, action string) cloud.Query {
	var q cloud.Query
	known := filtersOf(action)
	count := 0
	for _, g := range f.groups("Filter") {
		filter, values := g.required("Name"), g.texts("Value")
		if !filterKnown(filter, known) {
			f.fail("InvalidParameterValue", "The filter '%s' is invalid", filter)
		}
		if len(values) == 0 {
			f.fail("InvalidParameterValue", "The filter '%s' has no value", filter)
		}
		count += len(values)
		q = q.And(filter, values...)
	}
	if count > maxFilterValues {
		f.fail("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
	}
	return q
}

func filterKnown(name string, known []string) bool {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		return key != "" && slices.Contains(known, "tag:")
	}
	return name != "tag:" && slices.Contains(known, name)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
