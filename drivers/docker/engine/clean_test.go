package engine

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"
)

func asItIs(_ *tar.Header, body io.Reader) io.Reader { return body }

// What an engine notes in a commit of the container stays behind, wherever it
// stands, and what is announced is what is written.
func TestCleanArchive(t *testing.T) {
	s, err := openSaved(writeTar(t,
		member{name: "c.json", body: `{"os":"linux","container":"0123","container_config":{"Env":["TOKEN=hush-hush"]},"config":{"Env":["TOKEN="]}}`},
		member{name: "l", kind: tar.TypeDir}, member{name: "l/json", body: `{"container_config":{"Env":["TOKEN=hush-hush"]}}`},
		member{name: "l/layer.tar", body: strings.Repeat("layer", 1000)}, member{name: "m/layer.tar", link: "../l/layer.tar", kind: tar.TypeSymlink},
		member{name: manifestFile, body: `[{"Config":"c.json","RepoTags":["other:1"],"Layers":["l/layer.tar","m/layer.tar"]}]`},
	), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	c, err := s.clean()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.write(&b, "mine:1", asItIs); err != nil {
		t.Fatal(err)
	}
	if n, err := c.length("mine:1"); err != nil || n != int64(b.Len()) {
		t.Errorf("length = %d, %v, want %d", n, err, b.Len())
	}
	if text := b.String(); strings.Contains(text, "hush") || strings.Contains(text, "0123") || !strings.Contains(text, strings.Repeat("layer", 1000)) {
		t.Errorf("archive = %q", text)
	}
	again, err := openSaved(writeFile(t, b.Bytes()), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer again.file.Close()
	if m := again.manifest; m.Config != strings.TrimPrefix(again.config, "sha256:")+".json" || m.RepoTags[0] != "mine:1" || len(m.Layers) != 2 {
		t.Errorf("manifest = %+v, configuration %s", m, again.config)
	}
}

// An engine that fails while it saves says so nowhere.
func TestCleanArchiveWithoutALayer(t *testing.T) {
	s, err := openSaved(writeTar(t, member{name: "c.json", body: "{}"}, member{name: manifestFile, body: oneImage}), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	c, err := s.clean()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.write(io.Discard, "mine:1", asItIs); err == nil || !strings.Contains(err.Error(), "l/layer.tar") {
		t.Errorf("error = %v, want one that names the layer", err)
	}
}
