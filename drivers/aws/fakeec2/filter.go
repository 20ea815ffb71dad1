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
	if err := checkQuery(q, by); err != nil {
		return nil, err
	}
	var found []T
	for _, one := range t.seen(a.time, a.lagging) {
		if shown, visible := show(one); visible && matches(one, q, by) {
			found = append(found, shown)
		}
	}
	return found, a.turnPages(len(found))
}

// turnPages takes the requests that a list of so many results needs beyond the first.
func (a *account) turnPages(results int) error {
	if a.opts.PageSize < 0 || results <= a.opts.PageSize {
		return nil
	}
	more := (results - 1) / a.opts.PageSize
	a.counts[a.asked.Action] += more
	if !a.admit(a.asked.Action, a.time, more) {
		return errThrottled()
	}
	return nil
}

func checkQuery[T any](q cloud.Query, by fields[T]) error {
	values := 0
	for _, f := range q.Filters {
		_, known := by[f.Name]
		if tag, isTag := strings.CutPrefix(f.Name, "tag:"); isTag {
			_, tagged := by["tag-key"]
			known = tagged && tag != ""
		}
		if !known {
			return cloud.NewError("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
		if len(f.Values) == 0 {
			return cloud.NewError("InvalidParameterValue", "The filter '%s' has no values", f.Name)
		}
		values += len(f.Values)
	}
	if values > maxFilterValues {
		return cloud.NewError("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
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
			return slices.ContainsFunc(have, func(value string) bool { return wild(pattern, value) })
		}) {
			return false
		}
	}
	return true
}

// wild matches EC2's patterns: "*" is anything, "?" one character, and a
// backslash takes the next character as it is.
func wild(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(v) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
			continue
		case i < len(p) && p[i] == '?':
			i++
			j++
			continue
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == v[j]:
			i += 2
			j++
			continue
		case i < len(p) && p[i] == v[j] && p[i] != '\\':
			i++
			j++
			continue
		case star < 0:
			return false
		}
		mark++
		i, j = star+1, mark
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
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
