package labelfile

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
)

// longest is how long a file's name may be: file systems take 255 bytes, and
// the suffix comes on top.
const longest = 200

// FileNames gives every label name a file's name, no two the same even where
// the file system takes no notice of case. The order of names decides who gets
// the plain one.
func FileNames(names []string) map[string]string {
	files := make(map[string]string, len(names))
	taken := map[string]bool{}
	for _, name := range names {
		if _, known := files[name]; known {
			continue
		}
		file := fileName(name)
		if taken[strings.ToLower(file)] {
			file += "-" + digest(name)
		}
		taken[strings.ToLower(file)] = true
		files[name] = file + ".yaml"
	}
	return files
}

// fileName escapes what some file system takes for something else.
func fileName(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_+@", r) || r == '.' && i > 0 {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	file := b.String()
	if len(file) > longest {
		file = strings.ToValidUTF8(file[:longest], "") + "-" + digest(name)
	}
	return file
}

func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%x", sum[:8])
}
