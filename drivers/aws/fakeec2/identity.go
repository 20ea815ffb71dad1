package fakeec2

import (
	"context"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Identity implements cloud.API.
func (c *Cloud) Identity(ctx context.Context) (cloud.Identity, error) {
	return ask(ctx, c, "GetCallerIdentity", func(time.Time) (cloud.Identity, error) {
		return cloud.Identity{Account: c.opts.Account, ARN: "arn:aws:iam::" + c.opts.Account + ":user/" + orElse(c.who, "fish")}, nil
	})
}

// Key implements cloud.API.
func (c *Cloud) Key(ctx context.Context, name string) (arn string, err error) {
	return ask(ctx, c, "DescribeKey", func(time.Time) (string, error) {
		if arn, known := c.keys[name]; known {
			return arn, nil
		}
		if strings.Contains(name, "alias/") {
			return "", cloud.NewError("NotFoundException", "Alias %s is not found.", name)
		}
		return "", cloud.NewError("NotFoundException", "Key '%s' does not exist", name)
	})
}
