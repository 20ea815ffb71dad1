package farm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// LaterBinaryEnv names the environment variable with the path of a binary that
// BuildLater made, so that several packages of tests need only one.
const LaterBinaryEnv = "FISH_LATER_BINARY"

// LaterKind and LaterBody are those of the rows that only a later version
// writes, LaterField is what only it writes into every body.
const (
	LaterKind  replica.Kind = 60_001
	LaterBody               = `{"beside":1}`
	LaterField              = `"of_a_later_version":{"why":[1.50,"<x>"]}`
)

// change replaces a text that occurs once in a file of the product.
type change struct{ file, from, to string }

// laterChanges make today's node one of the next version: it speaks one more
// version of the protocol, its messages and bodies have keys that today's does
// not know, and next to the rows of some nouns it writes rows of another kind.
var laterChanges = []change{
	{"lib/cluster/wire/message.go", "\tProtocolMax = 1\n", "\tProtocolMax = 2\n"},
	{
		"lib/cluster/wire/message.go", "\tVector      replica.Vector `cbor:\"14,keyasint\"`\n",
		"\tVector      replica.Vector `cbor:\"14,keyasint\"`\n\tLater map[string]int `cbor:\"99,keyasint\"`\n",
	},
	{
		"lib/cluster/wire/message.go", "\tGone        bool        `cbor:\"19,keyasint,omitempty\"`",
		"\tLater uint64 `cbor:\"99,keyasint\"`\n\tGone        bool        `cbor:\"19,keyasint,omitempty\"`",
	},
	{
		"lib/replica/body.go", "\tbody := bytes.TrimSuffix(b.Bytes(), []byte(\"\\n\"))\n",
		"\tbody := bytes.TrimSuffix(b.Bytes(), []byte(\"\\n\"))\n" +
			"\tbody = append([]byte(`{" + LaterField + ",`), body[1:]...)\n",
	},
	{"lib/store/syncrow.go", "func (t *tx) stage(row *syncRow) error {\n", fmt.Sprintf(`func (t *tx) stage(row *syncRow) error {
	if err := t.stageOne(row); err != nil || row.Version.Origin != t.store.origin || row.Deleted ||
		row.Kind != replica.KindApplication && row.Kind != replica.KindUser {
		return err
	}
	return t.stageOne(&syncRow{Row: replica.Row{
		Kind: %d, Key: row.Key, Version: t.nextVersion(), Body: []byte(%q),
	}})
}

func (t *tx) stageOne(row *syncRow) error {
`, LaterKind, LaterBody)},
}

// LaterBinary is the path of a node of the next version. It is built unless one
// is given.
func LaterBinary(t testing.TB) string {
	t.Helper()
	if given := os.Getenv(LaterBinaryEnv); given != "" {
		return given
	}
	binary := filepath.Join(t.TempDir(), "aquarium-fish-later")
	if err := BuildLater(t.Context(), binary, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return binary
}

// BuildLater compiles the node of the next version; scratch is a folder for what
// the compiler reads in place of today's files.
func BuildLater(ctx context.Context, binary, scratch string) error {
	root, err := fish.ModuleRoot()
	if err != nil {
		return err
	}
	contents := map[string]string{}
	for _, c := range laterChanges {
		path := filepath.Join(root, filepath.FromSlash(c.file))
		text, known := contents[path]
		if !known {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(b)
		}
		if strings.Count(text, c.from) != 1 {
			return fmt.Errorf("%s is not as it was, there is not one %q: adapt tests/farm/later.go", path, c.from)
		}
		contents[path] = strings.Replace(text, c.from, c.to, 1)
	}
	return buildOverlaid(ctx, binary, scratch, contents)
}
