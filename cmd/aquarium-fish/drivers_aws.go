//go:build !noaws

package main

import (
	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/awssdk"
)

// awsFactory links AWS's SDK, which takes minutes to compile: the tag noaws
// leaves it out.
func awsFactory() drivers.Factory {
	return aws.Factory(awssdk.NewDialer(awssdk.Options{}).Dial)
}
