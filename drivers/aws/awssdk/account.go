package awssdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Identity implements cloud.API.
func (c *client) Identity(ctx context.Context) (cloud.Identity, error) {
	out, err := call(ctx, c, c.sts.GetCallerIdentity, &sts.GetCallerIdentityInput{})
	if err != nil {
		return cloud.Identity{}, err
	}
	if aws.ToString(out.Account) == "" {
		return cloud.Identity{}, errors.New("GetCallerIdentity: the answer names no account")
	}
	return cloud.Identity{Account: *out.Account, ARN: aws.ToString(out.Arn)}, nil
}

// InstanceTypes implements cloud.API.
func (c *client) InstanceTypes(ctx context.Context, names []string) ([]cloud.InstanceType, error) {
	all := newFound(func(t cloud.InstanceType) string { return t.Name })
	for _, f := range requests(ofTypes(names)) {
		// By filter and not by name, as one unknown name fails all others.
		p := ec2.NewDescribeInstanceTypesPaginator(c.ec2, &ec2.DescribeInstanceTypesInput{Filters: f, MaxResults: aws.Int32(100)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeInstanceTypesOutput) {
			for _, t := range out.InstanceTypes {
				all.add(instanceTypeOf(t))
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

func ofTypes(names []string) cloud.Query {
	if len(names) == 0 {
		return cloud.Query{}
	}
	return cloud.Where("instance-type", names...)
}

func instanceTypeOf(t types.InstanceTypeInfo) cloud.InstanceType {
	it := cloud.InstanceType{
		Name:        string(t.InstanceType),
		Hibernation: aws.ToBool(t.HibernationSupported),
		BareMetal:   aws.ToBool(t.BareMetal),
	}
	if t.VCpuInfo != nil {
		it.VCPUs = int(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
	}
	if t.MemoryInfo != nil {
		it.MemoryMB = int(aws.ToInt64(t.MemoryInfo.SizeInMiB))
	}
	if t.ProcessorInfo != nil {
		for _, a := range t.ProcessorInfo.SupportedArchitectures {
			it.Architectures = append(it.Architectures, string(a))
		}
	}
	for _, class := range t.SupportedUsageClasses {
		it.SpotUsable = it.SpotUsable || class == types.UsageClassTypeSpot
	}
	if t.EbsInfo != nil {
		it.MaxDisks = int(aws.ToInt32(t.EbsInfo.MaximumEbsAttachments))
	}
	return it
}

// Offerings implements cloud.API.
func (c *client) Offerings(ctx context.Context, names []string) ([]cloud.Offering, error) {
	all := newFound(func(o cloud.Offering) string { return o.Type + " " + o.Zone })
	for _, f := range requests(ofTypes(names)) {
		p := ec2.NewDescribeInstanceTypeOfferingsPaginator(c.ec2, &ec2.DescribeInstanceTypeOfferingsInput{
			LocationType: types.LocationTypeAvailabilityZone, Filters: f, MaxResults: aws.Int32(pageSize),
		})
		if err := pages(ctx, c, p, func(out *ec2.DescribeInstanceTypeOfferingsOutput) {
			for _, o := range out.InstanceTypeOfferings {
				all.add(cloud.Offering{Type: string(o.InstanceType), Zone: aws.ToString(o.Location)})
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

// quotaPage is the most that Service Quotas gives at once.
const quotaPage = 100

// Quotas implements cloud.API. The list of quotas has only those with a value
// of the account's own; all others are at AWS's default.
func (c *client) Quotas(ctx context.Context) (map[string]float64, error) {
	limits := map[string]float64{}
	add := func(quotas []quotatypes.ServiceQuota) {
		for _, q := range quotas {
			if q.QuotaCode != nil && q.Value != nil && q.ErrorReason == nil {
				limits[*q.QuotaCode] = *q.Value
			}
		}
	}
	defaults := servicequotas.NewListAWSDefaultServiceQuotasPaginator(c.quotas, &servicequotas.ListAWSDefaultServiceQuotasInput{
		ServiceCode: aws.String("ec2"), MaxResults: aws.Int32(quotaPage),
	})
	if err := pages(ctx, c, defaults, func(out *servicequotas.ListAWSDefaultServiceQuotasOutput) { add(out.Quotas) }); err != nil {
		return nil, fmt.Errorf("the default quotas can not be had: %w", err)
	}
	applied := servicequotas.NewListServiceQuotasPaginator(c.quotas, &servicequotas.ListServiceQuotasInput{
		ServiceCode: aws.String("ec2"), MaxResults: aws.Int32(quotaPage),
	})
	if err := pages(ctx, c, applied, func(out *servicequotas.ListServiceQuotasOutput) { add(out.Quotas) }); err != nil {
		return nil, fmt.Errorf("the account's quotas can not be had: %w", err)
	}
	if len(limits) == 0 { // an account without any limit is none: the answer is not of the service
		return nil, errors.New("the lists of quotas are empty")
	}
	return limits, nil
}

// Key implements cloud.API. A key that is there and can not be used would fail a
// launch minutes after it was acknowledged, so it is refused here.
func (c *client) Key(ctx context.Context, name string) (string, error) {
	out, err := call(ctx, c, c.kms.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String(name)})
	if err != nil {
		return "", err
	}
	if out.KeyMetadata == nil || aws.ToString(out.KeyMetadata.Arn) == "" {
		return "", errors.New("DescribeKey: the answer names no key")
	}
	if !out.KeyMetadata.Enabled {
		return "", cloud.NewError("InvalidKeyState", "the key %s can not be used, it is in the state %s", *out.KeyMetadata.Arn, out.KeyMetadata.KeyState)
	}
	return *out.KeyMetadata.Arn, nil
}
