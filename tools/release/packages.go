package main

import (
	"io"
	"os"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // a format that nfpm.Get knows
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // a format that nfpm.Get knows
)

// packager writes packages of a format.
func (j job) packager(format string) func(io.Writer, binary) error {
	return func(w io.Writer, b binary) error {
		info := nfpm.WithDefaults(j.describe(b))
		if err := nfpm.PrepareForPackager(info, format); err != nil {
			return err
		}
		p, err := nfpm.Get(format)
		if err != nil {
			return err
		}
		return p.Package(info, w)
	}
}

func (j job) describe(b binary) *nfpm.Info {
	info := &nfpm.Info{
		Name: "aquarium-fish", Arch: b.arch, Platform: b.os, Version: packageVersion(j.version), VersionSchema: "none",
		Section: "admin", Priority: "optional", License: "Apache-2.0", MTime: j.when,
		Maintainer:  "The Aquarium Fish authors",
		Homepage:    "https://github.com/aquarium-fish/aquarium-fish",
		Description: "Node of a peer-to-peer resource manager for CI\nGives out environments (processes, containers, machines) over a REST API.",
	}
	info.Contents = j.contents(b)
	info.Scripts = nfpm.Scripts{
		PostInstall: j.file("packaging/postinst.sh"), PreRemove: j.file("packaging/prerm.sh"), PostRemove: j.file("packaging/postrm.sh"),
	}
	info.RPM.BuildHost = "localhost" // of the machine nothing may show in a package
	return info
}

// contents are the files of a package. Folders with data are made by the script that also makes their owner.
func (j job) contents(b binary) files.Contents {
	file := func(mode uint32, from, to, kind string) *files.Content {
		return &files.Content{Source: from, Destination: to, Type: kind, FileInfo: &files.ContentFileInfo{
			Owner: "root", Group: "root", Mode: os.FileMode(mode), MTime: j.when,
		}}
	}
	const doc = "/usr/share/doc/aquarium-fish/"
	return files.Contents{
		file(0o755, b.path, "/usr/bin/aquarium-fish", ""),
		file(0o644, j.file("packaging/aquarium-fish.service"), "/usr/lib/systemd/system/aquarium-fish.service", ""),
		file(0o640, j.file("packaging/config.yml"), "/etc/aquarium-fish/config.yml", "config|noreplace"),
		file(0o644, j.file("LICENSE"), doc+"copyright", ""),
		file(0o644, j.file("README.md"), doc+"README.md", ""),
		file(0o644, j.file("examples/label.yml"), doc+"label.yml", ""),
	}
}
