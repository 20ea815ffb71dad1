// Package images gets the images that definitions name and keeps them for the
// drivers of this machine: downloaded once however many wait, checked, unpacked,
// and laid out whole or not at all. DESIGN.md states what holds after a crash
// and between processes that share one cache.
package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
)

// maxName bounds a name and a version, so that their folder fits in the 255
// bytes that file systems allow.
const maxName = 100

// Image is one entry of the option `images` of a definition (contract 29, 30).
type Image struct {
	URL     string `json:"url"`
	Sum     string `json:"sum"`     // "<algo>:<hex>" of the archive; may be empty
	Name    string `json:"name"`    // from the URL's file name where empty
	Version string `json:"version"` // from the URL's file name where empty
	Tag     string `json:"tag"`     // what it means is the driver's business
}

// ReadList reads the option `images` of a definition. The commonest mistake is
// told by its place: YAML reads a version without quotes as a number.
func ReadList(value json.RawMessage, into *[]Image) error {
	const want = "want a list of objects with url, sum, name, version, tag"
	var entries []json.RawMessage
	if err := json.Unmarshal(value, &entries); err != nil {
		return fmt.Errorf("got %.40s, "+want, value)
	}
	list := make([]Image, len(entries))
	for n, entry := range entries {
		err := json.Unmarshal(entry, &list[n])
		if mistake, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mistake.Field != "" {
			return fmt.Errorf("entry %d: %s is no text but a JSON %s: put it in quotes", n, mistake.Field, mistake.Value)
		}
		if err != nil || string(entry) == "null" {
			return fmt.Errorf("entry %d: got %.40s, "+want, n, entry)
		}
	}
	*into = list
	return nil
}

// Validate says what is wrong with the image as it is written, in words for
// the user who wrote it. What a cache allows besides is for [Cache.Check].
func (i Image) Validate() error {
	_, err := i.parse()
	return err
}

// NameVersion returns the image's name and version: those given, else those
// from the URL's file name, cut at its last '-' (contract 30).
func (i Image) NameVersion() (name, version string, err error) {
	p, err := i.parse()
	return p.name, p.version, err
}

// parsed is an image that was found valid.
type parsed struct {
	url           *url.URL
	sum           sum
	name, version string
}

func (i Image) parse() (parsed, error) {
	u, err := parseURL(i.URL)
	if err != nil {
		return parsed{}, err
	}
	s, err := parseSum(i.Sum)
	if err != nil {
		return parsed{}, err
	}
	p := parsed{url: u, sum: s, name: i.Name, version: i.Version}
	stem, last := splitFile(path.Base(u.Path))
	if p.name == "" {
		p.name = stem
	}
	if p.version == "" {
		p.version = last
	}
	if err := checkWord("name", p.name); err != nil {
		return parsed{}, err
	}
	return p, checkWord("version", p.version)
}

func parseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("image has no url: set it to where the archive is")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("image url can not be read: check its escapes and its port")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("image url holds a user: remove it, the node sends its own download_user and download_password")
	case u.Scheme == "file":
		if u.Host != "" && u.Host != "localhost" || !path.IsAbs(u.Path) {
			return nil, fmt.Errorf("image url %q: want file:///absolute/path", shown(u))
		}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("image url %q: its scheme must be https, http or file", shown(u))
	case u.Hostname() == "":
		return nil, fmt.Errorf("image url %q: it names no host", shown(u))
	}
	return u, nil
}

// splitFile cuts "name-version.tar.xz" at its last '-'. Without one there is
// no version.
func splitFile(file string) (name, version string) {
	for _, ext := range []string{
		".tar.xz", ".tar.gz", ".tar.zst", ".txz", ".tgz", ".tzst", ".tar", ".zip", ".xz", ".gz", ".zst",
	} {
		if cut, ok := strings.CutSuffix(file, ext); ok {
			file = cut
			break
		}
	}
	if at := strings.LastIndexByte(file, '-'); at >= 0 {
		return file[:at], file[at+1:]
	}
	return file, ""
}

// checkWord refuses what could not be part of a folder's name, or would leave
// the cache's folder.
func checkWord(option, word string) error {
	if word == "" {
		return fmt.Errorf("image has no %s: set it, or name the file of the url <name>-<version>.tar.xz", option)
	}
	bad := strings.IndexFunc(word, func(r rune) bool {
		return strings.ContainsRune(`/\:*?"<>|`, r) || unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar
	})
	if bad >= 0 || len(word) > maxName || word[0] == '.' || word[0] == '-' {
		return fmt.Errorf("image %s %q: want at most %d letters, digits and any of . _ - + ~ @ with no dot or dash in front", option, word, maxName)
	}
	return nil
}

// shown is the URL for logs and errors: without its query, which may hold a
// signature that gives access.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
