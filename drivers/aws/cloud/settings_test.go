package cloud

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSettingsValidate(t *testing.T) {
	good := Settings{Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: "hidden/key"}
	with := func(change func(*Settings)) Settings {
		s := good
		change(&s)
		return s
	}
	for _, tt := range []struct {
		name string
		s    Settings
		want string // part of the error; none if empty
	}{
		{"a key", good, ""},
		{"default credentials", Settings{Region: "us-gov-west-1"}, ""},
		{"a role", with(func(s *Settings) { s.AssumeRole, s.ExternalID = "arn:aws-cn:iam::123456789012:role/a/b", "x" }), ""},
		{"an endpoint", with(func(s *Settings) { s.Endpoint = "http://127.0.0.1:5000" }), ""},
		{"no region", with(func(s *Settings) { s.Region = "" }), "region is empty"},
		{"a zone", with(func(s *Settings) { s.Region = "eu-central-1a" }), "no name of a region"},
		{"another host", with(func(s *Settings) { s.Region = "evil.example/#-1" }), "no name of a region"},
		{"half a key", with(func(s *Settings) { s.SecretKey = "" }), "key_id goes together with secret_key"},
		{"the other half", with(func(s *Settings) { s.KeyID = "" }), "key_id goes together with secret_key"},
		{"a line's end", with(func(s *Settings) { s.SecretKey += "\n" }), "blanks"},
		{"an id for no role", with(func(s *Settings) { s.ExternalID = "x" }), "assume_role"},
		{"a role's name", with(func(s *Settings) { s.AssumeRole = "ci" }), "no ARN"},
		{"a user's ARN", with(func(s *Settings) { s.AssumeRole = "arn:aws:iam::123456789012:user/x" }), "no ARN"},
		{"a long session", with(func(s *Settings) { s.SessionName = strings.Repeat("x", 65) }), "session name"},
		{"no URL", with(func(s *Settings) { s.Endpoint = "127.0.0.1:5000" }), "no URL"},
		{"a password", with(func(s *Settings) { s.Endpoint = "http://u:hidden@127.0.0.1" }), "without user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.s.Validate()
			if tt.want == "" {
				if err != nil {
					t.Errorf("Validate() = %v, want nil", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Errorf("Validate() = %v, which tells a secret", err)
			}
		})
	}
}

func TestSettingsKeepTheirSecret(t *testing.T) {
	s := Settings{Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: "hidden/key"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("dial", "settings", s, "pointer", &s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s %q", s, s, &s, s), fmt.Sprintf("%+v", []Settings{s}), log.String()} {
		if strings.Contains(text, "hidden") {
			t.Errorf("%s tells the secret", text)
		}
		if !strings.Contains(text, "AKIDEXAMPLE") {
			t.Errorf("%s does not tell the key's id", text)
		}
	}
}
