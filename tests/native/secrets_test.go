//go:build linux

package native

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// planted are the secrets that a test gives to a node, by what they are.
type planted map[string]string

// add makes up a secret.
func (p planted) add(what string) string {
	value := "planted-" + strings.ReplaceAll(what, " ", "-") + "-4711"
	p[what] = value
	return value
}

// basic notes credentials in the form in which they are sent.
func (p planted) basic(what, user, password string) {
	p[what+" in a header"] = base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// TestNoSecretInTheLog: nothing that is for somebody's eyes alone is in any
// line that a node prints at debug level, in its access log, its audit, its
// traces when it dies, or in a debug bundle, whatever is done with it.
func TestNoSecretInTheLog(t *testing.T) {
	t.Parallel()
	p := planted{}
	file := folder(t) + "/secret"
	if err := os.WriteFile(file, []byte(p.add("secret of a file")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, fish.Options{
		Flags: []string{"--verbosity", "debug"}, Env: []string{"GOTRACEBACK=all", "KEEP_SECRET=" + p.add("secret of the environment")},
		Config: "    download_user: ci\n    download_password: {file: " + file + "}\n" +
			"- name: native/mirrored\n  cfg: {isolation: process, workspace_path: fourth, images_mirrors: [{from: \"https://me:" + p.add("password of a mirror") + "@host/\", to: []}]}\n" +
			"- name: native/second\n  cfg: {isolation: process, workspace_path: second, download_password: {env: KEEP_SECRET}}\n" +
			"- name: native/third\n  cfg: {isolation: process, workspace_path: third, images_mirrors: [{from: \"https://127.0.0.1:1/\", to: [\"https://127.0.0.1:2/?sig=" + p.add("signature of a mirror") + "&f=\"]}], no_such_password: " + p.add("unknown key") + ", download_password: " + p.add("inline secret") + "}\n" +
			"- name: native/bad\n  cfg: {isolation: process, download_password: [" + p.add("secret of a wrong type") + "]}\n- name: test\n" +
			"log_file: fish.log\nno_such_secret: " + p.add("unknown top key") + "\n",
	})
	p["the admin's password"] = s.AdminPassword
	p.basic("the admin's password", "admin", s.AdminPassword)
	p.keys(t, filepath.Join(s.Dir, "fish_data"))
	s.logins(p)
	s.lives(p)
	s.oddities(p)
	s.Signal(syscall.SIGABRT) // as a crash of the runtime: every goroutine's trace
	s.WaitExit()
	p.scan(t, s.everything())
}

// logins are good, bad and malformed, and users come and go.
func (s site) logins(p planted) {
	s.t.Helper()
	const users = "/api/v1/user/"
	own := p.add("chosen password")
	s.Request("POST", users, []byte(fmt.Sprintf(`{"name":"chosen","password":%q}`, own)))
	made := fish.Post[struct{ Password string }](s.Client, users, `{"name":"made"}`).Password
	p["a generated password"] = made
	p.basic("a generated password", "made", made)
	p.basic("the chosen password", "chosen", own)
	wrong := p.add("wrong password")
	p.basic("a wrong password", "admin", wrong)
	for _, c := range []fish.Client{s.As("chosen", own), s.As("made", made), s.As("admin", wrong), s.As("nobody", wrong), s.As("made", wrong)} {
		c.Request("GET", users+"me/", nil)
		c.Request("POST", users, []byte(fmt.Sprintf(`{"name":"chosen","password":%q}`, own))) // refused for most
	}
	for _, header := range []string{"Basic " + p.add("no base64"), "Bearer " + p.add("a token"), "Basic " + base64.StdEncoding.EncodeToString([]byte(p.add("no colon")))} {
		s.As("", "").Call(fish.Call{Path: users + "me/", Header: map[string]string{"Authorization": header}})
	}
	s.Request("POST", users, []byte(`{"name":"bad","password":{"nested":"`+p.add("password of a wrong type")+`"}}`))
	s.Request("DELETE", users+"made", nil)
}

// lives run through with secrets wherever a user may put one.
func (s site) lives(p planted) {
	s.t.Helper()
	definition := func(driver, options string) string {
		return fmt.Sprintf(`{"name":"secret-%s","version":1,"metadata":{"LABEL_TOKEN":%q},"definitions":[{"driver":%q,"options":%s,"resources":{"cpu":1,"ram":1},`+
			`"authentication":{"username":"ci","password":%q,"key":%q,"port":22}}]}`,
			strings.ReplaceAll(driver, "/", "-"), p.add("label metadata"), driver, options, p.add("label password"), p.add("label key"))
	}
	metadata := fmt.Sprintf(`{"AGENT_SECRET":%q}`, p.add("application metadata"))
	native := s.CreateLabel(definition("native", fmt.Sprintf(`{"entry":%q}`, `echo "URL=$AQUARIUM_FISH_METADATA_URL" && echo "printed $AGENT_SECRET" && exec sleep 100`)))
	imaged := s.CreateLabel(definition("native/third", fmt.Sprintf(`{"images":[{"url":"https://127.0.0.1:1/img.tar.gz?sig=%s","name":"img","version":"1"}]}`, p.add("signature of an image"))))
	tested := s.CreateLabel(definition("test", `{}`))
	for _, label := range []string{native, tested} {
		app := s.CreateApplication(label, metadata)
		s.WaitStatus(app, "ALLOCATED")
		s.Request("GET", "/api/v1/application/"+app+"/resource", nil)
		for _, body := range []string{`{"task":"snapshot","when":"ALLOCATED","options":{"password":"%s"}}`, `{"task":"snapshot","when":"DEALLOCATE","options":["%s"]}`} {
			s.Request("POST", "/api/v1/application/"+app+"/task/", []byte(fmt.Sprintf(body, p.add("task options"))))
		}
		if label == native {
			s.readMetadata(p, app)
		}
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
	}
	failing := s.CreateApplication(imaged, metadata)
	s.WaitStatus(failing, "ELECTED")
	s.WaitLine("img.tar.gz")
	s.Deallocate(failing)
	s.WaitStatus(failing, "DEALLOCATED")
	s.Request("POST", "/api/v1/label/", []byte(definition("native", `{"entry":["`+p.add("entry of a wrong type")+`"]}`)))
}

// readMetadata asks as the environment does, whose address is a secret.
func (s site) readMetadata(p planted, app string) {
	s.t.Helper()
	env := s.allocate(app, "printed ")
	url := env.value("URL")
	_, token, found := strings.Cut(url, "/token/")
	if !found {
		s.t.Fatalf("no token in %q", url)
	}
	const dataPath = "/meta/v1/data/"
	p["a metadata token"] = strings.SplitN(token, "/", 2)[0]
	for _, what := range []string{url, url + "?format=json", url + "nothing", strings.Replace(url, "/data/", "/", 1),
		strings.Replace(url, "/meta/", "//meta/", 1), strings.Replace(url, "/v1/token/", "/v2/Token/", 1),
		strings.Replace(url, "/token/", "/%74oken/", 1), strings.SplitN(url, "/meta/", 2)[0] + dataPath + "?token=" + p["a metadata token"],
	} {
		resp, err := s.HTTP.Get(what)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
