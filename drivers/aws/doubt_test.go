package aws

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// TestALostLaunchIsNotUndoneByARefusal: the first request was done and its
// answer lost; the same request again is refused at the door. That is certain of
// the second one only: what the first one made is still looked for.
func TestALostLaunchIsNotUndoneByARefusal(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]*cloud.Error{
		"throttled":    cloud.NewError("RequestLimitExceeded", "Request limit exceeded."),
		"denied":       cloud.NewError("UnauthorizedOperation", "You are not authorized to perform this operation."),
		"expired":      cloud.NewError("RequestExpired", "Request has expired."),
		"unknown":      cloud.NewError("SomethingNew", "A code that nobody has seen."),
		"image is new": cloud.NewError("InvalidAMIID.NotFound", "The image id does not exist."),
		"not sent":     cloud.NotSent(fakeec2.ErrUnreachable),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				d := s.start(t)
				time.Sleep(5 * time.Minute)                    // the account is older than lists lag behind
				s.cloud.SetLag(fakeec2.Fixed(2 * time.Minute)) // so that no list helps
				s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Done: true})
				s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Times: -1, Err: refusal})
				req := request("a", plain())
				if _, err := d.Allocate(within(t, 50*time.Second), req); err == nil {
					t.Fatal("Allocate got a machine without an answer")
				}
				if len(s.billable()) == 0 {
					t.Fatal("the lost request made nothing: this tests nothing")
				}
				if err := d.Deallocate(within(t, time.Hour), refTo(req, "")); err != nil {
					t.Fatal(err)
				}
				s.wantNothing(t)
			})
		})
	}
}
