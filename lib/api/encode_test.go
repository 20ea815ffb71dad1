package api

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// TestStateJSON compares the hand-written JSON with encoding/json's.
func TestStateJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := func(name string) (u model.UID) {
			copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
			return u
		}
		s := model.ApplicationState{
			UID: uid("uid"), ApplicationUID: uid("application"),
			CreatedAt:   time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC(),
			Description: rapid.String().Draw(t, "description"),
			Status:      model.Status(rapid.SampledFrom([]string{"NEW", "<&>", "ERROR"}).Draw(t, "status")),
		}
		want, err := json.Marshal(apiv1.ApplicationState{
			UID: s.UID, ApplicationUID: s.ApplicationUID, CreatedAt: s.CreatedAt, Description: s.Description,
			Status: apiv1.ApplicationStatus(s.Status),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := (*stateAnswer)(&s).appendJSON(nil); !bytes.Equal(got, want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

// TestIndenter compares indenting piece by piece with json.Indent of the whole.
func TestIndenter(t *testing.T) {
	values := rapid.MapOf(rapid.String(), rapid.OneOf(
		rapid.Map(rapid.SliceOf(rapid.String()), func(s []string) any { return s }),
		rapid.Map(rapid.Float64Range(-1e6, 1e6), func(f float64) any { return f }),
		rapid.Map(rapid.MapOf(rapid.String(), rapid.Bool()), func(m map[string]bool) any { return m }),
		rapid.Just[any](nil),
	))
	rapid.Check(t, func(t *rapid.T) {
		compact, err := json.Marshal(values.Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		compact = append(compact, '\n')
		var want, got bytes.Buffer
		if err := json.Indent(&want, compact, "", "  "); err != nil {
			t.Fatal(err)
		}
		var in indenter
		for rest := compact; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			got.Write(in.indent(rest[:n]))
			rest = rest[n:]
		}
		if got.String() != want.String() {
			t.Fatalf("got %s, want %s", got.String(), want.String())
		}
	})
}
