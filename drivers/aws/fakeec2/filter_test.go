package fakeec2

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func TestFilters(t *testing.T) {
	ec2 := New(Options{Unthrottled: true})
	tagged := ec2.AddSnapshot(SnapshotSpec{Tags: cloud.Tags{"a": "1", "a=b": "2", "empty": ""}})
	many := make([]string, 201)
	for n := range many {
		many[n] = fmt.Sprint("snap-", n)
	}
	many[200] = tagged
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
		{"no values", cloud.Where("tag:a"), 0, ""},
		{"too many values for one request", cloud.Where("snapshot-id", many...), 1, ""},
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
	if got := ec2.Counts()["DescribeSnapshots"]; got != 13 { // one more than there are rows with an answer
		t.Errorf("%d requests were counted", got)
	}
	for _, test := range []struct {
		query cloud.Query
		code  string
	}{
		{cloud.Where("tag:a"), "InvalidParameterValue"},
		{cloud.Where("snapshot-id", many...), "FilterLimitExceeded"},
	} {
		_, err := ec2.Strict().Snapshots(t.Context(), nil, test.query)
		if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != test.code {
			t.Errorf("the service answers %v with %v, want %s", test.query, err, test.code)
		}
	}
}
