package images

import (
	"context"
	"crypto/md5"  //nolint:gosec // old labels state it; a warning is logged
	"crypto/sha1" //nolint:gosec // old labels state it; a warning is logged
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
)

// sum is the expected digest of an archive; the zero value expects nothing.
type sum struct {
	algo string
	hex  string // lower case
}

func (s sum) String() string {
	if s.algo == "" {
		return ""
	}
	return s.algo + ":" + s.hex
}

// strength orders algorithms; 0 is none that could not be forged.
func strength(algo string) int {
	switch algo {
	case "sha256":
		return 1
	case "sha512":
		return 2
	}
	return 0
}

func newHash(algo string) hash.Hash {
	switch algo {
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	case "sha1":
		return sha1.New() //nolint:gosec // see the import
	case "md5":
		return md5.New() //nolint:gosec // see the import
	}
	return nil
}

func parseSum(text string) (sum, error) {
	if text == "" {
		return sum{}, nil
	}
	algo, digits, _ := strings.Cut(text, ":")
	s := sum{algo: strings.ToLower(algo), hex: strings.ToLower(digits)}
	h := newHash(s.algo)
	if h == nil {
		return sum{}, fmt.Errorf("image sum %q: want <algorithm>:<hex digits> with sha256, sha512, sha1 or md5", text)
	}
	if raw, err := hex.DecodeString(s.hex); err != nil || len(raw) != h.Size() {
		return sum{}, fmt.Errorf("image sum %q: want %s and %d hex digits", text, algo+":", h.Size()*2)
	}
	return s, nil
}

// headerSums are the digests that a server states of what it sends
// (contract 30). What it states wrongly is left out.
func headerSums(h http.Header) []sum {
	var sums []sum
	for _, algo := range []string{"Sha512", "Sha256", "Sha1", "Md5"} {
		if s, err := parseSum(algo + ":" + strings.TrimSpace(h.Get("X-Checksum-"+algo))); err == nil {
			sums = append(sums, s)
		}
	}
	return sums
}

// digest reads r to its end and returns its sums: sha256 always, and the others
// that want names; none of a zero one.
func digest(ctx context.Context, r io.Reader, want []sum) (map[string]string, error) {
	hashes := map[string]hash.Hash{"sha256": newHash("sha256")}
	writers := []io.Writer{hashes["sha256"]}
	for _, w := range want {
		if w.algo != "" && hashes[w.algo] == nil { // an image need not have a sum
			hashes[w.algo] = newHash(w.algo)
			writers = append(writers, hashes[w.algo])
		}
	}
	if _, err := io.Copy(io.MultiWriter(writers...), &cancelled{ctx, r}); err != nil {
		return nil, err
	}
	got := make(map[string]string, len(hashes))
	for algo, h := range hashes {
		got[algo] = hex.EncodeToString(h.Sum(nil))
	}
	return got, nil
}

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
