package awssdk_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/awssdk"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloudtest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
)

const (
	region = "eu-central-1"
	keyID  = "AKIDEXAMPLE"
	secret = "a secret / of+letters"
)

// dial is the SDK for a server of a test, which may send to loopback alone.
func dial(t *testing.T, endpoint string) cloud.API {
	t.Helper()
	return dialIn(t, region, endpoint)
}

func dialIn(t *testing.T, region, endpoint string) cloud.API {
	t.Helper()
	dialer := awssdk.NewDialer(awssdk.Options{HTTP: cloudtest.Loopback(t), MaxBackoff: 10 * time.Millisecond, Share: 20})
	api, err := dialer.Dial(t.Context(), cloud.Settings{
		Region: region, KeyID: keyID, SecretKey: secret, Endpoint: endpoint,
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// TestFakeOverHTTP is the fake in memory, asked by the SDK: with signatures, and
// with pages of two.
func TestFakeOverHTTP(t *testing.T) {
	cloudtest.Run(t, cloudtest.Harness{Parallel: true, New: func(t *testing.T) cloudtest.Fixture {
		f := cloudtest.Fake(t)
		server := wiretest.Serve(t, f.API, wire.Options{Region: region, Keys: map[string]string{keyID: secret}, PageSize: 2})
		f.API = dial(t, server.URL)
		return f
	}})
}
