package filter

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// resolve returns the tree with every name replaced by its column or, where no
// such column exists, by the name as a string (contract 9).
func resolve(n node, cols Columns) (node, error) {
	switch n := n.(type) {
	case ident:
		return resolveName(n, cols)
	case hole:
		return nil, fmt.Errorf("%w: a placeholder has no value", ErrUnresolved)
	case minus:
		x, err := resolve(n.x, cols)
		return minus{x}, err
	case binary:
		xs, err := resolveAll([]node{n.l, n.r}, cols)
		if err != nil {
			return nil, err
		}
		return binary{op: n.op, l: xs[0], r: xs[1]}, nil
	case matching:
		return resolveMatching(n, cols)
	case between:
		xs, err := resolveAll([]node{n.x, n.lo, n.hi}, cols)
		if err != nil {
			return nil, err
		}
		return between{op: n.op, x: xs[0], lo: xs[1], hi: xs[2]}, nil
	case in:
		xs, err := resolveAll(append([]node{n.x}, n.list...), cols)
		if err != nil {
			return nil, err
		}
		return in{op: n.op, x: xs[0], list: xs[1:]}, nil
	}
	return n, nil
}

func resolveAll(list []node, cols Columns) ([]node, error) {
	out := make([]node, len(list))
	for i, n := range list {
		var err error
		if out[i], err = resolve(n, cols); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func resolveName(n ident, cols Columns) (node, error) {
	key := strings.ToLower(n.name)
	if n.table != "" {
		key = strings.ToLower(n.table) + "." + key
	}
	col, ok := cols[key]
	switch {
	case ok && col.Hidden:
		return nil, rejectf("a column that the caller may not see")
	case ok:
		return column{col}, nil
	case n.table != "":
		return nil, fmt.Errorf("%w: no such column", ErrUnresolved)
	}
	return literal{n.name}, nil
}

// resolveMatching bounds the pattern. It must be constant: one read from a
// column would be as long and as wild as whoever wrote the row liked.
func resolveMatching(n matching, cols Columns) (node, error) {
	xs, err := resolveAll([]node{n.x, n.pattern}, cols)
	if err != nil {
		return nil, err
	}
	wild, constant := wildcards(xs[1])
	if !constant {
		return nil, rejectf("a pattern that is not constant")
	}
	if wild > MaxWildcards {
		return nil, rejectf("more than %d wildcards in a pattern", MaxWildcards)
	}
	return matching{op: n.op, x: xs[0], pattern: xs[1], escape: n.escape}, nil
}

// wildcards counts the wildcards of LIKE and GLOB alike.
func wildcards(n node) (count int, constant bool) {
	switch n := n.(type) {
	case literal:
		s, _ := n.value.(string)
		return strings.Count(s, "%") + strings.Count(s, "*") + strings.Count(s, "["), true
	case minus:
		return wildcards(n.x)
	case binary:
		l, lc := wildcards(n.l)
		r, rc := wildcards(n.r)
		return l + r, lc && rc
	}
	return 0, false
}

// writer builds the SQL text from our own words only; values go to args.
type writer struct {
	sql  strings.Builder
	args []any
}

func (w *writer) text(s string) { w.sql.WriteString(s) }

func (w *writer) bind(v any) {
	if v == nil {
		w.text("NULL")
		return
	}
	w.text("?")
	w.args = append(w.args, v)
}

// node writes n as an SQL value, in parentheses if it is compound.
func (w *writer) node(n node) {
	switch n := n.(type) {
	case literal:
		w.bind(n.value)
	case stored:
		w.text(n.SQL)
	case column:
		w.text(n.readable())
	case minus:
		w.text("(-")
		w.node(n.x)
		w.text(")")
	case binary:
		w.binary(n)
	case matching:
		w.matching(n)
	case between:
		xs := comparands(n.x, n.lo, n.hi)
		w.list([]string{"(", " " + n.op + " ", " AND ", ")"}, xs)
	case in:
		w.in(n)
	}
}

// list writes the nodes between the words: words[0] xs[0] words[1] ... .
func (w *writer) list(words []string, xs []node) {
	for i, x := range xs {
		w.text(words[i])
		w.node(x)
	}
	w.text(words[len(xs)])
}

func (w *writer) binary(n binary) {
	xs := []node{n.l, n.r}
	switch n.op {
	case "=", "!=", "<", "<=", ">", ">=", "IS", "IS NOT":
		xs = comparands(xs...)
	}
	w.list([]string{"(", " " + n.op + " ", ")"}, xs)
}

func (w *writer) matching(n matching) {
	w.list([]string{"(", " " + n.op + " ", ""}, []node{n.x, n.pattern})
	if n.escape != nil {
		w.text(" ESCAPE ")
		w.node(n.escape)
	}
	w.text(")")
}

func (w *writer) in(n in) {
	xs := comparands(append([]node{n.x}, n.list...)...)
	w.text("(")
	w.node(xs[0])
	w.text(" " + n.op + " (")
	for i, x := range xs[1:] {
		if i > 0 {
			w.text(",")
		}
		w.node(x)
	}
	w.text("))")
}

// stored is a column read as it is stored, not as text.
type stored struct{ Column }

// comparands prepares nodes for comparison with each other. If all are columns
// of one stored kind, or literals that can be turned into it, they compare as
// stored (an index serves that); else everything compares as readable text.
func comparands(xs ...node) []node {
	kind := Plain
	for _, x := range xs {
		if c, ok := x.(column); ok && c.Kind != Plain {
			kind = c.Kind
		}
	}
	if kind == Plain {
		return xs
	}
	out := make([]node, len(xs))
	for i, x := range xs {
		var ok bool
		if out[i], ok = asStored(x, kind); !ok {
			return xs
		}
	}
	return out
}

func asStored(x node, kind Kind) (node, bool) {
	switch x := x.(type) {
	case column:
		return stored(x), x.Kind == kind
	case literal:
		if kind == Time {
			return timeLiteral(x), true
		}
		return uidLiteral(x)
	}
	return nil, false
}

// uidLiteral turns UUID text into the blob.
func uidLiteral(l literal) (node, bool) {
	s, isText := l.value.(string)
	if !isText {
		return l, l.value == nil
	}
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return nil, false
	}
	return literal{id[:]}, true
}

// timeLiteral turns text into Unix nanoseconds. What is no time becomes NULL:
// it matches nothing and is no error.
func timeLiteral(l literal) node {
	s, _ := l.value.(string)
	// RFC 3339, what the original database held, and prefixes of both.
	// Go accepts a fraction after the seconds without being told.
	for _, layout := range [...]string{
		time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", time.DateTime,
		"2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 1677 && t.Year() < 2262 {
			return literal{t.UnixNano()}
		}
	}
	return literal{nil}
}

// readable is the SQL for the text that a client knows the column by.
func (c column) readable() string {
	switch c.Kind {
	case UID:
		hex := "lower(hex(" + c.SQL + "))"
		return "(substr(" + hex + ",1,8)||'-'||substr(" + hex + ",9,4)||'-'||substr(" + hex + ",13,4)||'-'||substr(" +
			hex + ",17,4)||'-'||substr(" + hex + ",21))"
	case Time:
		return "(strftime('%Y-%m-%d %H:%M:%S'," + c.SQL + "/1000000000,'unixepoch')||'.'||substr('00000000'||(" +
			c.SQL + "%1000000000),-9)||'+00:00')"
	}
	return c.SQL
}
