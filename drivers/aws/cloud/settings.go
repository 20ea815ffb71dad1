package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// Settings say which region an API is of, and as whom it is asked.
type Settings struct {
	Region string // such as "eu-central-1"
	// KeyID and SecretKey are an access key. Without both, the credentials are
	// looked for where every tool of AWS looks: environment, shared files,
	// container, machine.
	KeyID, SecretKey string
	// AssumeRole is the ARN of a role to take on with these credentials; empty:
	// they are used themselves.
	AssumeRole string
	// ExternalID is what the role's owner asks for in return, if anything.
	ExternalID string
	// SessionName is what the role's use is called in the account's audit log;
	// empty: "aquarium-fish".
	SessionName string
	// Endpoint is the base URL of all services instead of AWS's own, for tests
	// and for what looks like AWS; empty: AWS's own.
	Endpoint string
}

// Dial makes an API of settings. It does not ask the service anything: wrong
// credentials show at the first call.
type Dial func(ctx context.Context, s Settings) (API, error)

// Validate says what is wrong with the settings, and never quotes a key.
func (s Settings) Validate() error {
	switch {
	case s.Region == "":
		return errors.New("region is empty: name one, such as eu-central-1")
	case !regionName().MatchString(s.Region):
		return fmt.Errorf("region %q is no name of a region: such are eu-central-1 and us-gov-west-1", s.Region)
	case (s.KeyID == "") != (s.SecretKey == ""):
		return errors.New("key_id goes together with secret_key: give both, or none to use the default credentials")
	case strings.TrimSpace(s.KeyID) != s.KeyID, strings.TrimSpace(s.SecretKey) != s.SecretKey:
		return errors.New("key_id or secret_key has blanks around it: remove them")
	case s.AssumeRole == "" && s.ExternalID != "":
		return errors.New("external_id is of use with assume_role only: name a role, or remove it")
	case s.AssumeRole != "" && !roleARN().MatchString(s.AssumeRole):
		return fmt.Errorf("assume_role %q is no ARN of a role: such is arn:aws:iam::123456789012:role/name", s.AssumeRole)
	case s.SessionName != "" && !sessionName().MatchString(s.SessionName):
		return fmt.Errorf("the session name %q is not of 2 to 64 letters, digits and +=,.@_-", s.SessionName)
	}
	return s.validateEndpoint()
}

func (s Settings) validateEndpoint() error {
	if s.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("endpoint is no URL of a server: such is http://127.0.0.1:5000") // not quoted: it may hold a password
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("endpoint is a plain URL of a server, without user, query and fragment")
	}
	return nil
}

// regionName is strict as the name becomes a part of host names.
func regionName() *regexp.Regexp { return regexp.MustCompile(`^[a-z]{2,10}(-[a-z]+)+-[0-9]{1,2}$`) }

func roleARN() *regexp.Regexp {
	return regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$`)
}

// sessionName is STS's own rule.
func sessionName() *regexp.Regexp { return regexp.MustCompile(`^[\w+=,.@-]{2,64}$`) }

// String tells the settings without the secret parts.
func (s Settings) String() string {
	as := "default credentials"
	if s.KeyID != "" {
		as = "key " + s.KeyID
	}
	if s.AssumeRole != "" {
		as += " as " + s.AssumeRole
	}
	if s.Endpoint != "" {
		as += " at " + s.Endpoint
	}
	return s.Region + " with " + as
}

// GoString is String, so that no format prints the secret key.
func (s Settings) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }
