package fish

import "strings"

// OfUsers is an answer of the metadata API in a text format without the lines
// of the node's own names: which of them there are depends on where it listens.
func OfUsers(answer []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(answer)) {
		if name, _, _ := strings.Cut(line, "="); !strings.Contains(name, "AQUARIUM_FISH_") {
			b.WriteString(line)
		}
	}
	return b.String()
}
