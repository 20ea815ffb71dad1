package fakeec2

import (
	"fmt"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func TestWildcards(t *testing.T) {
	for _, test := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"a", "ab", false},
		{"*", "", true}, {"*", "anything", true}, {"a*", "a", true}, {"a*b", "axxb", true}, {"a*b", "axxbc", false},
		{"*a*b*", "xaybz", true}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"?", "é", true},
		{`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`\?`, "?", true}, {`a\\b`, `a\b`, true},
		{"ci-*-2026", "ci-linux-2026", true}, {"**", "x", true}, {"a*a*a", "aa", false},
	} {
		if got := wild(test.pattern, test.value); got != test.want {
			t.Errorf("wild(%q, %q) = %v, want %v", test.pattern, test.value, got, test.want)
		}
	}
}

func TestFilters(t *testing.T) {
	ec2 := New(Options{Unthrottled: true})
	tagged := ec2.AddSnapshot(SnapshotSpec{Tags: cloud.Tags{"a": "1", "a=b": "2", "empty": ""}})
	many := make([]string, 201)
	for n := range many {
		many[n] = fmt.Sprint("snap-", n)
	}
	for _, test := range []struct {
		name  string
		query cloud.Query
		found int
		code  string
	}{
		{"by tag", cloud.Where("tag:a", "1"), 1, ""},
		{"or of values", cloud.Where("tag:a", "2", "1"), 1, ""},
		{"and of filters", cloud.Where("tag:a", "1").And("tag:a=b", "2"), 1, ""},
		{"and that fails", cloud.Where("tag:a", "1").And("tag:a=b", "3"), 0, ""},
		{"an empty value", cloud.Where("tag:empty", ""), 1, ""},
		{"a tag that is not there", cloud.Where("tag:none", "*"), 0, ""},
		{"by key", cloud.Where("tag-key", "em*"), 1, ""},
		{"by id", cloud.Where("snapshot-id", tagged), 1, ""},
		{"unknown filter", cloud.Where("host-id", "x"), 0, "InvalidParameterValue"},
		{"the name of nothing", cloud.Where("tag:", "x"), 0, "InvalidParameterValue"},
		{"no values", cloud.Where("tag:a"), 0, "InvalidParameterValue"},
		{"too many values", cloud.Where("snapshot-id", many...), 0, "FilterLimitExceeded"},
	} {
		found, err := ec2.Snapshots(t.Context(), []string{"self"}, test.query)
		code := ""
		if err != nil {
			code = err.(*cloud.Error).Code //nolint:errorlint // it has to be just that
		}
		if len(found) != test.found || code != test.code {
			t.Errorf("%s: %d found, error %v, want %d, %s", test.name, len(found), err, test.found, test.code)
		}
	}
}
