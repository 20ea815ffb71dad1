//go:build crashpoints

package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKilledRestamp dies at every point of the transaction: all rows are ahead,
// or none, and the next try does the rest.
func TestKilledRestamp(t *testing.T) {
	for _, tt := range []struct {
		point string
		pass  string // the first commit is the start's
		done  bool
	}{{"savepoint.before", "1", false}, {"commit.before", "2", false}, {"commit.after", "2", true}} {
		t.Run(tt.point, func(t *testing.T) {
			l := leaperOnDisk(t)
			l.everything()
			folder, was := l.s.opts.Folder, ownRows(t, l.s)
			if err := l.s.Close(); err != nil {
				t.Fatal(err)
			}
			killRound(t, folder, -1, killAction+"=restamp", crashVariable+"="+tt.point+":"+tt.pass)
			l.ahead = 0
			l.open()
			defer func() { _ = l.s.Close() }()
			_, held := l.s.Ahead()
			if now := ownRows(t, l.s); held == tt.done || !tt.done && !cmp.Equal(was, now) || len(was) != len(now) {
				t.Fatalf("after the kill %d of %d rows, held back %t, want done %t", len(now), len(was), held, tt.done)
			}
			if done, err := l.s.Restamp(t.Context()); err != nil || (done.Rows == len(was)) == tt.done {
				t.Fatalf("Restamp after the kill = %+v, %v", done, err)
			}
			if diff := cmp.Diff(keysOf(was), keysOf(ownRows(t, l.s))); diff != "" {
				t.Errorf("the order of the rows changed (-before +after)\n%s", diff)
			}
			other := openOther(t, 1)
			hand(t, l.s, other)
			if !cmp.Equal(digestsOf(t, l.s, always), digestsOf(t, other, always)) {
				t.Error("digests differ")
			}
		})
	}
}
