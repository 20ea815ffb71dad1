package awssdk

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// maxValues is how many values EC2 takes in all filters of one request.
const maxValues = 200

// pageSize is how much a page of a list holds: EC2 allows 1,000 of most, but
// long answers take long, and a page is what is asked for again when it is lost.
const pageSize = 500

// requests are the filters of each request that answers a query: more than one
// if a filter has more values than a request may have, and none if a filter has
// no value, which nothing fits and EC2 would refuse. Who lists with them must expect the
// same thing twice (values with wildcards overlap).
func requests(q cloud.Query) [][]types.Filter {
	longest, values := -1, 0
	for i, f := range q.Filters {
		if len(f.Values) == 0 {
			return nil
		}
		values += len(f.Values)
		if longest < 0 || len(f.Values) > len(q.Filters[longest].Values) {
			longest = i
		}
	}
	if values <= maxValues {
		return [][]types.Filter{filterList(q)}
	}
	room := max(1, maxValues-(values-len(q.Filters[longest].Values)))
	var list [][]types.Filter
	for part := range slices.Chunk(q.Filters[longest].Values, room) {
		one := cloud.Query{Filters: slices.Clone(q.Filters)}
		one.Filters[longest].Values = part
		list = append(list, filterList(one))
	}
	return list
}

func filterList(q cloud.Query) []types.Filter {
	list := make([]types.Filter, 0, len(q.Filters))
	for _, f := range q.Filters {
		list = append(list, types.Filter{Name: aws.String(f.Name), Values: f.Values})
	}
	return list
}

// found collects what a list found, once each.
type found[T any] struct {
	id   func(T) string
	seen map[string]bool
	list []T
}

func newFound[T any](id func(T) string) *found[T] {
	return &found[T]{id: id, seen: map[string]bool{}}
}

func (f *found[T]) add(t T) {
	if id := f.id(t); !f.seen[id] {
		f.seen[id] = true
		f.list = append(f.list, t)
	}
}

// local splits a query into the filters that EC2 has for a kind of things,
// and the others, which are looked at here.
func local(q cloud.Query, remote ...string) (there, here cloud.Query) {
	for _, f := range q.Filters {
		if slices.Contains(remote, f.Name) {
			there.Filters = append(there.Filters, f)
		} else {
			here.Filters = append(here.Filters, f)
		}
	}
	return there, here
}

// fits reports whether a thing fits a query; value is what the thing has of a
// filter's name, besides its tags.
func fits(q cloud.Query, tags cloud.Tags, value func(name string) (string, bool)) (bool, error) {
	for _, f := range q.Filters {
		var has []string
		if key, ok := strings.CutPrefix(f.Name, "tag:"); ok {
			if v, ok := tags[key]; ok {
				has = []string{v}
			}
		} else if f.Name == "tag-key" {
			for key := range tags {
				has = append(has, key)
			}
		} else {
			v, ok := value(f.Name)
			if !ok {
				return false, cloud.NewError("InvalidParameterValue", "the filter %q is none of these things", f.Name)
			}
			has = []string{v}
		}
		if !anyMatch(f.Values, has) {
			return false, nil
		}
	}
	return true, nil
}

func anyMatch(patterns, values []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(values, func(v string) bool { return cloud.Match(p, v) })
	})
}

func tagsOf(list []types.Tag) cloud.Tags {
	tags := make(cloud.Tags, len(list))
	for _, t := range list {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}

// tagList is sorted, so that the same tags give the same request.
func tagList(tags cloud.Tags) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for k, v := range tags {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	slices.SortFunc(list, func(a, b types.Tag) int { return cmp.Compare(*a.Key, *b.Key) })
	return list
}

// tagged are the tags of what a request makes, of each kind of things.
func tagged(tags cloud.Tags, kinds ...types.ResourceType) []types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	var specs []types.TagSpecification
	for _, kind := range kinds {
		specs = append(specs, types.TagSpecification{ResourceType: kind, Tags: tagList(tags)})
	}
	return specs
}
