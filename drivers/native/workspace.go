package native

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"regexp"

	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

const (
	// folderMode lets an environment's user pass to its home and nothing else;
	// who may not list a folder has to know the names in it.
	folderMode = 0o711
	specFile   = "spec.json" // the claim
	// candidates is how many names a token may take: the first is free but for
	// one chance in three hundred million per environment.
	candidates = 8
)

// openWorkspace opens the folder of environments, each in a folder of its own
// that has the name of its user. a is nil where all run as the node's own.
func openWorkspace(s settings, o claims.Owner, a accounts, log *slog.Logger) (*claims.Workspace, error) {
	opts := claims.Options{
		Path: s.WorkspacePath, Owner: o, Mode: folderMode, File: specFile,
		Names: identifiers, Pattern: regexp.MustCompile(`^fish-[a-z]{6}$`), Marks: true, Isolation: s.Isolation, Logger: log,
	}
	if a != nil {
		opts.Taken = func(ctx context.Context, name string) (bool, error) {
			_, found, err := a.Lookup(ctx, name)
			return found, err
		}
	}
	return claims.Open(opts)
}

// identifiers are the names that a token may take, in order.
func identifiers(token string) []string {
	names := make([]string, candidates)
	for i := range names {
		sum := sha256.Sum256(append([]byte("native:"+token), byte(i)))
		n := binary.BigEndian.Uint64(sum[:])
		name := []byte("fish-")
		for range 6 {
			name = append(name, byte('a'+n%26))
			n /= 26
		}
		names[i] = string(name)
	}
	return names
}
