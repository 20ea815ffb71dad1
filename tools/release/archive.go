package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// archive writes a tar.gz: the binary, what explains it, and the units of services.
func (j job) archive(w io.Writer, b binary) error {
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	top := fmt.Sprintf("aquarium-fish_%s_%s_%s/", j.version, b.os, b.arch)
	for _, f := range []struct {
		name, path string
		mode       int64
	}{
		{"aquarium-fish", b.path, 0o755},
		{"LICENSE", j.file("LICENSE"), 0o644},
		{"README.md", j.file("README.md"), 0o644},
		{"config.yml", j.file("packaging/config.yml"), 0o644},
		{"aquarium-fish.service", j.file("packaging/aquarium-fish.service"), 0o644},
		{"org.aquarium-fish.node.plist", j.file("packaging/org.aquarium-fish.node.plist"), 0o644},
	} {
		if err := j.add(out, tar.Header{Name: top + f.name, Mode: f.mode}, f.path); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return zip.Close()
}

// file is a path in the repository.
func (j job) file(path string) string { return filepath.Join(j.root, filepath.FromSlash(path)) }

func (j job) add(out *tar.Writer, h tar.Header, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	h.Size, h.ModTime, h.Format = int64(len(data)), j.when, tar.FormatPAX
	h.Typeflag, h.Uname, h.Gname = tar.TypeReg, "root", "root"
	if err := out.WriteHeader(&h); err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}
