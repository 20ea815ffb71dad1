// Package awssdk is cloud.API for AWS itself, on aws-sdk-go-v2. It is the only
// importer of the SDK: service/ec2 takes minutes to compile, and nothing but the
// binary should wait for that.
package awssdk

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// application is how we call ourselves at the service: in requests' user agent,
// and as the name of a role's session.
const application = "aquarium-fish"

// connectTimeout bounds how long a connection takes, without TLS.
const connectTimeout = 10 * time.Second

// HTTPClient sends requests. One that is not an *http.Client over an
// *http.Transport must call the hooks of net/http/httptrace: what was written
// is what may have been done.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

// Options are what a Dialer may be given.
type Options struct {
	// HTTP sends all requests; nil: a client of the Dialer's own with the proxy
	// of the environment.
	HTTP HTTPClient
	// MaxBackoff is the longest pause before a request is tried again; 5 s if 0.
	MaxBackoff time.Duration
	// Share is how much of the rate that AWS allows is used; 0.5 if 0.
	Share float64
}

// Dialer makes clients and keeps one of each: only who shares a client shares
// its connections, its credentials and its budget of requests. Made by NewDialer.
type Dialer struct {
	http    HTTPClient
	backoff time.Duration
	share   float64

	mu      sync.Mutex
	clients map[cloud.Settings]*client
}

// NewDialer makes a Dialer. It asks nobody anything.
func NewDialer(o Options) *Dialer {
	d := &Dialer{http: o.HTTP, backoff: cmp.Or(o.MaxBackoff, maxBackoff), share: cmp.Or(o.Share, share), clients: map[cloud.Settings]*client{}}
	if d.http == nil {
		// The timeout is for requests that bring no deadline along: those by which
		// the SDK itself asks for credentials.
		d.http = awshttp.NewBuildableClient().WithTimeout(attemptTimeout).WithDialerOptions(func(dialer *net.Dialer) {
			dialer.Timeout = connectTimeout
		})
	}
	return d
}

var _ cloud.Dial = (*Dialer)(nil).Dial

// Dial returns the client of the settings. It reads the environment, and the
// shared files of AWS's tools if no key is given, but sends nothing.
func (d *Dialer) Dial(ctx context.Context, s cloud.Settings) (cloud.API, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	known := d.clients[s]
	d.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := d.newClient(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if earlier := d.clients[s]; earlier != nil { // another was faster; ours holds nothing yet
		return earlier, nil
	}
	d.clients[s] = made
	return made, nil
}

// client is cloud.API of one region with one set of credentials.
type client struct {
	region  string
	secrets []string // what no error may say
	ec2     *ec2.Client
	kms     *kms.Client
	quotas  *servicequotas.Client
	sts     *sts.Client
}

var _ cloud.API = (*client)(nil)

func (d *Dialer) newClient(ctx context.Context, s cloud.Settings) (*client, error) {
	cfg, err := configure(ctx, s, d.http)
	if err != nil {
		return nil, err
	}
	endpoint := endpoint(s)
	if s.AssumeRole != "" {
		cfg.Credentials = role(cfg, s)
	}
	g := newGate(d.share)
	c := &client{
		region: s.Region,
		ec2: ec2.NewFromConfig(cfg, func(o *ec2.Options) {
			o.BaseEndpoint, o.Retryer = endpoint(o.BaseEndpoint), newRetryer(d.backoff)
			o.APIOptions = append(o.APIOptions, g.install)
		}),
		kms: kms.NewFromConfig(cfg, func(o *kms.Options) {
			o.BaseEndpoint, o.Retryer = endpoint(o.BaseEndpoint), newRetryer(d.backoff)
			o.APIOptions = append(o.APIOptions, g.install)
		}),
		quotas: servicequotas.NewFromConfig(cfg, func(o *servicequotas.Options) {
			o.BaseEndpoint, o.Retryer = endpoint(o.BaseEndpoint), newRetryer(d.backoff)
			o.APIOptions = append(o.APIOptions, g.install)
		}),
		sts: sts.NewFromConfig(cfg, func(o *sts.Options) {
			o.BaseEndpoint, o.Retryer = endpoint(o.BaseEndpoint), newRetryer(d.backoff)
			o.APIOptions = append(o.APIOptions, g.install)
		}),
	}
	if s.SecretKey != "" {
		c.secrets = []string{s.SecretKey}
	}
	return c, nil
}
