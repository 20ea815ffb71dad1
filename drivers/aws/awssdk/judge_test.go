package awssdk

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func launch() cloud.Launch {
	return cloud.Launch{ClientToken: "token-1", ImageID: "ami-1", Type: "t3.micro", SubnetID: "subnet-1"}
}

// The calls of the tests of retries: one with a token, one without, one that
// only looks.
func withToken(ctx context.Context, c cloud.API) error {
	_, err := c.RunInstance(ctx, launch())
	return err
}

func withoutToken(ctx context.Context, c cloud.API) error {
	_, err := c.CreateImage(ctx, cloud.ImageRequest{InstanceID: "i-1", Name: "x"})
	return err
}

func looking(ctx context.Context, c cloud.API) error {
	_, err := c.Instances(ctx, cloud.Where("instance-id", "i-1"))
	return err
}

// TestErrorsAreForPeople: an error says what was asked for, of whom, and what
// went wrong, and nothing of how the SDK is built.
func TestErrorsAreForPeople(t *testing.T) {
	const asked = `DescribeInstances: Post "https://ec2.eu-central-1.amazonaws.com/": `
	for _, tt := range []struct {
		name   string
		answer *reply
		want   string
	}{
		{"no connection", &reply{refused: true}, asked + "connection refused (NotSent)"},
		{"cut off", &reply{err: io.ErrUnexpectedEOF}, asked + "unexpected EOF"},
		{"no answer", nil, "DescribeInstances: context deadline exceeded"},
		{"half a page", &reply{status: 502, body: "<html>Bad"}, "DescribeInstances: HTTP status 502: "},
		{"half an answer", &reply{status: 200, body: "<DescribeInstancesResponse><x>"}, "DescribeInstances: HTTP status 200: "},
		{"a refusal", failure(400, "InvalidParameterValue", "not that"), "DescribeInstances: not that (InvalidParameterValue)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answer: always(tt.answer)}
				err := looking(t.Context(), s.client())
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "StatusCode") || strings.Contains(err.Error(), "operation error") {
					t.Errorf("error %q, want %q", err, tt.want)
				}
			})
		})
	}
}

func TestRetriesAndWhatTheyLeaveOpen(t *testing.T) {
	cut := &reply{err: io.ErrUnexpectedEOF}
	refused := &reply{refused: true}
	capacity := failure(500, "InsufficientInstanceCapacity", "none left")
	internal := failure(500, "InternalError", "sorry")
	throttled := failure(503, "RequestLimitExceeded", "slow down")
	ok := launched("i-1")
	for _, tt := range []struct {
		name    string
		do      func(context.Context, cloud.API) error
		answers []*reply
		sent    int
		kind    cloud.Kind
		fails   bool
		undone  bool
	}{
		{"no capacity is an answer", withToken, []*reply{capacity}, 1, cloud.NoCapacity, true, true},
		{"no capacity on a host", withToken, []*reply{failure(500, "InsufficientCapacityOnHost", "")}, 1, cloud.NoHostCapacity, true, true},
		{"a wrong parameter", withToken, []*reply{failure(400, "InvalidParameterValue", "")}, 1, cloud.Refused, true, true},
		{"an unknown answer of 4xx", withToken, []*reply{failure(400, "NeverHeardOf", "")}, 1, cloud.Other, true, true},
		{"throttled, then well", withToken, []*reply{throttled, throttled, ok}, 3, 0, false, false},
		{"throttled for ever", withToken, []*reply{throttled}, maxAttempts, cloud.Throttled, true, true},
		{"throttled without a token", withoutToken, []*reply{throttled}, maxAttempts, cloud.Throttled, true, true},
		{"cut off with a token", withToken, []*reply{cut, ok}, 2, 0, false, false},
		{"cut off for ever", withToken, []*reply{cut}, maxAttempts, cloud.Other, true, false},
		{"cut off without a token", withoutToken, []*reply{cut}, 1, cloud.Other, true, false},
		{"a failure inside with a token", withToken, []*reply{internal, ok}, 2, 0, false, false},
		{"a failure inside without a token", withoutToken, []*reply{internal}, 1, cloud.Other, true, false},
		{"unavailable without a token", withoutToken, []*reply{failure(503, "Unavailable", "")}, 1, cloud.Other, true, false},
		{"a time that is over inside", withoutToken, []*reply{failure(400, "RequestTimeout", "")}, 1, cloud.Other, true, false},
		{"a proxy's page without a token", withoutToken, []*reply{{status: 502, body: "<html>Bad Gateway</html>"}}, 1, cloud.Other, true, false},
		{"half an answer without a token", withoutToken, []*reply{{status: 200, body: "<CreateImageResponse><imageId>ami"}}, 1, cloud.Other, true, false},
		{"half an answer with a token", withToken, []*reply{{status: 200, body: "<RunInstancesResponse><instancesSet>"}, ok}, 2, 0, false, false},
		{"no connection", withToken, []*reply{refused}, maxAttempts, cloud.Other, true, true},
		{"no connection without a token", withoutToken, []*reply{refused}, maxAttempts, cloud.Other, true, true},
		// The first may have been done, whatever is said later.
		{"cut off, then no connection", withToken, []*reply{cut, refused}, maxAttempts, cloud.Other, true, false},
		{"cut off, then no capacity", withToken, []*reply{cut, capacity}, 2, cloud.NoCapacity, true, false},
		{"looked, cut off", looking, []*reply{cut, cut, success("DescribeInstances", "<reservationSet/>")}, 3, 0, false, false},
		{"looked, not allowed", looking, []*reply{failure(403, "UnauthorizedOperation", "")}, 1, cloud.Denied, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answer: sequence(tt.answers...)}
				err := tt.do(context.Background(), s.client())
				if (err != nil) != tt.fails || len(s.sent) != tt.sent {
					t.Fatalf("error %v after %d requests, want %d", err, len(s.sent), tt.sent)
				}
				if err == nil {
					return
				}
				if got := cloud.KindOf(err); got != tt.kind {
					t.Errorf("%v is of the kind %v, want %v", err, got, tt.kind)
				}
				if got := cloud.Undone(err); got != tt.undone {
					t.Errorf("Undone(%v) = %v, want %v", err, got, tt.undone)
				}
			})
		})
	}
}

func TestTheTokenStaysTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: sequence(&reply{err: io.EOF}, failure(503, "RequestLimitExceeded", ""), launched("i-1"))}
		if err := withToken(context.Background(), s.client()); err != nil {
			t.Fatal(err)
		}
		for _, r := range s.sent[1:] {
			if r.body != s.sent[0].body || r.form.Get("ClientToken") != "token-1" {
				t.Errorf("sent %s, first %s", r.body, s.sent[0].body)
			}
		}
	})
}

// TestAServiceThatHangs: nobody waits longer than the bounds, with or without
// a deadline of their own.
func TestAServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: always(nil)}
		c := s.client()
		begun := time.Now()
		err := withToken(context.Background(), c)
		if took := time.Since(begun); took > callTimeout || len(s.sent) < 2 {
			t.Errorf("gave up after %v and %d requests, want %v and some", took, len(s.sent), callTimeout)
		}
		if err == nil || cloud.Undone(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want an end of time that leaves open whether it was done", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		begun = time.Now()
		if err := looking(ctx, c); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Second || cloud.Undone(err) {
			t.Errorf("error %v after %v, want the end of the caller's time after 5 s", err, time.Since(begun))
		}
		ctx, cancel = context.WithCancel(context.Background())
		cancel()
		before := len(s.sent)
		if err := withoutToken(ctx, c); !errors.Is(err, context.Canceled) || !cloud.Undone(err) || len(s.sent) != before {
			t.Errorf("error %v after a cancel, want that, undone, with no request", err)
		}
	})
}

// TestAnswersOfNobody: what answers in place of the service must not be taken
// for an empty list, as what is in no list may be given up.
func TestAnswersOfNobody(t *testing.T) {
	for name, body := range map[string]string{
		"empty":         "",
		"blank":         "\n\n",
		"a login page":  "<html><body>Please log in</body></html>",
		"another's":     "<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>",
		"cut short":     "<DescribeInstancesResponse><reservationSet>",
		"an old answer": strings.Repeat(" ", 5000) + "<DescribeInstancesResponse/>",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answer: always(&reply{status: 200, body: body})}
				if list, err := s.client().Instances(context.Background(), cloud.Query{}); err == nil {
					t.Errorf("Instances() = %v without an error", list)
				}
			})
		})
	}
}

func TestNoSecretInErrors(t *testing.T) {
	l := launch()
	l.UserData = []byte("AQUARIUM_SECRET=very-hidden-thing")
	for _, a := range []*reply{
		failure(400, "InvalidUserData.Malformed", "what is AQUARIUM_SECRET=very-hidden-thing, or "+launchForm(t, l).Get("UserData")+" with "+secret),
		failure(400, "AuthFailure", "signed with "+secret),
		{err: errors.New("lost with " + secret)},
		{status: 200, body: secret},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{t: t, answer: always(a)}
			_, err := s.client().RunInstance(context.Background(), l)
			if err == nil {
				t.Fatal("no error")
			}
			for _, hidden := range []string{secret, "very-hidden-thing", launchForm(t, l).Get("UserData")} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("%v tells a secret", err)
				}
			}
		})
	}
}
