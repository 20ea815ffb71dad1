package offline

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// minSecret is the length from which a known secret is looked for in every
// part: a shorter one would tear up words, and is in no part by its name.
const minSecret = 4

// bundle is what was gathered so far.
type bundle struct {
	now     time.Time
	parts   []part
	lacking []string
	secrets []string // known ones, to be removed wherever they are
}

type part struct {
	name string
	data []byte
}

// add adds a part, or why it can not be had.
func (b *bundle) add(name string, data []byte, err error) {
	if err != nil {
		b.missing(name, err)
		return
	}
	b.parts = append(b.parts, part{name, data})
}

func (b *bundle) text(name, text string) { b.add(name, []byte(text), nil) }

// missing notes what can not be had.
func (b *bundle) missing(name string, err error) {
	b.lacking = append(b.lacking, fmt.Sprintf("%s: %v", name, err))
}

// scrub removes what a log or an answer should not have, but of which nobody
// can be sure: known secrets, credentials in headers and URLs, private keys.
func (b *bundle) scrub(data []byte) []byte {
	for _, s := range b.secrets {
		if len(s) >= minSecret {
			data = bytes.ReplaceAll(data, []byte(s), []byte("(removed)"))
		}
	}
	for _, r := range []struct{ pattern, by string }{
		{`(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{8,}`, "$1 (removed)"},
		{`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`, "(private key removed)"},
		{`(://)[^/@\s"]*@`, "$1(removed)@"},
		{`fishjoin1_[A-Za-z0-9_-]+`, "(token removed)"},
		{`(?i)\b(fishjoin)\s+[A-Za-z0-9_-]{8,}`, "$1 (removed)"},
		{`(Admin user pass: )\S+`, "$1(removed)"},
		{`(/meta/v1/token/)[^/\s"]+`, "$1(removed)"},
		{`(?i)("?(?:password|passphrase|secret|token)"?\s*[:=]\s*)("[^"]*"|[^\s,}]+)`, "$1(removed)"},
	} {
		data = regexp.MustCompile(r.pattern).ReplaceAll(data, []byte(r.by))
	}
	return data
}

// write makes the file, for its owner alone. One that is there is not replaced.
func (b *bundle) write(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(b.fill(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func (b *bundle) fill(w io.Writer) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	b.text("missing.txt", strings.Join(b.lacking, "\n")+"\n")
	for _, p := range b.parts {
		if !strings.HasSuffix(p.name, ".pprof") { // compressed, and of names of functions alone
			p.data = b.scrub(p.data)
		}
		h := &tar.Header{Name: "aquarium-fish-debug/" + p.name, Mode: 0o600, Size: int64(len(p.data)), ModTime: b.now, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		if _, err := archive.Write(p.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}
