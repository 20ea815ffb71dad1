package link

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// TestLongReasonArrives: names are of any script, and a character that is cut
// in two would make the frame unreadable.
func TestLongReasonArrives(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", maxReason), "x" + strings.Repeat("é", maxReason), "a name \xff of no script"} {
		no := refuse(wire.CodeName, "%s", text)
		var b bytes.Buffer
		if err := wire.WriteFrame(&b, no.frame()); err != nil {
			t.Fatal(err)
		}
		got := refusalOf(t, &b)
		if got.Code != wire.CodeName || got.Text != no.Text || len(got.Text) < min(len(text), maxReason)-4 {
			t.Errorf("refusal of %d bytes = %d bytes, code %d", len(no.Text), len(got.Text), got.Code)
		}
	}
}
