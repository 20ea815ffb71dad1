//go:build linux

package native

import (
	"archive/tar"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// keys notes what is between the first and the last line of every private key
// of the node.
func (p planted) keys(t *testing.T, directory string) {
	t.Helper()
	files, err := filepath.Glob(directory + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		if block, _ := pem.Decode(text); block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY") {
			p["the key "+filepath.Base(file)] = strings.Split(string(text), "\n")[1]
		}
	}
	for _, name := range []string{"ca.key", fish.NodeName + ".key"} {
		if p["the key "+name] == "" {
			t.Fatalf("no private key in %s", name)
		}
	}
}

// oddities are requests with secrets where none belongs, and bodies that break
// where one is.
func (s site) oddities(p planted) {
	s.t.Helper()
	nobody := s.As("", "")
	s.Call(fish.Call{Path: "/api/v1/label/?access_token=" + p.add("query parameter"), Header: map[string]string{
		"Cookie": "session=" + p.add("cookie"), "X-Api-Key": p.add("header of its own"),
		"Proxy-Authorization": "Basic " + p.add("proxy credentials"), "Referer": "https://host/?t=" + p.add("referer"),
	}})
	nobody.Call(fish.Call{Path: "/meta/v1/data/?" + p.add("query without a name")})
	s.Call(fish.Call{Path: "/api/v1/no/such/route?password=" + p.add("parameter of no route")})
	s.absolute(p)
	s.brokenBodies(p)
	typed := p.add("password typed as a name")
	for i := range 12 { // past the limit, which is told
		s.As(typed, fmt.Sprint("guess-", i)).Request("GET", "/api/v1/user/me/", nil)
	}
	s.WaitLine("logins limited after failures")
}

// absolute sends a request whose line has a whole URL, as proxies get it, with
// a password in it.
func (s site) absolute(p planted) {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.Address(), s.TLS())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintf(c, "GET https://me:%s@%s/api/v1/user/me/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", p.add("password in a URL"), s.Address())
	if err != nil {
		s.t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401") {
		s.t.Fatalf("a whole URL: %q, %v", answer, err)
	}
}

// brokenBodies can not be read, or are not what the route takes.
func (s site) brokenBodies(p planted) {
	s.t.Helper()
	const noUID = "00000000-0000-4000-8000-000000000000"
	for i, path := range []string{
		"user/", "label/", "label/check", "application/", "application/" + noUID + "/task/", "location/", "servicemapping/", "node/this/drain",
	} {
		secret := p.add(fmt.Sprint("broken body ", i))
		for _, body := range []string{
			`{"password":"` + secret + `"`, `{"password":"` + secret + `",}`, `["` + secret + `"]`, `"` + secret + `"`,
			`{"name":{"x":"` + secret + `"},"label_UID":"` + secret + `","task":["` + secret + `"],"enable":"` + secret + `"}`,
			`{"` + secret + `":1,"` + secret + `":2}`,
		} {
			s.Request("POST", "/api/v1/"+path, []byte(body))
		}
		for _, body := range []string{"password: [" + secret, "password: !!binary " + secret, "a: *" + secret, secret + ": {", "- " + secret} {
			s.Call(fish.Call{Method: "POST", Path: "/api/v1/" + path, Type: fish.YAML, Body: body})
		}
	}
}

// everything is what the node has said, by where.
func (s site) everything() map[string]string {
	s.t.Helper()
	stdout, stderr := s.Lines()
	told := map[string]string{
		"stdout": strings.Join(stdout, "\n"),
		"stderr": strings.Join(without(stderr, "Admin user pass: "), "\n"), // said once, on purpose (contract 4)
	}
	data := filepath.Join(s.Dir, "fish_data")
	for _, name := range []string{"fish.log", fish.NodeName + "_audit.log", fish.NodeName + "_audit.log.config"} {
		text, err := os.ReadFile(filepath.Join(data, name))
		if err != nil {
			s.t.Fatal(err)
		}
		told[name] = string(text)
	}
	config := filepath.Join(s.Dir, "fish.yaml")
	bundle := filepath.Join(s.Dir, "bundle.tar.gz")
	for _, args := range [][]string{
		{"config", "check", config}, {"audit", "list", "--help"},
		{"debug", "bundle", "-o", bundle, "--log", filepath.Join(data, "fish.log"), "--cfg", config},
	} {
		got := fish.Run(s.t, s.Dir, args...)
		told[strings.Join(args[:2], " ")] = got.Stdout + got.Stderr
	}
	for name, text := range unpack(s.t, bundle) {
		told["bundle: "+name] = text
	}
	for place, part := range map[string]string{ // that each is what it should be
		"stdout": "Fish initialized", "stderr": "goroutine ", "fish.log": `"uri":"/api/v1/`, fish.NodeName + "_audit.log": `"action":"login"`,
		"config check": "no_such_secret", "bundle: aquarium-fish-debug/log.txt": `"uri":`, "bundle: aquarium-fish-debug/config.yml": "download_user: ci",
	} {
		if !strings.Contains(told[place], part) {
			s.t.Errorf("%s has no %q: %.300q", place, part, told[place])
		}
	}
	return told
}

func unpack(t testing.TB, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		parts[h.Name] = string(text)
	}
}

// scan fails for every secret in what was told.
func (p planted) scan(t *testing.T, told map[string]string) {
	t.Helper()
	for place, text := range told {
		for line := range strings.SplitSeq(text, "\n") {
			for _, what := range p.in(line) {
				t.Errorf("%s: %s is in the line %q", place, what, line)
			}
		}
	}
}

// base64Run is what may be one or more secrets in base64.
var base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)

// in names the secrets in a line: as they are, and in base64 at any alignment.
func (p planted) in(line string) (found []string) {
	texts := []string{line}
	for _, run := range base64Run.FindAllString(line, -1) {
		run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
		for skip := range 4 {
			decoded, _ := base64.RawStdEncoding.DecodeString(run[skip:]) // of half a run the bytes before the mistake
			texts = append(texts, string(decoded))
		}
	}
	for what, secret := range p {
		for _, text := range texts {
			if strings.Contains(text, secret) {
				found = append(found, what)
				break
			}
		}
	}
	return found
}

// TestScanFindsSecrets: the scan can fail.
func TestScanFindsSecrets(t *testing.T) {
	p := planted{}
	secret := p.add("a")
	for name, line := range map[string]string{
		"plain": `password="` + secret + `"`, "in a word": "x" + secret + "y", "header": "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+secret)),
		"base64 within more": "key=AAA" + base64.URLEncoding.EncodeToString([]byte(secret+"??>>")), "JSON": fmt.Sprintf(`{"k":%q}`, secret),
	} {
		if got := p.in(line); len(got) != 1 {
			t.Errorf("%s: found %q in %q, want one", name, got, line)
		}
	}
	if got := p.in("planted-a-471 " + base64.StdEncoding.EncodeToString([]byte("admin:planted-b-4711"))); len(got) != 0 {
		t.Errorf("found %q where nothing is", got)
	}
}

func without(lines []string, prefix string) (rest []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) {
			rest = append(rest, line)
		}
	}
	return rest
}
