//go:build linux

package dockerd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
)

// Call asks the engine's API, such as "GET", "/containers/json", and returns
// the answer. It is no client that a driver could share a mistake with.
func (s *Server) Call(method, path string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, "http://engine"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	switch {
	case strings.HasPrefix(path, "/images/"), strings.HasPrefix(path, "/build"):
		req.Header.Set("Content-Type", "application/x-tar")
	case len(body) > 0:
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or of no use
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// Must is Call for what has to succeed; the answer is decoded into T.
func Must[T any](e *Engine, method, path string, body []byte) T {
	e.t.Helper()
	status, answer, err := e.Call(method, path, body)
	if err != nil {
		e.t.Fatal(err)
	}
	if status/100 != 2 {
		e.t.Fatalf("%s %s = %d %s", method, path, status, answer)
	}
	var v T
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &v); err != nil {
			e.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
	return v
}

// Container is what the engine lists of one.
type Container struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	State  string
	Labels map[string]string
}

// Name is without the slash that the engine puts before it.
func (c Container) Name() string { return strings.TrimPrefix(strings.Join(c.Names, ","), "/") }

// Containers lists all, those that ended too.
func (e *Engine) Containers() []Container {
	e.t.Helper()
	return Must[[]Container](e, "GET", "/containers/json?all=1", nil)
}

// Networks names those that somebody made.
func (e *Engine) Networks() (names []string) {
	e.t.Helper()
	for _, n := range Must[[]struct{ Name string }](e, "GET", "/networks", nil) {
		if !slices.Contains([]string{"bridge", "host", "none"}, n.Name) {
			names = append(names, n.Name)
		}
	}
	return names
}

// Volumes names them.
func (e *Engine) Volumes() (names []string) {
	e.t.Helper()
	for _, v := range Must[struct{ Volumes []struct{ Name string } }](e, "GET", "/volumes", nil).Volumes {
		names = append(names, v.Name)
	}
	return names
}

// Images names them by their tags, those without one by their IDs.
func (e *Engine) Images() (names []string) {
	e.t.Helper()
	for _, i := range Must[[]struct {
		ID       string `json:"Id"`
		RepoTags []string
	}](e, "GET", "/images/json", nil) {
		if len(i.RepoTags) == 0 {
			i.RepoTags = []string{i.ID}
		}
		names = append(names, i.RepoTags...)
	}
	slices.Sort(names)
	return names
}

// Logs is what a container printed, both streams as they came.
func (e *Engine) Logs(container string) string {
	e.t.Helper()
	status, text, err := e.Call("GET", "/containers/"+container+"/logs?stdout=1&stderr=1", nil)
	if err != nil || status != http.StatusOK {
		e.t.Fatalf("logs of %s: %d %s %v", container, status, text, err)
	}
	var b strings.Builder
	for len(text) >= 8 { // each piece has a head: its stream, and its length
		size := int(text[4])<<24 | int(text[5])<<16 | int(text[6])<<8 | int(text[7])
		text = text[8:]
		size = min(size, len(text))
		b.Write(text[:size])
		text = text[size:]
	}
	return b.String()
}

// Docker runs the command line client, which a test may do without.
func (s *Server) Docker(args ...string) (string, error) {
	cmd := exec.Command("docker", append([]string{"--host", s.Host(), "--config", s.dir + "/client"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}
