package yamlconf

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// scalar stores one plain value in one Go value of a plain type.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "got %s, want %s", describe(n), wanted(v))
		return
	}
	if n.Value == "" && (v.Type() == durationType || v.Type() == sizeType) {
		return // an empty string is how many files write "not given"
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			d.fail(n, path, "got %s: %v", describe(n), err)
		}
		return
	}
	if v.Type() == durationType {
		duration, err := ParseDuration(n.Value)
		if err != nil {
			d.fail(n, path, "got %s: %v", describe(n), err)
		}
		v.SetInt(int64(duration))
		return
	}
	if !setPlain(n, v) {
		d.fail(n, path, "got %s, want %s", describe(n), wanted(v))
	}
}

// setPlain stores a string, boolean or number, and tells whether it fits.
func setPlain(n *yaml.Node, v reflect.Value) bool {
	switch tag := n.ShortTag(); v.Kind() {
	case reflect.String:
		if tag != "!!str" && tag != "!!timestamp" {
			return false
		}
		v.SetString(n.Value)
	case reflect.Bool:
		b, ok := parseBool(n)
		v.SetBool(b)
		return ok
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 0, v.Type().Bits())
		v.SetInt(i)
		return tag == "!!int" && err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.Value, 0, v.Type().Bits())
		v.SetUint(u)
		return tag == "!!int" && err == nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, v.Type().Bits())
		v.SetFloat(f)
		return (tag == "!!int" || tag == "!!float") && err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	default:
		return false
	}
	return true
}

// parseBool accepts the unquoted words of YAML 1.1 too, which config files of the original may use.
func parseBool(n *yaml.Node) (value, ok bool) {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return false, false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on", "y":
		return true, true
	case "false", "no", "off", "n":
		return false, true
	}
	return false, false
}

// wanted says what a Go value of this type takes.
func wanted(v reflect.Value) string {
	if v.Type() == durationType {
		return "a duration such as 30s, 10m, 2h or 7d"
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return "one word"
	}
	switch v.Kind() {
	case reflect.String:
		return "a string (put it in quotes)"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := v.Type().Bits()
		return fmt.Sprintf("an integer from %d to %d", int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("an integer from 0 to %d", uint64(math.MaxUint64)>>(64-v.Type().Bits()))
	case reflect.Float32, reflect.Float64:
		return "a finite number"
	default:
		return fmt.Sprintf("a value that a %s takes, which no config value is", v.Type())
	}
}

// ParseDuration reads a Go duration ("90s", "1h30m") that may start with days: "7d", "1d12h". One day is 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("want a duration such as 30s, 10m, 2h or 7d")
	rest, days := s, int64(0)
	if before, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n > int64(math.MaxInt64/(24*time.Hour)) || n < -int64(math.MaxInt64/(24*time.Hour)) {
			return 0, bad
		}
		days, rest = n, after
		if rest == "" {
			rest = "0"
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || (days != 0 && (d < 0 || d >= 24*time.Hour)) {
		return 0, bad
	}
	if days < 0 {
		d = -d
	}
	return time.Duration(days)*24*time.Hour + d, nil
}

// Size is a number of bytes, written with a unit of powers of 1024: "512MB", "2GB", "4096" (contract 2).
type Size uint64

// sizeUnits are the units of contract 2, the largest first.
func sizeUnits() []string { return []string{"EB", "PB", "TB", "GB", "MB", "KB", "B"} }

// shiftOf is the power of two of the unit at the given place in sizeUnits.
func shiftOf(i int) int { return 10 * (len(sizeUnits()) - 1 - i) }

// UnmarshalText reads a size; digits without a unit are bytes.
func (s *Size) UnmarshalText(text []byte) error {
	digits, shift := strings.ToUpper(strings.TrimSpace(string(text))), 0
	for i, unit := range sizeUnits() {
		if before, ok := strings.CutSuffix(digits, unit); ok {
			digits, shift = strings.TrimSpace(before), shiftOf(i)
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n<<shift>>shift != n {
		return fmt.Errorf("want a size: digits and one of B, KB, MB, GB, TB, PB, EB, such as 512MB, below 16EB")
	}
	*s = Size(n << shift)
	return nil
}

// String renders the size with the largest unit that loses nothing; 0 is "0".
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	for i, unit := range sizeUnits() {
		if one := Size(1) << shiftOf(i); s%one == 0 {
			return strconv.FormatUint(uint64(s/one), 10) + unit
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}
