package filter

import (
	"strconv"
	"strings"
)

type tokenKind int

const (
	tokEnd    tokenKind = iota
	tokWord             // bare name or keyword
	tokQuoted           // "name"
	tokString           // 'text'
	tokNumber
	tokHole // ? :x @x $x
	tokOp   // operators and punctuation
	tokStop // what no expression contains, such as `;`: the rest is dropped
)

type token struct {
	kind  tokenKind
	text  string // words, names and strings without quotes; operators as written
	upper string // words only
	value any    // numbers only: int64 or float64
}

// is tells whether the token is this bare keyword.
func (t token) is(word string) bool { return t.kind == tokWord && t.upper == word }

// op tells whether the token is this operator.
func (t token) op(s string) bool { return t.kind == tokOp && t.text == s }

// lexer cuts tokens on demand, so that what follows the first complete
// expression is never looked at.
type lexer struct {
	text string
	pos  int
}

func (l *lexer) next() (token, error) {
	l.space()
	rest := l.text[l.pos:]
	if rest == "" || strings.HasPrefix(rest, "--") {
		l.pos = len(l.text)
		return token{kind: tokEnd}, nil
	}
	switch c := rest[0]; {
	case isLetter(c):
		return l.word()
	case isDigit(c), c == '.' && len(rest) > 1 && isDigit(rest[1]):
		return l.number()
	case c == '\'':
		return l.quoted('\'', tokString)
	case c == '"':
		return l.quoted('"', tokQuoted)
	}
	return l.symbol(rest)
}

func (l *lexer) space() {
	for l.pos < len(l.text) && strings.IndexByte(" \t\r\n\f", l.text[l.pos]) >= 0 {
		l.pos++
	}
}

func (l *lexer) word() (token, error) {
	start := l.pos
	for l.pos < len(l.text) && (isLetter(l.text[l.pos]) || isDigit(l.text[l.pos])) {
		l.pos++
	}
	text := l.text[start:l.pos]
	if len(text) == 1 && l.at('\'') && strings.EqualFold(text, "x") {
		return token{}, l.reject("a blob literal")
	}
	return token{kind: tokWord, text: text, upper: strings.ToUpper(text)}, nil
}

// number reads digits, an optional fraction and an optional exponent.
func (l *lexer) number() (token, error) {
	start := l.pos
	l.digits()
	whole := true
	if l.at('.') {
		l.pos++
		l.digits()
		whole = false
	}
	if l.at('e') || l.at('E') {
		l.pos++
		if l.at('+') || l.at('-') {
			l.pos++
		}
		l.digits()
		whole = false
	}
	if l.pos < len(l.text) && (isLetter(l.text[l.pos]) || l.text[l.pos] == '.') {
		return token{}, l.reject("a malformed number")
	}
	return l.numberToken(l.text[start:l.pos], whole)
}

func (l *lexer) numberToken(text string, whole bool) (token, error) {
	if n, err := strconv.ParseInt(text, 10, 64); whole && err == nil {
		return token{kind: tokNumber, value: n}, nil
	}
	f, err := strconv.ParseFloat(text, 64) // an integer past 64 bits is a float, as in SQLite
	if err != nil {
		return token{}, l.reject("a malformed number")
	}
	return token{kind: tokNumber, value: f}, nil
}

func (l *lexer) digits() {
	for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
		l.pos++
	}
}

// quoted reads up to the closing quote; a doubled quote stands for itself.
func (l *lexer) quoted(quote byte, kind tokenKind) (token, error) {
	var b strings.Builder
	for rest := l.text[l.pos+1:]; ; {
		end := strings.IndexByte(rest, quote)
		if end < 0 {
			return token{}, l.reject("an unbalanced quote")
		}
		b.WriteString(rest[:end])
		rest = rest[end+1:]
		if rest == "" || rest[0] != quote {
			l.pos = len(l.text) - len(rest)
			return token{kind: kind, text: b.String()}, nil
		}
		b.WriteByte(quote)
		rest = rest[1:]
	}
}

// symbol reads an operator. Spellings that the language lacks although SQL has
// them are rejected by name, lest their first half be read as an operator.
func (l *lexer) symbol(rest string) (token, error) {
	for _, s := range [...]string{"==", "<>", "<<", ">>", "/*", "->"} {
		if strings.HasPrefix(rest, s) {
			return token{}, l.reject("the operator " + s)
		}
	}
	for _, s := range [...]string{"!=", "<=", ">=", "||", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ",", "."} {
		if strings.HasPrefix(rest, s) {
			l.pos += len(s)
			return token{kind: tokOp, text: s}, nil
		}
	}
	switch rest[0] {
	case '?', ':', '@', '$':
		return l.hole()
	case ';':
		return token{kind: tokStop}, nil
	}
	return token{}, l.reject("a character outside of the language")
}

func (l *lexer) hole() (token, error) {
	l.pos++
	for l.pos < len(l.text) && (isLetter(l.text[l.pos]) || isDigit(l.text[l.pos])) {
		l.pos++
	}
	return token{kind: tokHole}, nil
}

func (l *lexer) at(c byte) bool { return l.pos < len(l.text) && l.text[l.pos] == c }

func (l *lexer) reject(what string) error { return rejectf("%s at byte %d", what, l.pos) }

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isKeyword tells the words that SQLite reserves, or that begin a statement. A
// bare one is never a name: quoted, `"when"` is a column.
func isKeyword(upper string) bool {
	switch upper {
	case "ADD", "ALL", "ALTER", "ANALYZE", "AND", "AS", "ATTACH", "BEGIN", "BETWEEN", "CASE", "CAST", "CHECK",
		"COLLATE", "COMMIT", "CONSTRAINT", "CREATE", "CROSS", "CURRENT_DATE", "CURRENT_TIME",
		"CURRENT_TIMESTAMP", "DEFAULT", "DEFERRABLE", "DELETE", "DETACH", "DISTINCT", "DROP", "ELSE", "END",
		"ESCAPE", "EXCEPT", "EXISTS", "EXPLAIN", "FOREIGN", "FROM", "FULL", "GLOB", "GROUP", "HAVING", "IN",
		"INDEX", "INDEXED", "INNER", "INSERT", "INTERSECT", "INTO", "IS", "ISNULL", "JOIN", "LEFT", "LIKE",
		"LIMIT", "MATCH", "NATURAL", "NOT", "NOTHING", "NOTNULL", "ON", "OR", "ORDER", "OUTER", "PRAGMA",
		"PRIMARY", "RAISE", "REFERENCES", "REGEXP", "REINDEX", "RELEASE", "REPLACE", "RETURNING", "RIGHT",
		"ROLLBACK", "SAVEPOINT", "SELECT", "SET", "TABLE", "THEN", "TO", "TRANSACTION", "UNION", "UNIQUE",
		"UPDATE", "USING", "VACUUM", "VALUES", "WHEN", "WHERE", "WITH":
		return true
	}
	return false
}
