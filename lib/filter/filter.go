// Package filter turns the `filter` query parameter, a small part of the SQL
// expression language, into an SQL condition with bound values.
//
// The text of the client never becomes SQL: it is parsed into a tree, every
// name is looked up in an allow-list and replaced by SQL that we wrote, every
// literal is bound. What the language is and where it ends is contract 9.
package filter

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrRejected says that the text is no filter we take: empty, a statement, an
// operator or construct outside the language, a column the caller may not see,
// or past one of the limits. The API answers it with an empty list and a
// warning in the log, never with an error (contract 9).
var ErrRejected = errors.New("filter rejected")

// ErrUnresolved says that the text is well-formed but names what cannot exist:
// an unknown qualified column or a placeholder. The API answers 500 (contract 9).
var ErrUnresolved = errors.New("filter not resolvable")

// The limits of one filter. They keep the work of a single request small,
// whoever sends it; what passes one of them is rejected.
const (
	// MaxLength bounds the text in bytes: an IN list of 400 UIDs still fits.
	MaxLength = 16 << 10
	// MaxDepth bounds nested parentheses and signs, and so our recursion.
	MaxDepth = 50
	// MaxNodes bounds operators and operands together. SQLite refuses trees
	// deeper than 1000, and a chain of ANDs is as deep as it is long.
	MaxNodes = 800
	// MaxPatterns bounds LIKE and GLOB tests, each of which reads its whole
	// operand (metadata may have 64 KB) in every row.
	MaxPatterns = 16
	// MaxWildcards bounds the wildcards of one pattern: each one may restart
	// the match at every position.
	MaxWildcards = 10
	// MaxConcats bounds `||`: the result grows with each one, in every row.
	MaxConcats = 8
)

// Kind says how a column is stored, and so how a literal is compared with it.
type Kind int

const (
	// Plain columns (text, JSON text, integers) compare as SQLite compares.
	Plain Kind = iota
	// UID columns are 16-byte blobs that clients see and write as UUID text.
	UID
	// Time columns are integer Unix nanoseconds, which clients write as text:
	// RFC 3339, or `2026-11-21 23:24:52.935066403+00:00` and its prefixes.
	Time
)

// Column is one entry of the allow-list.
type Column struct {
	// SQL is the trusted SQL that reads the stored value, usually the name.
	SQL string
	// Kind is how the value is stored.
	Kind Kind
	// Hidden columns exist but are not shown to this caller: a filter that
	// names one is rejected (contract 32).
	Hidden bool
}

// Columns is the allow-list of one noun for one caller: lower-case name to
// column. A name that is not in it reads as a string literal (contract 9).
type Columns map[string]Column

// WithTable returns a copy in which every column also answers to `table.name`.
func (c Columns) WithTable(table string) Columns {
	out := make(Columns, 2*len(c))
	for name, col := range c {
		out[name] = col
		out[table+"."+name] = col
	}
	return out
}

// Expr is a parsed filter. It is immutable and may be shared.
type Expr struct{ root node }

// Parse reads the first complete expression of text and drops the rest
// (contract 9). Its errors wrap ErrRejected.
func Parse(text string) (Expr, error) {
	if len(text) > MaxLength {
		return Expr{}, rejectf("longer than %d bytes", MaxLength)
	}
	if !utf8.ValidString(text) {
		return Expr{}, rejectf("not UTF-8")
	}
	p := &parser{lex: lexer{text: text}}
	if err := p.advance(); err != nil {
		return Expr{}, err
	}
	root, err := p.or()
	if err != nil {
		return Expr{}, err
	}
	return Expr{root: root}, nil
}

// SQL returns the condition, always in parentheses, and the values for its `?`
// in order: string, int64, float64, []byte or nil. Errors wrap ErrRejected
// (a hidden column) or ErrUnresolved.
func (e Expr) SQL(cols Columns) (cond string, args []any, err error) {
	if e.root == nil {
		return "", nil, rejectf("empty")
	}
	root, err := resolve(e.root, cols)
	if err != nil {
		return "", nil, err
	}
	var w writer
	w.text("(")
	w.node(root)
	w.text(")")
	return w.sql.String(), w.args, nil
}

func rejectf(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRejected}, a...)...)
}
