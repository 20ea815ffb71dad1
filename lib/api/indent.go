package api

import "bytes"

// indenter indents JSON that comes in pieces, as json.Indent does with two
// spaces. The input is compact and valid.
type indenter struct {
	out      []byte // reused between pieces
	depth    int
	inString bool
	escaped  bool
	opened   bool // the last byte was { or [
}

// indent returns the next piece indented; it is valid until the next call.
func (in *indenter) indent(piece []byte) []byte {
	in.out = in.out[:0]
	for _, c := range piece {
		if in.inString {
			in.text(c)
		} else {
			in.structure(c)
		}
	}
	return in.out
}

func (in *indenter) text(c byte) {
	in.out = append(in.out, c)
	switch {
	case in.escaped:
		in.escaped = false
	case c == '\\':
		in.escaped = true
	case c == '"':
		in.inString = false
	}
}

func (in *indenter) structure(c byte) {
	closes := c == '}' || c == ']'
	switch {
	case in.opened && closes: // {} stays on one line
	case in.opened:
		in.depth++
		in.newline()
	case closes:
		in.depth--
		in.newline()
	}
	in.opened = c == '{' || c == '['
	in.inString = c == '"'
	in.out = append(in.out, c)
	switch c {
	case ',':
		in.newline()
	case ':':
		in.out = append(in.out, ' ')
	}
}

func (in *indenter) newline() {
	in.out = append(in.out, '\n')
	in.out = append(in.out, bytes.Repeat([]byte("  "), in.depth)...)
}
