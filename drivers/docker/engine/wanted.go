package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// Our own names in an engine. A name of the host `localhost` is never pulled
// from a stranger's registry, also not by an admin who mistypes one.
const (
	namespace     = "localhost/aquarium-fish/"
	loadedRepo    = namespace + "image"    // loaded from an archive
	pulledRepo    = namespace + "pulled"   // on what was pulled, beside its own name
	snapshotsRepo = namespace + "snapshot" // what the task `snapshot` committed
	tasksRepo     = namespace + "task"     // on its way into the archive of the task `image`
)

// maxTag is how long the engine lets a tag be.
const maxTag = 128

// wanted is one entry of the option `images`, read.
type wanted struct {
	image images.Image
	// key says what makes two entries the same image. It is the beginning of
	// the claim's tag.
	key string
	// ref is what the engine and its registry call an image that has no url;
	// nil for an archive.
	ref reference.Named
	// claim is our own name of it, which the image has if we brought it.
	claim string
	// name and version are for people.
	name, version string
}

// source is where the image comes from, for people and logs.
func (w wanted) source() string {
	if w.ref == nil {
		url, _, _ := strings.Cut(w.image.URL, "?") // what follows may be a signature
		return url
	}
	return w.ref.String()
}

// id is the image's name in lists.
func (w wanted) id() string {
	if w.ref == nil {
		return w.claim
	}
	return reference.FamiliarString(w.ref)
}

// Check says what is wrong with the list, in words for the user who wrote it.
// It asks nobody.
func (i *Images) Check(list []images.Image) error {
	if len(list) == 0 {
		return errors.New("images: the list is empty: name at least the image that runs")
	}
	for n, image := range list {
		if _, err := i.read(image); err != nil {
			return fmt.Errorf("images[%d]: %w", n, err)
		}
	}
	return nil
}

func (i *Images) readAll(list []images.Image) ([]wanted, error) {
	if err := i.Check(list); err != nil {
		return nil, err
	}
	all := make([]wanted, len(list))
	for n, image := range list {
		all[n], _ = i.read(image) // as Check did
	}
	return all, nil
}

func (i *Images) read(image images.Image) (wanted, error) {
	if image.URL != "" {
		if err := i.cache.Check(image); err != nil {
			return wanted{}, err
		}
		return readArchive(image)
	}
	w, err := readNamed(image)
	if err != nil {
		return wanted{}, err
	}
	if _, digested := w.ref.(reference.Digested); !digested && i.opts.Cache.RequireSum != "" {
		return wanted{}, fmt.Errorf("image %s: images_require_sum wants it named by its digest, as in name@sha256:digest, not by a tag that may move", w.name)
	}
	return w, nil
}

// readArchive is for an image with a url, valid as the archive cache sees it.
// Like there, two are the same if they have the same sum or, without one, the
// same URL, and the same name and version.
func readArchive(image images.Image) (wanted, error) {
	name, version, err := image.NameVersion()
	if err != nil {
		return wanted{}, err
	}
	what := strings.ToLower(image.Sum)
	if what == "" {
		what = "url " + image.URL
	}
	w := wanted{image: image, key: keyOf("archive", name, version, what), name: name, version: version}
	w.claim = loadedRepo + ":" + loadedTag(w.key, name, version)
	return w, nil
}

// readNamed is for an image that the engine has or a registry serves.
func readNamed(image images.Image) (wanted, error) {
	text, err := nameOf(image)
	if err != nil {
		return wanted{}, err
	}
	ref, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return wanted{}, fmt.Errorf("image %q: %w; want [host[:port]/]path with :tag or @sha256:digest, or a url", text, err)
	}
	ref = reference.TagNameOnly(ref)
	if d, ok := ref.(reference.Digested); ok {
		// An engine pulls by the digest and ignores a tag beside it.
		if ref, err = reference.WithDigest(reference.TrimNamed(ref), d.Digest()); err != nil {
			return wanted{}, fmt.Errorf("image %q: %w", text, err)
		}
	}
	if reference.FamiliarName(ref) == "sha256" {
		return wanted{}, fmt.Errorf("image %q: an image's ID says nothing to other engines: use name@sha256:digest", text)
	}
	key := keyOf("named", ref.String())
	w := wanted{image: image, key: key, ref: ref, claim: pulledRepo + ":" + key, name: reference.FamiliarName(ref)}
	switch r := ref.(type) {
	case reference.Digested:
		w.version = r.Digest().String()
	case reference.Tagged:
		w.version = r.Tag()
	}
	return w, nil
}

// nameOf joins what the options say: the version, or else the tag, follows the
// name unless that is complete.
func nameOf(image images.Image) (string, error) {
	switch {
	case image.Name == "":
		return "", errors.New("image has neither url nor name: set url to an archive, or name to what the engine or a registry calls it")
	case image.Sum != "":
		return "", fmt.Errorf("image %q: sum is that of an archive: for one without url write the digest into the name, as in name@sha256:digest", image.Name)
	case image.Version != "" && image.Tag != "" && image.Version != image.Tag:
		return "", fmt.Errorf("image %q: version %q and tag %q differ: without url they mean the same, set one", image.Name, image.Version, image.Tag)
	}
	version := image.Version
	if version == "" {
		version = image.Tag
	}
	switch {
	case version == "":
		return image.Name, nil
	case strings.Contains(image.Name, "@") || strings.Contains(image.Name[strings.LastIndexByte(image.Name, '/')+1:], ":"):
		if strings.HasSuffix(image.Name, ":"+version) || strings.HasSuffix(image.Name, "@"+version) {
			return image.Name, nil
		}
		return "", fmt.Errorf("image %q: its name has a tag or digest already: remove version %q", image.Name, version)
	case strings.HasPrefix(version, "sha256:"):
		return image.Name + "@" + version, nil
	}
	return image.Name + ":" + version, nil
}

func keyOf(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:16])
}

// own reports whether the name is one that only this package gives.
func own(ref reference.Named) bool { return strings.HasPrefix(ref.Name(), namespace) }

// loadedTag is the tag of what was loaded: the key, by which it is found, and
// name and version, by which people know it.
func loadedTag(key, name, version string) string {
	tag := key + "__" + escape(name) + "__" + escape(version)
	return tag[:min(len(tag), maxTag)]
}

// splitTag reads a tag of loadedTag. A long one was cut, and so is what people see.
func splitTag(tag string) (key, name, version string) {
	key, rest, _ := strings.Cut(tag, "__")
	name, version, _ = strings.Cut(rest, "__")
	return key, unescape(name), unescape(version)
}

// escape writes what a tag may not hold, and '_', as '_' and two hex digits.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "_%02x", c)
	}
	return b.String()
}

func unescape(s string) string {
	var b strings.Builder
	for s != "" {
		if s[0] == '_' && len(s) >= 3 {
			if c, err := hex.DecodeString(s[1:3]); err == nil {
				b.Write(c)
				s = s[3:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
