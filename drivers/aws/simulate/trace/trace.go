// Package trace reads and makes workloads: which jobs came when, and how long
// each ran on a machine. It reads the forms in which such records are to be
// had, and writes one of them.
package trace

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Job is one run on a machine. Times are whole seconds, as EC2 meters hosts.
type Job struct {
	// Arrival is when somebody began to wait for a machine, as Unix time.
	Arrival int64
	// Run is for how many seconds the job used its machine.
	Run int64
	// Where it belongs, as far as the trace says so.
	Name, Stage, Label, Zone, Arch, Pool string
}

// Trace is a workload, by time of arrival.
type Trace struct {
	Jobs []Job
	// LeftOut counts the records that are no runs on a machine, such as those
	// of jobs that were skipped or had not ended.
	LeftOut int
}

// Run is the sum over all jobs, in seconds.
func (t Trace) Run() (seconds int64) {
	for i := range t.Jobs {
		seconds += t.Jobs[i].Run
	}
	return seconds
}

// Error is what is wrong with a record.
type Error struct {
	File string
	Line int // from 1; 0 is the file as a whole
	Text string
}

// Error names the place as editors understand it.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Format is the form of a trace.
type Format string

// The forms that are read. Auto tells them apart by the first line.
const (
	Auto   Format = "auto"
	CSV    Format = "csv"
	SWF    Format = "swf"
	GitHub Format = "github"
)

// Formats are all of them.
func Formats() []Format { return []Format{Auto, CSV, SWF, GitHub} }

const (
	// maxLine bounds one record: a job of GitHub with its steps takes some 10 kB.
	maxLine = 16 << 20
	// maxJobs keeps a trace within memory: some 2 GB.
	maxJobs = 20_000_000
	// latest is the end of the year 9999: what is later is no Unix time in
	// seconds, but most likely one in milliseconds.
	latest = 253402300799
	// longest is a run of ten years: GitHub ends jobs after 35 days.
	longest = 10 * 365 * 86400
)

// Open reads the trace of a file, which may be compressed with gzip; "-" is
// standard input. What is wrong with a record is an *Error.
func Open(path string, stdin io.Reader, f Format) (Trace, error) {
	if path == "-" {
		return Read("standard input", stdin, f)
	}
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return Trace{}, fmt.Errorf("open trace: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return Read(path, file, f)
}

// Read reads a trace; name is what errors call it.
func Read(name string, r io.Reader, f Format) (Trace, error) {
	in, err := plain(name, r)
	if err != nil {
		return Trace{}, err
	}
	s := &source{name: name, lines: bufio.NewScanner(in), words: map[string]string{}}
	s.lines.Buffer(make([]byte, 64<<10), maxLine)
	if err := s.read(f); err != nil {
		return Trace{}, err
	}
	if len(s.jobs) == 0 {
		return Trace{}, &Error{File: name, Text: fmt.Sprintf("no job in it (%d records that are no runs)", s.leftOut)}
	}
	slices.SortStableFunc(s.jobs, func(a, b Job) int { return cmp.Compare(a.Arrival, b.Arrival) })
	return Trace{Jobs: s.jobs, LeftOut: s.leftOut}, nil
}

// plain is the text of a file that may be compressed.
func plain(name string, r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		return in, nil // an error of Peek comes again
	}
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil, &Error{File: name, Text: fmt.Sprintf("begins like gzip, but is not: %v", err)}
	}
	return unpacked, nil
}

// source is a trace that is being read.
type source struct {
	name    string
	lines   *bufio.Scanner
	line    int
	text    string
	words   map[string]string // each text once, however many jobs have it
	jobs    []Job
	leftOut int
}

// next reads on to the next line that is not empty.
func (s *source) next() bool {
	for s.lines.Scan() && s.lines.Err() == nil { // of a file that breaks off the last line is half of one
		s.line++
		if s.text = strings.TrimSpace(s.lines.Text()); s.line == 1 {
			s.text = strings.TrimPrefix(s.text, "\ufeff") // as some spreadsheets begin a file
		}
		if s.text != "" {
			return true
		}
	}
	return false
}

func (s *source) read(f Format) error {
	if s.next() {
		if err := s.records(f); err != nil {
			return err
		}
	}
	if err := s.lines.Err(); err != nil {
		return &Error{s.name, s.line + 1, fmt.Sprintf("can not be read: %v", err)}
	}
	return nil
}

// records reads all, the first line being read already.
func (s *source) records(f Format) error {
	if f == Auto || f == "" {
		f = guess(s.text)
	}
	switch f {
	case CSV:
		return s.readCSV()
	case SWF:
		return s.readSWF()
	case GitHub:
		return s.readGitHub()
	}
	return fmt.Errorf("unknown form of trace %q: want auto, csv, swf or github", f)
}

// guess tells the form by the first line that is not empty.
func guess(line string) Format {
	switch {
	case strings.HasPrefix(line, "{"):
		return GitHub
	case strings.HasPrefix(line, ";"), len(strings.Fields(line)) == swfFields:
		return SWF
	}
	return CSV
}

func (s *source) fail(format string, args ...any) error {
	return &Error{s.name, s.line, fmt.Sprintf(format, args...)}
}

// add takes a job over, if its numbers can be.
func (s *source) add(j Job) error {
	switch {
	case j.Arrival < 0:
		return s.fail("the job starts before 1970: want Unix time in seconds, or seconds from the start of the trace")
	case j.Arrival > latest:
		return s.fail("the job starts after the year 9999: want Unix time in seconds; is it in milliseconds?")
	case j.Run < 0:
		return s.fail("the job ends before it starts: its run takes %d seconds", j.Run)
	case j.Run > longest:
		return s.fail("the job runs for %d seconds, more than ten years: is it in milliseconds?", j.Run)
	case len(s.jobs) == maxJobs:
		return s.fail("more than %d jobs do not fit in memory: split the trace", maxJobs)
	}
	for _, text := range []*string{&j.Name, &j.Stage, &j.Label, &j.Zone, &j.Arch, &j.Pool} {
		*text = s.once(*text)
	}
	s.jobs = append(s.jobs, j)
	return nil
}

// once is the same text, without the line that it was cut from.
func (s *source) once(text string) string {
	if text == "" {
		return ""
	}
	known, ok := s.words[text]
	if !ok {
		known = strings.Clone(text)
		s.words[known] = known
	}
	return known
}
