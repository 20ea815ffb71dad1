package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Spread is a time that is not the same every time, in whole seconds: always
// the same one, any between two, or one out of those that were measured.
type Spread struct {
	low, high int64
	measured  []int64
	text      string
}

// Fixed is always the same time.
func Fixed(d time.Duration) Spread {
	s := int64(d / time.Second)
	return Spread{low: s, high: s, text: short(d)}
}

// Between is any time of a range, each as likely.
func Between(low, high time.Duration) Spread {
	return Spread{low: int64(low / time.Second), high: int64(high / time.Second), text: short(low) + "-" + short(high)}
}

// maxSpread bounds a time: the longest that AWS names is 4.5 hours.
const maxSpread = 7 * 24 * time.Hour

// ParseSpread reads "90m", "40m-110m", or "@FILE" for a file with a measured
// time in each line.
func ParseSpread(text string) (Spread, error) {
	if path, is := strings.CutPrefix(text, "@"); is {
		return readSpread(path)
	}
	low, high, isRange := strings.Cut(text, "-")
	a, err := parseTime(low)
	if err != nil {
		return Spread{}, fmt.Errorf("%w: want a time such as 90m, a range such as 40m-110m, or @FILE", err)
	}
	if !isRange {
		return Fixed(a), nil
	}
	b, err := parseTime(high)
	if err != nil {
		return Spread{}, fmt.Errorf("%w: want a range such as 40m-110m", err)
	}
	if b < a {
		return Spread{}, fmt.Errorf("the range %s ends before it starts", text)
	}
	return Between(a, b), nil
}

// UnmarshalText lets configurations have it.
func (s *Spread) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSpread(string(text))
	return err
}

// String is how a user would write it.
func (s Spread) String() string { return s.text }

// draw is the next time.
func (s Spread) draw(r *rand.Rand) int64 {
	switch {
	case len(s.measured) > 0:
		return s.measured[r.IntN(len(s.measured))]
	case s.low == s.high:
		return s.low
	}
	return s.low + r.Int64N(s.high-s.low+1)
}

func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no time", text)
	case d < 0 || d > maxSpread:
		return 0, fmt.Errorf("%s is out of range: want 0s to %s", text, short(maxSpread))
	case d%time.Second != 0:
		return 0, fmt.Errorf("%s is no whole number of seconds", text)
	}
	return d, nil
}

// readSpread reads measured times: one in each line, "5400" in seconds or
// "1h30m"; lines that start with # are for people.
func readSpread(path string) (Spread, error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return Spread{}, fmt.Errorf("open measured times: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	s := Spread{text: "@" + path}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if strings.Trim(text, "0123456789") == "" {
			text += "s"
		}
		d, err := parseTime(text)
		if err != nil {
			return Spread{}, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		s.measured = append(s.measured, int64(d/time.Second))
	}
	if err := lines.Err(); err != nil {
		return Spread{}, fmt.Errorf("read measured times of %s: %w", path, err)
	}
	if len(s.measured) == 0 {
		return Spread{}, errors.New(path + ": no measured time in it")
	}
	return s, nil
}

// short is a duration without units that are zero.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
