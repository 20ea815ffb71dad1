package filter

import "strings"

// node is one of the types below.
type node any

type (
	// literal is nil, a string, an int64 or a float64.
	literal struct{ value any }
	// ident is a name before resolve, which makes it a column or a literal.
	ident struct{ table, name string }
	// hole is a placeholder; resolve refuses it.
	hole   struct{}
	column struct{ Column }
	minus  struct{ x node }
	// binary has an op of the fixed set that the parser names.
	binary struct {
		op   string
		l, r node
	}
	// matching is LIKE or GLOB; escape is nil without an ESCAPE clause.
	matching struct {
		op         string
		x, pattern node
		escape     node
	}
	between struct {
		op        string
		x, lo, hi node
	}
	in struct {
		op   string
		x    node
		list []node
	}
)

type parser struct {
	lex                             lexer
	tok                             token // the next one, not consumed
	ended                           bool  // everything that follows is dropped
	depth, nodes, patterns, concats int
}

func (p *parser) advance() error {
	if p.ended {
		return nil
	}
	tok, err := p.lex.next()
	p.tok = tok
	return err
}

// end drops the rest of the text.
func (p *parser) end() { p.tok, p.ended = token{kind: tokEnd}, true }

// grow counts nodes and returns n, so that the tree stays bounded.
func (p *parser) grow(n node) (node, error) {
	if p.nodes++; p.nodes > MaxNodes {
		return nil, rejectf("more than %d operators and operands", MaxNodes)
	}
	return n, nil
}

func (p *parser) or() (node, error) {
	return p.chain(p.and, func(t token) bool { return t.is("OR") })
}

func (p *parser) and() (node, error) {
	return p.chain(p.equality, func(t token) bool { return t.is("AND") })
}

func (p *parser) relation() (node, error) {
	return p.chain(p.sum, func(t token) bool { return t.op("<") || t.op("<=") || t.op(">") || t.op(">=") })
}

func (p *parser) sum() (node, error) {
	return p.chain(p.product, func(t token) bool { return t.op("+") || t.op("-") })
}

func (p *parser) product() (node, error) {
	return p.chain(p.concat, func(t token) bool { return t.op("*") || t.op("/") || t.op("%") })
}

func (p *parser) concat() (node, error) {
	return p.chain(p.primary, func(t token) bool { return t.op("||") })
}

// chain reads `operand {op operand}`, grouped from the left as SQLite does.
func (p *parser) chain(operand func() (node, error), match func(token) bool) (node, error) {
	left, err := operand()
	for err == nil && match(p.tok) {
		left, err = p.binary(strings.ToUpper(p.tok.text), left, operand)
	}
	return left, err
}

func (p *parser) binary(op string, left node, operand func() (node, error)) (node, error) {
	if op == "||" {
		if p.concats++; p.concats > MaxConcats {
			return nil, rejectf("more than %d ||", MaxConcats)
		}
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	right, err := operand()
	if err != nil {
		return nil, err
	}
	return p.grow(binary{op: op, l: left, r: right})
}

// equality reads the operators that share one rank in SQLite: = != IS IN LIKE
// GLOB BETWEEN.
func (p *parser) equality() (node, error) {
	left, err := p.relation()
	for err == nil {
		tok := p.tok
		switch {
		case tok.op("="), tok.op("!="):
			left, err = p.binary(tok.text, left, p.relation)
		case tok.is("IS"):
			left, err = p.is(left)
		case tok.is("NOT"):
			if err = p.advance(); err == nil {
				left, err = p.test(left, "NOT ")
			}
		case tok.is("IN"), tok.is("LIKE"), tok.is("GLOB"), tok.is("BETWEEN"):
			left, err = p.test(left, "")
		case tok.is("ISNULL"), tok.is("NOTNULL"), tok.is("REGEXP"), tok.is("MATCH"):
			err = rejectf("the operator %s", tok.upper)
		default:
			return left, nil
		}
	}
	return left, err
}

// is reads what follows x IS: NOT, then NULL or any operand.
func (p *parser) is(x node) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	op := "IS"
	if p.tok.is("NOT") {
		op = "IS NOT"
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	right, err := p.relation()
	if err != nil {
		return nil, err
	}
	return p.grow(binary{op: op, l: x, r: right})
}

// test reads IN, LIKE, GLOB or BETWEEN; not is "NOT " or "".
func (p *parser) test(x node, not string) (node, error) {
	op := p.tok
	switch {
	case op.is("IN"), op.is("LIKE"), op.is("GLOB"), op.is("BETWEEN"):
	default:
		return nil, rejectf("NOT is not followed by IN, LIKE, GLOB or BETWEEN")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch op.upper {
	case "IN":
		return p.in(x, not+"IN")
	case "BETWEEN":
		return p.between(x, not+"BETWEEN")
	}
	return p.matching(x, not+op.upper)
}

func (p *parser) between(x node, op string) (node, error) {
	lo, err := p.relation()
	if err != nil {
		return nil, err
	}
	if !p.tok.is("AND") {
		return nil, rejectf("BETWEEN without AND")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	hi, err := p.relation()
	if err != nil {
		return nil, err
	}
	return p.grow(between{op: op, x: x, lo: lo, hi: hi})
}

func (p *parser) in(x node, op string) (node, error) {
	if !p.tok.op("(") {
		return nil, rejectf("IN without a list")
	}
	var list []node
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		item, err := p.or()
		if err != nil {
			return nil, err
		}
		if list = append(list, item); p.tok.op(")") {
			break
		}
		if !p.tok.op(",") {
			return nil, rejectf("a list that is not closed")
		}
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return p.grow(in{op: op, x: x, list: list})
}

// matching reads the pattern and, for LIKE, the ESCAPE clause.
func (p *parser) matching(x node, op string) (node, error) {
	if p.patterns++; p.patterns > MaxPatterns {
		return nil, rejectf("more than %d patterns", MaxPatterns)
	}
	pattern, err := p.relation()
	if err != nil {
		return nil, err
	}
	m := matching{op: op, x: x, pattern: pattern}
	if p.tok.is("ESCAPE") {
		if m.escape, err = p.escape(op); err != nil {
			return nil, err
		}
	}
	return p.grow(m)
}

// escape wants one character: SQLite fails at run time on anything else.
func (p *parser) escape(op string) (node, error) {
	if strings.HasSuffix(op, "GLOB") {
		return nil, rejectf("GLOB with ESCAPE")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	tok := p.tok
	if tok.kind != tokString && tok.kind != tokQuoted || len([]rune(tok.text)) != 1 {
		return nil, rejectf("ESCAPE without exactly one character")
	}
	return literal{tok.text}, p.advance()
}

// primary reads an operand, and so is where recursion is bounded.
func (p *parser) primary() (node, error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, rejectf("deeper than %d", MaxDepth)
	}
	defer func() { p.depth-- }()
	tok := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch {
	case tok.op("("):
		return p.group()
	case tok.op("-"):
		x, err := p.primary()
		if err != nil {
			return nil, err
		}
		return p.grow(minus{x})
	case tok.kind == tokWord, tok.kind == tokQuoted:
		return p.name(tok)
	case tok.kind == tokString:
		return p.grow(literal{tok.text})
	case tok.kind == tokNumber:
		return p.grow(literal{tok.value})
	case tok.kind == tokHole:
		return p.grow(hole{})
	}
	return nil, rejectf("an operand is missing before byte %d", p.lex.pos)
}

// group reads up to the closing parenthesis. Where that is missing the
// expression is complete all the same, and the rest is dropped (contract 9).
func (p *parser) group() (node, error) {
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	switch {
	case p.tok.op(")"):
		return x, p.advance()
	case p.tok.op(","):
		return nil, rejectf("a row value")
	}
	p.end()
	return x, nil
}

// name reads a column name, qualified or not, or a constant.
func (p *parser) name(tok token) (node, error) {
	if p.tok.op("(") {
		return nil, rejectf("a function call")
	}
	if tok.kind == tokWord {
		switch {
		case tok.upper == "NULL":
			return p.grow(literal{nil})
		case tok.upper == "TRUE":
			return p.grow(literal{int64(1)})
		case tok.upper == "FALSE":
			return p.grow(literal{int64(0)})
		case isKeyword(tok.upper):
			return nil, rejectf("the keyword %s", tok.upper)
		}
	}
	if !p.tok.op(".") {
		return p.grow(ident{name: tok.text})
	}
	return p.qualified(tok.text)
}

func (p *parser) qualified(table string) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	tok := p.tok
	if tok.kind != tokWord && tok.kind != tokQuoted {
		return nil, rejectf("a name is missing after the dot")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.op("(") || p.tok.op(".") {
		return nil, rejectf("a function call or a name of three parts")
	}
	return p.grow(ident{table: table, name: tok.text})
}
