package awssdk

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// configure is the configuration of all clients.
func configure(ctx context.Context, s cloud.Settings, sender HTTPClient) (aws.Config, error) {
	if s.KeyID != "" {
		return withKey(s, sender)
	}
	return config.LoadDefaultConfig(ctx,
		config.WithRegion(s.Region),
		config.WithHTTPClient(sender),
		config.WithAppID(application),
		config.WithCredentialsCacheOptions(renewed),
		config.WithLogger(logging.Nop{}), // it would write to standard error
		config.WithClientLogMode(0),
	)
}

// withKey is the configuration for a key of our own. The files and the profile
// of other tools are not read, as nothing in them should change or break us; what
// the environment says of the way to AWS (certificates, endpoints, FIPS, dual stack) counts.
func withKey(s cloud.Settings, sender HTTPClient) (aws.Config, error) {
	env, err := config.NewEnvConfig()
	if err != nil {
		return aws.Config{}, err
	}
	if env.CustomCABundle != "" {
		if sender, err = trusting(sender, env.CustomCABundle); err != nil {
			return aws.Config{}, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
	}
	return aws.Config{
		BaseEndpoint:  baseEndpoint(env),
		Region:        s.Region,
		Credentials:   aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(s.KeyID, s.SecretKey, "")),
		HTTPClient:    sender,
		AppID:         application,
		Logger:        logging.Nop{},
		ConfigSources: []any{env},
	}, nil
}

// baseEndpoint is where all services are by the environment; nil is AWS itself.
// What the environment says of one service, its client asks for by itself.
func baseEndpoint(env config.EnvConfig) *string {
	if env.BaseEndpoint == "" || aws.ToBool(env.IgnoreConfiguredEndpoints) {
		return nil
	}
	return aws.String(env.BaseEndpoint)
}

// trusting is a client that also trusts the certificates of a file. One that
// was given to us is left as it is: whom it trusts is its maker's matter.
func trusting(sender HTTPClient, file string) (HTTPClient, error) {
	ours, ok := sender.(*awshttp.BuildableClient)
	if !ok {
		return sender, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("there is no certificate in " + file)
	}
	return ours.WithTransportOptions(func(t *http.Transport) { t.TLSClientConfig.RootCAs = pool }), nil
}

// endpoint returns what chooses a service's base URL: that of the settings
// before any of the environment.
func endpoint(s cloud.Settings) func(*string) *string {
	return func(otherwise *string) *string {
		if s.Endpoint == "" {
			return otherwise
		}
		return aws.String(s.Endpoint)
	}
}

// renewed has credentials that end replaced before they do: what is signed with
// them in their last seconds is refused, and that would look like a wrong key.
func renewed(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute }

// role is credentials of a role that are taken on when first needed, and anew
// before they expire. Their requests have the SDK's own retries.
func role(cfg aws.Config, s cloud.Settings) aws.CredentialsProvider {
	endpoint := endpoint(s)
	asker := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = endpoint(o.BaseEndpoint) })
	return aws.NewCredentialsCache(bounded{stscreds.NewAssumeRoleProvider(asker, s.AssumeRole, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = application
		if s.SessionName != "" {
			o.RoleSessionName = s.SessionName
		}
		if s.ExternalID != "" {
			o.ExternalID = aws.String(s.ExternalID)
		}
	})}, renewed)
}

// credentialTimeout bounds how long credentials of a role take. STS answers
// within a second.
const credentialTimeout = 30 * time.Second

// bounded asks for a role's credentials with a deadline. The SDK's cache asks
// once for all who wait, and without the deadline of any of them: one question
// that hangs would have all of them wait for ever.
type bounded struct{ *stscreds.AssumeRoleProvider }

// Retrieve implements aws.CredentialsProvider.
func (b bounded) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, credentialTimeout)
	defer cancel()
	return b.AssumeRoleProvider.Retrieve(ctx)
}
