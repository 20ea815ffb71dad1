// Package cloudtest is what a cloud.API has to keep, as tests: run against the
// fake in memory, against the fake over HTTP by AWS's SDK, and against moto by
// the SDK. So the fake is held against somebody else's idea of EC2, and the SDK
// is told things by two.
package cloudtest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Fixture is an account to try things in. What is named in it is there.
type Fixture struct {
	API cloud.API
	// Zones are two, with a subnet of the default VPC in each, in that order.
	Zones, Subnets [2]string
	VPC, Group     string
	// Image is one of the account's own, with one disk, and may be started as Type.
	Image, Type string
	// MacImage may be started as MacType, of which there may be two hosts.
	MacImage, MacType string
	// Key is the alias of an encryption key.
	Key string
	// Pass lets time go by. Without it everything happens at once, and what has
	// not happened by the third look never will.
	Pass func(time.Duration)
}

// Harness is an implementation to be tested.
type Harness struct {
	// New makes an account of its own for one test.
	New func(t *testing.T) Fixture
	// Parallel lets tests run beside each other: the accounts share nothing.
	Parallel bool
	// Differs are the tests in which this service is known to differ from EC2. One
	// that does not differ any more, or in another way, fails too.
	Differs map[string]Difference
}

// Difference is how a service differs from EC2 in one test.
type Difference struct {
	Shows   string // is part of the first failure
	Because string
}

// Run runs all tests.
func Run(t *testing.T, h Harness) {
	names := map[string]bool{}
	for _, c := range cases() {
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if h.Parallel {
				t.Parallel()
			}
			k := &check{Fixture: h.New(t), ctx: t.Context(), token: "t"}
			failures := k.run(c.do)
			known, differs := h.Differs[c.name]
			switch {
			case differs && len(failures) == 0:
				t.Errorf("listed as a difference, and is none any more: %s", known.Because)
			case differs && strings.Contains(failures[0], known.Shows):
				t.Logf("differs, as %s: %s", known.Because, failures[0])
			default:
				for _, f := range failures {
					t.Error(f)
				}
			}
		})
	}
	for name := range h.Differs {
		if !names[name] {
			t.Errorf("listed as a difference, and no test: %q", name)
		}
	}
}

// Clean takes away what this machine says of AWS and of proxies, so that no
// test works with somebody's account. It is for TestMain.
func Clean() {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}

// testCase is one test.
type testCase struct {
	name string
	do   func(*check)
}

func cases() []testCase {
	return slices.Concat(instanceCases(), stateCases(), hostCases(), imageCases(), storageCases(), accountCases())
}

// check is the run of one test. Failures are kept, as some are expected.
type check struct {
	Fixture
	ctx      context.Context
	token    string
	failures []string
}

// stopped is what a fatal failure panics with.
type stopped struct{}

func (k *check) run(do func(*check)) []string {
	func() {
		defer func() {
			if p := recover(); p != nil && p != (stopped{}) {
				panic(p)
			}
		}()
		do(k)
	}()
	return k.failures
}

func (k *check) errorf(format string, args ...any) {
	k.failures = append(k.failures, fmt.Sprintf(format, args...))
}

func (k *check) fatalf(format string, args ...any) {
	k.errorf(format, args...)
	panic(stopped{})
}

// ok ends the test for an error.
func (k *check) ok(err error, what string) {
	if err != nil {
		k.fatalf("%s: %v", what, err)
	}
}

// is wants an error of a kind that says that nothing was done.
func (k *check) is(err error, what string, kinds ...cloud.Kind) {
	switch {
	case err == nil:
		k.errorf("%s was done, want an error of the kinds %v", what, kinds)
	case !cloud.IsKind(err, kinds...):
		k.errorf("%s: %v is of the kind %v, want %v", what, err, cloud.KindOf(err), kinds)
	case !cloud.Undone(err):
		k.errorf("%s: %v leaves open whether it was done", what, err)
	}
}

// steps is in how many looks a condition has to become true.
const steps = 100

// until lets time go by, up to limit, until a condition is true.
func (k *check) until(limit time.Duration, what string, met func() bool) {
	looks := steps
	if k.Pass == nil {
		looks = 3
	}
	for range looks {
		if met() {
			return
		}
		k.pass(limit / steps)
	}
	k.fatalf("not within %v: %s", limit, what)
}

// pass lets time go by, where it does.
func (k *check) pass(d time.Duration) {
	if k.Pass != nil {
		k.Pass(d)
	}
}

// The tags of everything that a test makes.
func tags() cloud.Tags {
	return cloud.Tags{cloud.TagNode: "node-1", cloud.TagPurpose: cloud.PurposeWork, "Odd <&> key": "a \"value\" = ü", "empty": ""}
}

// fits reports whether a thing has the tags of a test, and maybe more.
func fits(has cloud.Tags) bool {
	for key, value := range tags() {
		if got, ok := has[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// next is a token that no other of this test is.
func (k *check) next() string {
	k.token += "x"
	return k.token
}

func (k *check) request() cloud.Launch {
	return cloud.Launch{
		ClientToken: k.next(), ImageID: k.Image, Type: k.Type, SubnetID: k.Subnets[0], SecurityGroupIDs: []string{k.Group},
		UserData: []byte("#!/bin/sh\n"), Tags: tags(),
	}
}

// launch starts an instance, and waits until it runs.
func (k *check) launch(change func(*cloud.Launch)) cloud.Instance {
	l := k.request()
	if change != nil {
		change(&l)
	}
	i, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch")
	return k.reach(i.ID, cloud.Running)
}

// reach waits until an instance is in a state.
func (k *check) reach(id, state string) (found cloud.Instance) {
	k.until(30*time.Minute, id+" is "+state, func() bool {
		found = k.instance(id)
		return found.State == state
	})
	return found
}

// instance is an instance as it is listed; nothing if it is not.
func (k *check) instance(id string) cloud.Instance {
	list, err := k.API.Instances(k.ctx, cloud.Where("instance-id", id))
	k.ok(err, "list instances")
	if len(list) != 1 {
		return cloud.Instance{}
	}
	return list[0]
}

// ids are those of a list, sorted.
func ids[T any](list []T, id func(T) string) []string {
	var found []string
	for _, one := range list {
		found = append(found, id(one))
	}
	slices.Sort(found)
	return found
}

// finds compares what queries find with what they should.
func finds[T any](k *check, list func(cloud.Query) ([]T, error), id func(T) string, wants []want) {
	for _, w := range wants {
		found, err := list(w.q)
		if err != nil {
			k.errorf("%v: %v", w.q, err)
			continue
		}
		slices.Sort(w.ids)
		if got := ids(found, id); !slices.Equal(got, w.ids) {
			k.errorf("%v finds %v, want %v", w.q, got, w.ids)
		}
	}
}

// want is what a query should find.
type want struct {
	q   cloud.Query
	ids []string
}
