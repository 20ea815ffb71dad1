package body

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
)

// decimal takes YAML's decimal numbers apart: sign, digits before the point,
// digits after it, exponent.
var decimal = regexp.MustCompile(`^([-+]?)([0-9]*)(?:\.([0-9]*))?([eE][-+]?[0-9]+)?$`)

// number returns a YAML number as JSON text. What already is JSON is kept as
// it is, digit by digit; ok is false for what JSON can not say: .inf and .nan.
func number(text string) (converted string, ok bool) {
	if isJSONNumber(text) {
		return text, true
	}
	text = strings.ReplaceAll(text, "_", "")
	// 0x1f, 0o17, 0b1 and, as of YAML 1.1, 017.
	if i, ok := new(big.Int).SetString(text, 0); ok {
		return i.String(), true
	}
	m := decimal.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	sign, whole, fraction, exponent := strings.TrimPrefix(m[1], "+"), m[2], m[3], m[4]
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	converted = sign + whole + fraction + exponent
	return converted, isJSONNumber(converted)
}

func isJSONNumber(text string) bool {
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return false
	}
	return json.Valid([]byte(text))
}
