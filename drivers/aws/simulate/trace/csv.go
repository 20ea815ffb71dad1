package trace

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The columns of a CSV trace. Times are seconds: Unix time, or from any start.
const (
	columnStart = "startTime"
	columnEnd   = "endTime" // is there for the form's sake: a trace knows no waits but ours
	columnRun   = "executionTime"
)

// readCSV reads lines with a header. The columns may be in any order; those
// that nobody knows are left alone, those of text may be missing.
func (s *source) readCSV() error {
	columns, err := s.header()
	if err != nil {
		return err
	}
	for s.next() {
		cells, err := s.cells()
		if err != nil {
			return err
		}
		cell := func(name string) string {
			if at, ok := columns[name]; ok && at < len(cells) {
				return strings.TrimSpace(cells[at])
			}
			return ""
		}
		j := Job{
			Name: cell("jobname"), Stage: cell("stagename"), Label: cell("label"), Zone: cell("zone"), Arch: cell("arch"), Pool: cell("pool"),
		}
		if j.Arrival, err = s.seconds(columnStart, cell("starttime")); err != nil {
			return err
		}
		if j.Run, err = s.seconds(columnRun, cell("executiontime")); err != nil {
			return err
		}
		if err := s.add(j); err != nil {
			return err
		}
	}
	return nil
}

// header says at which place each column is, its name in small letters.
func (s *source) header() (map[string]int, error) {
	cells, err := s.cells()
	if err != nil {
		return nil, err
	}
	columns := map[string]int{}
	for i, name := range cells {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := columns[name]; twice && name != "" {
			return nil, s.fail("column %q is there twice", name)
		}
		columns[name] = i
	}
	for _, name := range []string{columnStart, columnRun} {
		if _, ok := columns[strings.ToLower(name)]; !ok {
			return nil, s.fail("no column %q: want the header %s,%s,%s,jobName,stageName (and label, zone, arch, pool, if known)",
				name, columnStart, columnEnd, columnRun)
		}
	}
	return columns, nil
}

// cells are those of the line; quotes are rare and dear.
func (s *source) cells() ([]string, error) {
	if !strings.Contains(s.text, `"`) {
		return strings.Split(s.text, ","), nil
	}
	r := csv.NewReader(strings.NewReader(s.text))
	r.FieldsPerRecord = -1
	cells, err := r.Read()
	if err != nil {
		return nil, s.fail("not a line of CSV (a text over several lines can not be read): %v", err)
	}
	return cells, nil
}

// seconds reads a number; parts of a second are rounded to the nearest.
func (s *source) seconds(column, text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > math.MaxInt64/2 {
		if text == "" {
			return 0, s.fail("%s is missing: want seconds", column)
		}
		return 0, s.fail("%s: got %q, want seconds", column, text)
	}
	return int64(math.Round(f)), nil
}

// WriteCSV writes a trace, with as many columns of text as the jobs have.
func WriteCSV(w io.Writer, jobs []Job) error {
	b := bufio.NewWriter(w)
	texts := []struct {
		name string
		of   func(Job) string
	}{
		{"label", func(j Job) string { return j.Label }},
		{"zone", func(j Job) string { return j.Zone }},
		{"arch", func(j Job) string { return j.Arch }},
		{"pool", func(j Job) string { return j.Pool }},
	}
	out := csv.NewWriter(b)
	header := []string{columnStart, columnEnd, columnRun, "jobName", "stageName"}
	used := texts[:0]
	for _, t := range texts {
		if slices.ContainsFunc(jobs, func(j Job) bool { return t.of(j) != "" }) {
			used = append(used, t)
			header = append(header, t.name)
		}
	}
	if err := out.Write(header); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	for _, j := range jobs {
		line := []string{
			strconv.FormatInt(j.Arrival, 10), strconv.FormatInt(j.Arrival+j.Run, 10), strconv.FormatInt(j.Run, 10), j.Name, j.Stage,
		}
		for _, t := range used {
			line = append(line, t.of(j))
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write trace: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}
