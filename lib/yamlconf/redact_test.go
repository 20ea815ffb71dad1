package yamlconf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

func TestRedact(t *testing.T) {
	t.Setenv("KEEP_SECRET", "of the environment")
	const text = `# the password is hunter1
node_name: fish # hunter2
drivers:
- name: native
  cfg: &shared
    download_user: ci
    download_password: hunter3
    images_mirrors: [{from: "https://me:hunter4@host/a", to: ["https://host/b?sig=hunter5"]}]
    other_secret: {env: KEEP_SECRET}
    api_key: [hunter6, {deep: hunter7}]
    empty_token:
    registryPasswords: {hub: hunter8}
    secret_key: {file: /no/such/file}
    tokens: [{env: KEEP_SECRET}, {file: /no/such/file}]
- name: again
  cfg: *shared
`
	clean, secrets, err := yamlconf.Redact([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(clean), "hunter") {
		t.Errorf("a secret is left:\n%s", clean)
	}
	for _, want := range []string{"node_name: fish", "download_user: ci", "KEEP_SECRET", "/no/such/file", "https", "host/a"} {
		if !strings.Contains(string(clean), want) {
			t.Errorf("%q is gone:\n%s", want, clean)
		}
	}
	if diff := cmp.Diff([]string{"hunter3", "of the environment", "hunter6", "hunter7", "hunter8", "of the environment"}, secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if _, _, err := yamlconf.Redact([]byte("a: [")); err == nil {
		t.Error("no error of no YAML")
	}
	if clean, _, err := yamlconf.Redact(nil); err != nil || len(clean) > 0 {
		t.Errorf("of nothing: %q, %v", clean, err)
	}
}
