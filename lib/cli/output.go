package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// The forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
	outputName  = "name"
)

// view is what a command shows, in every form.
type view struct {
	// Data is what json and yaml show: the objects of the API.
	Data any
	// Names is what identifies each object, one a line for -o name: what other commands take as their argument.
	Names []string
	// Header names the columns of the table, in capitals; without one the rows are keys and values of one object.
	Header []string
	Rows   [][]string
	// Empty says on stderr that the table has no rows.
	Empty string
}

// checkOutput refuses an unknown form before anything is asked.
func (s *shell) checkOutput() error {
	switch s.output {
	case outputTable, outputJSON, outputYAML, outputName, "":
		return nil
	}
	return usagef("unknown output %q: want table, json, yaml or name", s.output)
}

// print shows the view on stdout in the form that the user chose.
func (s *shell) print(v view) error {
	if err := s.checkOutput(); err != nil {
		return err
	}
	var b bytes.Buffer
	switch s.output {
	case outputJSON:
		if err := writeJSON(&b, v.Data); err != nil {
			return err
		}
	case outputYAML:
		if err := writeYAML(&b, v.Data); err != nil {
			return err
		}
	case outputName:
		for _, name := range v.Names {
			fmt.Fprintln(&b, printable(name))
		}
	default:
		if len(v.Rows) == 0 && v.Empty != "" {
			s.note("%s", v.Empty)
			return nil
		}
		writeTable(&b, v.Header, v.Rows)
	}
	if _, err := s.Stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// note tells the user something that is no output, on stderr.
func (s *shell) note(format string, args ...any) {
	_, _ = io.WriteString(s.Stderr, fmt.Sprintf(format, args...)+"\n") // nobody is left to tell
}

// count is a number of things in words.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func writeJSON(w io.Writer, data any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(data); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// gap is what separates columns.
const gap = "  "

// writeTable aligns the columns; the last one is as long as it is.
func writeTable(b *bytes.Buffer, header []string, rows [][]string) {
	if header != nil {
		rows = append([][]string{header}, rows...)
	}
	var widths []int
	clean := make([][]string, len(rows))
	for i, row := range rows {
		for column, cell := range row {
			cell = printable(cell)
			if cell == "" && (header == nil || i > 0) {
				cell = "-"
			}
			clean[i] = append(clean[i], cell)
			if column == len(widths) {
				widths = append(widths, 0)
			}
			widths[column] = max(widths[column], cellWidth(cell))
		}
	}
	for _, row := range clean {
		for column, cell := range row {
			b.WriteString(cell)
			if column < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[column]-cellWidth(cell)) + gap)
			}
		}
		b.WriteByte('\n')
	}
}

// cellWidth is how many columns of a terminal a printable text takes: two for each wide character, as of Chinese, none for
// a mark that is set on the one before it.
func cellWidth(text string) int {
	columns := 0
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r):
		case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}

// age is a time as a table shows it: how long ago, in the largest units that still tell something. A time ahead, of a
// node whose clock is, is 0s.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := max(0, now.Sub(t))
	minutes, hours, days := int(d.Minutes()), int(d.Hours()), int(d.Hours()/24)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return fmt.Sprintf("%dm%ds", minutes, int(d.Seconds())%60)
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", minutes)
	case d < 8*time.Hour:
		return fmt.Sprintf("%dh%dm", hours, minutes%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dd", days)
}
