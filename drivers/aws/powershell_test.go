package aws

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// readPowerShell reads a script that does nothing but set variables to verbatim
// strings, by the grammar of the PowerShell language specification (2.3.2
// variables, 2.3.5.2 string literals, appendix B), and refuses any other:
//
//	script             : assignment*
//	assignment         : "$" variable-character+ "=" verbatim-string new-line
//	verbatim-string    : single-quote verbatim-character* single-quote
//	verbatim-character : any but a single-quote | single-quote single-quote
//	single-quote       : U+0027 | U+2018 | U+2019 | U+201A | U+201B
//
// Of two quotes in a row, whichever they are, the second is kept.
func readPowerShell(script string) (map[string]string, error) {
	vars := map[string]string{}
	for rest := []rune(script); len(rest) > 0; {
		name, after, found := strings.Cut(string(rest), "=")
		if !found || !strings.HasPrefix(name, "$") || !isVariable(name[1:]) {
			return nil, fmt.Errorf("no assignment begins with %q", name)
		}
		value, more, err := readVerbatim([]rune(after))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(more) == 0 || more[0] != '\n' {
			return nil, fmt.Errorf("%s: after the string goes on %q", name, string(more))
		}
		if _, twice := vars[name[1:]]; twice {
			return nil, fmt.Errorf("%s is set twice", name)
		}
		vars[name[1:]], rest = value, more[1:]
	}
	return vars, nil
}

// isVariable reports whether a name can follow "$" without braces. The language
// allows more letters, which no name of ours has.
func isVariable(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// readVerbatim reads one verbatim string, and returns what is behind it.
func readVerbatim(text []rune) (value string, rest []rune, err error) {
	isQuote := func(i int) bool { return i < len(text) && strings.ContainsRune("'\u2018\u2019\u201A\u201B", text[i]) }
	if !isQuote(0) {
		return "", nil, fmt.Errorf("%q is no verbatim string", string(text))
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if isQuote(i) {
			if i++; !isQuote(i) {
				return b.String(), text[i:], nil
			}
		}
		b.WriteRune(text[i])
	}
	return "", nil, fmt.Errorf("%q does not end", string(text))
}

// TestReadPowerShell: what userdata is read with is as strict as the language.
func TestReadPowerShell(t *testing.T) {
	for script, want := range map[string]map[string]string{
		"":                                      {},
		"$a='b'\n$C_1='x y'\n":                  {"a": "b", "C_1": "x y"},
		"$a=''\n":                               {"a": ""},
		"$a='it''s'\n":                          {"a": "it's"},
		"$a='''; exit 1 #'\n":                   {"a": "'; exit 1 #"},
		"$a='$(id) `n \"\"'\n":                  {"a": "$(id) `n \"\""},
		"$a='one\n$b=''two''\n'\n":              {"a": "one\n$b='two'\n"},
		"$a=\u2018x\u2019\n":                    {"a": "x"},
		"$a='\u2019\u2019; \u201A\u201B x'''\n": {"a": "\u2019; \u201B x'"},
	} {
		if got, err := readPowerShell(script); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q is read as %q, %v, want %q", script, got, err, want)
		}
	}
	for _, script := range []string{
		"a='b'\n", "$='b'\n", "$a b='c'\n", "$a='b'", "$a='b\n", "$a=b\n", "$a=\"b\"\n", "$a='b';exit\n", "$a='b'c'\n", "$a='b' \n", "\n",
		"$a='it's'\n", "$a='b\u2019; exit 1 #'\n", "$a='b\u2018'\n", "$a='b\u201A'\n", "$a='b\u201B'\n", "$a='b'\n$a='c'\n", "$a='b'\r", "$env:a='b'\n",
	} {
		if got, err := readPowerShell(script); err == nil {
			t.Errorf("%q is read as %q, want an error", script, got)
		}
	}
}
