package awssdk

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// asRole is a client that takes on a role, of a service that hands it out as
// the test says and does all else.
func asRole(t *testing.T, give func() *reply) (*script, cloud.API) {
	t.Helper()
	s := &script{t: t, answer: func(_ int, r request) *reply {
		switch r.action {
		case "AssumeRole":
			return give()
		case "RunInstances":
			return launched("i-1")
		}
		return success(r.action, "")
	}}
	c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{
		Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret, AssumeRole: "arn:aws:iam::123456789012:role/ci",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// roleUntil are credentials of the role until a time.
func roleUntil(end time.Time) *reply {
	return &reply{status: 200, body: `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
		<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>
		<Expiration>` + end.UTC().Format(time.RFC3339) + `</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`}
}

// TestARoleThatNobodyGives: one question for credentials without an answer must
// not keep all later calls from asking again, as all wait for the same one.
func TestARoleThatNobodyGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		_, c := asRole(t, func() *reply {
			if hangs {
				return nil
			}
			return roleUntil(time.Now().Add(time.Hour))
		})
		begun := time.Now()
		err := withToken(context.Background(), c)
		if took := time.Since(begun); err == nil || !cloud.Undone(err) || took > callTimeout {
			t.Errorf("error %v after %v, want that nothing was done", err, took)
		}
		hangs = false
		time.Sleep(callTimeout) // what still asks has ended by then
		if err := withToken(context.Background(), c); err != nil {
			t.Errorf("the role is given again: %v", err)
		}
	})
}

// TestARoleThatIsLost: without credentials nothing was started, however the
// question for them ended.
func TestARoleThatIsLost(t *testing.T) {
	for name, answer := range map[string]*reply{
		"cut off": {err: io.ErrUnexpectedEOF}, "failed": {status: 500, body: "<ErrorResponse><Error><Code>InternalFailure</Code></Error></ErrorResponse>"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := asRole(t, func() *reply { return answer })
				if err := withToken(context.Background(), c); err == nil || !cloud.Undone(err) {
					t.Errorf("error %v, want that nothing was done", err)
				}
			})
		})
	}
}

// TestARoleIsTakenOnInTime: credentials are given up before they end, as a call
// takes its time, and clocks differ.
func TestARoleIsTakenOnInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := 0
		_, c := asRole(t, func() *reply {
			given++
			return roleUntil(time.Now().Add(time.Hour))
		})
		err := looking(context.Background(), c)
		time.Sleep(time.Hour - callTimeout)
		if err = errors.Join(err, looking(context.Background(), c)); err != nil || given != 2 {
			t.Errorf("%v, and the role was taken on %d times, want 2", err, given)
		}
	})
}

// TestNoRequestWithoutAnEnd: the SDK asks for credentials in its own ways, some
// without a deadline.
func TestNoRequestWithoutAnEnd(t *testing.T) {
	sender, ok := NewDialer(Options{}).http.(*awshttp.BuildableClient)
	if !ok || sender.GetTimeout() == 0 {
		t.Errorf("requests are sent by %T without a deadline", sender)
	}
}
