package fakeec2

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// fields is what the filters of one list look at, by EC2's names of them.
type fields[T any] map[string]func(T) []string

// maxFilterValues is how many values all filters of a request may have.
const maxFilterValues = 200

// list answers a call of a list: what is seen, as far as the filters let it.
func list[S, T any](a *account, q cloud.Query, t *table[S], by fields[S], show func(S) (T, bool)) ([]T, error) {
	requests, err := split(a, q, by)
	if err != nil || requests == 0 {
		return nil, err
	}
	var found []T
	for _, one := range t.seen(a.time, a.lagging) {
		if shown, visible := show(one); visible && matches(one, q, by) {
			found = append(found, shown)
		}
	}
	return found, a.goOn(requests, len(found))
}

// split says how many requests a query needs: more than one where a client
// divides what is too long for one, and none for a filter that nothing fits.
func split[T any](a *account, q cloud.Query, by fields[T]) (requests int, err error) {
	values, longest, empty := 0, 0, false
	for _, f := range q.Filters {
		_, known := by[f.Name]
		if tag, isTag := strings.CutPrefix(f.Name, "tag:"); isTag {
			_, tagged := by["tag-key"]
			known = tagged && tag != ""
		}
		if !known {
			return 0, cloud.NewError("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
		if empty = empty || len(f.Values) == 0; empty && a.asked.strict {
			return 0, cloud.NewError("InvalidParameterValue", "The filter '%s' has no values", f.Name)
		}
		values, longest = values+len(f.Values), max(longest, len(f.Values))
	}
	switch {
	case empty:
		return 0, nil
	case values <= maxFilterValues:
		return 1, nil
	case a.asked.strict:
		return 0, cloud.NewError("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
	}
	room := max(1, maxFilterValues-(values-longest))
	return (longest + room - 1) / room, nil
}

// goOn takes the requests of a list beyond the first: for what was split, and
// for the pages of so many results.
func (a *account) goOn(requests, results int) error {
	if a.opts.PageSize > 0 {
		requests = max(requests, (results+a.opts.PageSize-1)/a.opts.PageSize)
	}
	if requests <= 1 {
		return nil
	}
	a.counts[a.asked.Action] += requests - 1
	if !a.admit(a.asked.Action, a.time, requests-1) {
		return errThrottled()
	}
	return nil
}

func matches[T any](one T, q cloud.Query, by fields[T]) bool {
	for _, f := range q.Filters {
		var have []string
		if tag, isTag := strings.CutPrefix(f.Name, "tag:"); isTag {
			prefix := tag + "=" // keys may not have wildcards, and may have "="
			for _, pair := range by["tag:"](one) {
				if value, has := strings.CutPrefix(pair, prefix); has {
					have = append(have, value)
				}
			}
		} else {
			have = by[f.Name](one)
		}
		if !slices.ContainsFunc(f.Values, func(pattern string) bool {
			return slices.ContainsFunc(have, func(value string) bool { return cloud.Match(pattern, value) })
		}) {
			return false
		}
	}
	return true
}

// withTags adds the filters by tags, of which every tagged thing has the same.
func withTags[T any](by fields[T], tags func(T) cloud.Tags) fields[T] {
	by["tag-key"] = func(one T) []string {
		var keys []string
		for key := range tags(one) {
			keys = append(keys, key)
		}
		return keys
	}
	by["tag:"] = func(one T) []string { // not a filter's name: for matches
		var pairs []string
		for key, value := range tags(one) {
			pairs = append(pairs, key+"="+value)
		}
		return pairs
	}
	return by
}

// one is a filter's value as a list, and none if it is empty.
func one(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

func number[N int | int64 | float64](n N) []string { return []string{fmt.Sprint(n)} }

func flag(b bool) []string { return []string{fmt.Sprint(b)} }

// stamp is a time as filters know it.
func stamp(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return []string{t.UTC().Format("2006-01-02T15:04:05.000Z")}
}
