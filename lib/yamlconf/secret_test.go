package yamlconf_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

type withSecret struct {
	Password yamlconf.Secret `yaml:"password"`
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("KEEP_SECRET", "from the environment")
	t.Setenv("KEEP_EMPTY", "")
	huge := write("huge", strings.Repeat("x", 65<<10))
	for _, tt := range []struct{ name, text, want, problem string }{
		{"inline", `password: "hunter2"`, "hunter2", ""},
		{"none", `password:`, "", ""},
		{"file", "password: {file: " + write("file", "line\n") + "}", "line", ""},
		{"inner newline", "password: {file: " + write("two", "a\nb\r\n") + "}", "a\nb", ""},
		{"env", "password: {env: KEEP_SECRET}", "from the environment", ""},
		{"JSON", `{"password":{"ENV":"KEEP_SECRET"}}`, "from the environment", ""},
		{"no file", "\npassword: {file: " + dir + "/none}", "", "line 2: password: the file of the secret can not be read, make it"},
		{"a folder", "password: {file: " + dir + "}", "", "no regular file"},
		{"empty file", "password: {file: " + write("empty", "\n") + "}", "", "write the secret into it"},
		{"huge file", "password: {file: " + huge + "}", "", "is it the right one?"},
		{"no variable", "password: {env: KEEP_NONE}", "", `"KEEP_NONE" is not set`},
		{"empty variable", "password: {env: KEEP_EMPTY}", "", "not set, or empty"},
		{"both", "password: {env: A, file: b}", "", "want one key"},
		{"other key", "password: {vault: a}", "", "want one key"},
		{"deep", "password: {file: [a]}", "", "want one key"},
		{"number", "password: 4711", "", "password: want a string (put it in quotes)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := yamlconf.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var got withSecret
			err = doc.Decode(&got)
			if tt.problem == "" && (err != nil || string(got.Password) != tt.want) {
				t.Errorf("Decode = %v with %q, want %q", err, string(got.Password), tt.want)
			}
			if tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("Decode = %v, want %q", err, tt.problem)
			}
			if err != nil && strings.Contains(err.Error(), "4711") {
				t.Errorf("the complaint repeats the secret: %v", err)
			}
		})
	}
}

func TestSecretHidesItself(t *testing.T) {
	v := withSecret{Password: "hunter2"}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{string(text), fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v.Password, v.Password), v.Password.LogValue().String()} {
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "(secret)") {
			t.Errorf("printed as %s", got)
		}
	}
	if got := yamlconf.Secret("").String(); got != "" {
		t.Errorf("no secret is printed as %q", got)
	}
}

// TestSecretsOfLaterDrivers: a key of a cloud, and a list of registries with a
// password each, need no more than the type and the name of their keys.
func TestSecretsOfLaterDrivers(t *testing.T) {
	t.Setenv("KEEP_SECRET", "hunter3")
	const text = `secret_key: hunter1
registries:
- {host: a, password: hunter2}
- {host: b, password: {env: KEEP_SECRET}}
passwords: {hub: hunter4, own: {env: KEEP_SECRET}}
tokens: [hunter5, {env: KEEP_SECRET}]
`
	doc, err := yamlconf.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		SecretKey  yamlconf.Secret `yaml:"secret_key"`
		Registries []struct {
			Host     string          `yaml:"host"`
			Password yamlconf.Secret `yaml:"password"`
		} `yaml:"registries"`
		Passwords map[string]yamlconf.Secret `yaml:"passwords"`
		Tokens    []yamlconf.Secret          `yaml:"tokens"`
	}
	if err := doc.Decode(&got); err != nil {
		t.Fatal(err)
	}
	all := []yamlconf.Secret{got.SecretKey, got.Registries[0].Password, got.Registries[1].Password, got.Passwords["hub"], got.Passwords["own"], got.Tokens[0], got.Tokens[1]}
	var plain []string
	for _, s := range all {
		plain = append(plain, string(s))
	}
	if got, want := strings.Join(plain, " "), "hunter1 hunter2 hunter3 hunter4 hunter3 hunter5 hunter3"; got != want {
		t.Errorf("secrets %q, want %q", got, want)
	}
	var keys []string
	for _, p := range yamlconf.InlineSecrets([]byte(text), "") {
		keys = append(keys, fmt.Sprint(p.Line, " ", p.Key))
	}
	if got, want := strings.Join(keys, ", "), "1 secret_key, 3 registries[0].password, 5 passwords.hub, 6 tokens[0]"; got != want {
		t.Errorf("inline %q, want %q", got, want)
	}
}

func TestInlineSecrets(t *testing.T) {
	got := yamlconf.InlineSecrets([]byte("download_password: a\nkey_id: b\nlist:\n- {AuthToken: c}\nother_password: {env: X}\nempty_secret: ''\nssh_key_path: d\n"), "cfg")
	var keys []string
	for _, p := range got {
		keys = append(keys, fmt.Sprint(p.Line, " ", p.Key))
	}
	if want := "1 cfg.download_password, 4 cfg.list[0].AuthToken"; strings.Join(keys, ", ") != want {
		t.Errorf("inline secrets %q, want %q", keys, want)
	}
	if got := yamlconf.InlineSecrets([]byte("a: ["), ""); got != nil {
		t.Errorf("of no YAML: %v", got)
	}
}
