package awssdk

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestQuotas: what the account has of its own stands before the default, on
// whatever page.
func TestQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: func(_ int, r request) *reply {
			second := strings.Contains(r.body, `"NextToken":"more"`)
			switch {
			case r.action == "ListAWSDefaultServiceQuotas" && !second:
				return &reply{status: 200, body: `{"Quotas":[{"QuotaCode":"L-1216C47A","Value":5}],"NextToken":"more"}`}
			case r.action == "ListAWSDefaultServiceQuotas":
				return &reply{status: 200, body: `{"Quotas":[{"QuotaCode":"L-5D8DADF5","Value":0},{"QuotaCode":"L-34B43A08","Value":5}]}`}
			case !second:
				return &reply{status: 200, body: `{"Quotas":[{"QuotaCode":"L-1216C47A","Value":640.0}],"NextToken":"more"}`}
			}
			return &reply{status: 200, body: `{"Quotas":[{"QuotaCode":"L-5D8DADF5","Value":3},{"QuotaCode":"L-34B43A08","ErrorReason":{"ErrorCode":"DEPENDENCY_ACCESS_DENIED_ERROR"},"Value":99}]}`}
		}}
		got, err := s.client().Quotas(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]float64{"L-1216C47A": 640, "L-5D8DADF5": 3, "L-34B43A08": 5}, got); d != "" {
			t.Errorf("quotas (-want +got):\n%s", d)
		}
		for _, a := range []*reply{{status: 200, body: ""}, {status: 200, body: "{}"}, {status: 500, body: "not implemented"}, {status: 200, body: "<html>"}} {
			s = &script{t: t, answer: always(a)}
			if got, err := s.client().Quotas(context.Background()); err == nil {
				t.Errorf("%+v gave the quotas %v", a, got)
			}
		}
	})
}

func TestKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name string
			a    *reply
			want string
			kind cloud.Kind
		}{
			{"there", &reply{status: 200, body: `{"KeyMetadata":{"Arn":"arn:key","KeyId":"1","Enabled":true,"KeyState":"Enabled"}}`}, "arn:key", 0},
			{"about to go", &reply{status: 200, body: `{"KeyMetadata":{"Arn":"arn:key","KeyId":"1","Enabled":false,"KeyState":"PendingDeletion"}}`}, "", cloud.Refused},
			{"not there", &reply{status: 400, body: `{"__type":"NotFoundException","message":"no"}`}, "", cloud.NotFound},
			{"not allowed", &reply{status: 400, body: `{"__type":"AccessDeniedException","Message":"no"}`}, "", cloud.Denied},
			{"no answer", &reply{status: 200, body: ""}, "", cloud.Other},
		} {
			s := &script{t: t, answer: always(tt.a)}
			got, err := s.client().Key(context.Background(), "alias/x")
			if got != tt.want || (err == nil) != (tt.want != "") || cloud.KindOf(err) != tt.kind {
				t.Errorf("%s: Key() = %q, %v of the kind %v", tt.name, got, err, cloud.KindOf(err))
			}
		}
	})
}

func TestIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: always(success("GetCallerIdentity", "<GetCallerIdentityResult><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/x</Arn></GetCallerIdentityResult>"))}
		got, err := s.client().Identity(context.Background())
		if err != nil || got.Account != "123456789012" {
			t.Errorf("Identity() = %v, %v", got, err)
		}
		for _, a := range []*reply{{status: 200}, success("GetCallerIdentity", "")} {
			s := &script{t: t, answer: always(a)}
			if got, err := s.client().Identity(context.Background()); err == nil {
				t.Errorf("%+v gave the identity %v", a, got)
			}
		}
	})
}
