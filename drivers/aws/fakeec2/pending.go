package fakeec2

import (
	"context"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// errLater is of the calls whose rules follow in the next commits.
var errLater = errors.New("fakeec2: not there yet")

type host struct{ cloud.Host }

func (a *account) checkHost(string, cloud.InstanceType, string) error { return errLater }
func (a *account) occupy(string, string, time.Time)                   {}
func (a *account) vacate(instance, time.Time)                         {}

// AllocateHost implements cloud.API.
func (c *Cloud) AllocateHost(context.Context, cloud.HostRequest) (string, error) { return "", errLater }

// Hosts implements cloud.API.
func (c *Cloud) Hosts(context.Context, cloud.Query) ([]cloud.Host, error) { return nil, errLater }

// ReleaseHosts implements cloud.API.
func (c *Cloud) ReleaseHosts(context.Context, []string) ([]string, map[string]*cloud.Error, error) {
	return nil, nil, errLater
}

// MacHosts implements cloud.API.
func (c *Cloud) MacHosts(context.Context, cloud.Query) ([]cloud.MacHost, error) { return nil, errLater }

// CreateImage implements cloud.API.
func (c *Cloud) CreateImage(context.Context, cloud.ImageRequest) (string, error) { return "", errLater }

// CopyImage implements cloud.API.
func (c *Cloud) CopyImage(context.Context, cloud.ImageCopy) (string, error) { return "", errLater }

// DeregisterImage implements cloud.API.
func (c *Cloud) DeregisterImage(context.Context, string) error { return errLater }

// CreateSnapshots implements cloud.API.
func (c *Cloud) CreateSnapshots(context.Context, cloud.SnapshotsRequest) ([]cloud.Snapshot, error) {
	return nil, errLater
}

// DeleteSnapshot implements cloud.API.
func (c *Cloud) DeleteSnapshot(context.Context, string) error { return errLater }
