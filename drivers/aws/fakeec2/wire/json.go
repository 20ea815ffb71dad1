package wire

import (
	"context"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func (h *Handler) kmsActions() map[string]action {
	return map[string]action{"DescribeKey": h.describeKey, "ListAliases": h.listAliases}
}

func (h *Handler) describeKey(f form) run {
	name := f.required("KeyId")
	type metadata struct {
		KeyID    string `json:"KeyId"`
		ARN      string `json:"Arn"`
		Enabled  bool
		KeyState string
	}
	type reply struct{ KeyMetadata metadata }
	return func(ctx context.Context) (any, error) {
		arn, err := h.backend.Key(ctx, name)
		return reply{metadata{keyID(arn), arn, true, "Enabled"}}, err
	}
}

// keyID is the id in the ARN of a key.
func keyID(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// alias is one name of a key.
type alias struct {
	AliasName   string
	AliasArn    string
	TargetKeyID string `json:"TargetKeyId"`
}

func (h *Handler) listAliases(f form) run {
	only := f.text("KeyId")
	turn := h.turn(f, paging{salt: "ListAliases", sizeName: "Limit", tokenName: "Marker", least: 1, most: 1000,
		wrongSize: "ValidationException", wrongToken: "InvalidMarkerException"})
	type reply struct {
		Aliases    []alias
		NextMarker string `json:",omitempty"`
		Truncated  bool
	}
	return func(ctx context.Context) (any, error) {
		all, err := h.aliases(ctx, only)
		if err != nil {
			return nil, err
		}
		page, next := pageOf(turn, all, func(a alias) string { return a.AliasName })
		return reply{page, next, next != ""}, nil
	}
}

// aliases are the names that Options tells and the backend knows.
func (h *Handler) aliases(ctx context.Context, only string) ([]alias, error) {
	found := []alias{}
	for _, name := range h.opts.Aliases {
		arn, err := h.backend.Key(ctx, name)
		switch {
		case cloud.KindOf(err) == cloud.NotFound:
			continue
		case err != nil:
			return nil, err
		}
		if only == "" || only == arn || only == keyID(arn) {
			found = append(found, alias{name, strings.TrimSuffix(arn, "key/"+keyID(arn)) + name, keyID(arn)})
		}
	}
	return found, nil
}

func (h *Handler) quotaActions() map[string]action {
	return map[string]action{
		"ListServiceQuotas": func(f form) run {
			return h.listQuotas(f, "ListServiceQuotas", func(code string, value float64) (float64, bool) {
				return value, value != defaultQuota(code)
			})
		},
		"ListAWSDefaultServiceQuotas": func(f form) run {
			return h.listQuotas(f, "ListAWSDefaultServiceQuotas", func(code string, _ float64) (float64, bool) {
				return defaultQuota(code), true
			})
		},
	}
}

// defaultQuota is what AWS gives every account: 5 vCPUs of standard instances,
// on demand and spot, and nothing else.
func defaultQuota(code string) float64 {
	if code == "L-1216C47A" || code == "L-34B43A08" {
		return 5
	}
	return 0
}

// quota is one limit.
type quota struct {
	ServiceCode string
	QuotaCode   string
	Value       float64
	Adjustable  bool
}

// listQuotas lists what a view shows of the account's quotas. As at AWS the list
// of an account's quotas has those alone that were ever changed, and only the
// list of defaults has all codes.
func (h *Handler) listQuotas(f form, name string, view func(code string, value float64) (float64, bool)) run {
	const ec2 = "ec2"
	if service := f.required("ServiceCode"); service != ec2 && f.err == nil {
		f.fail("NoSuchResourceException", "The request failed because the specified service %q does not exist.", service)
	}
	turn := h.turn(f, paging{salt: name, sizeName: "MaxResults", tokenName: "NextToken", least: 1, most: 100,
		wrongSize: "IllegalArgumentException", wrongToken: "InvalidPaginationTokenException"})
	type reply struct {
		Quotas    []quota
		NextToken string `json:",omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		all, err := h.backend.Quotas(ctx)
		if err != nil {
			return nil, err
		}
		shown := []quota{}
		for code, value := range all {
			if value, ok := view(code, value); ok {
				shown = append(shown, quota{ec2, code, value, true})
			}
		}
		page, next := pageOf(turn, shown, func(q quota) string { return q.QuotaCode })
		return reply{page, next}, nil
	}
}
