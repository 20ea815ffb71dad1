package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// Bounds of a page.
const (
	// DefaultLimit is how many events a page has unless the query says it.
	DefaultLimit = 100
	// MaxLimit is how many it has at most.
	MaxLimit = 1000

	// readBudget is how much of the files one page looks at, in bytes: some 150 ms. A page may so be short, or empty,
	// although there is more.
	readBudget = 4 << 20
	// clockSlack is by how much a clock that was set back may disorder the times of events before a range of time misses
	// some of them.
	clockSlack = time.Hour

	readChunk = 64 << 10
)

// ErrBadCursor says that a cursor is none that Read gave.
var ErrBadCursor = errors.New("cursor is not one that a page came with")

// Query says which events to read. Zero values do not restrict.
type Query struct {
	Since, Until time.Time // Since is included, Until is not
	User         string
	// Action is a whole action such as "label.create", or what stands before its dot.
	Action    string
	ObjectUID string
	Result    Result
	// Limit is how many events to return at most, up to MaxLimit; 0 is DefaultLimit.
	Limit int
	// Cursor continues where a page ended.
	Cursor string
}

// Page is a part of the answer to a query.
type Page struct {
	// Events are those that match, the newest first.
	Events []Event
	// Next is the cursor of the next page; empty: there is none.
	Next string
}

func (q Query) matches(e Event) bool {
	switch {
	case !q.Since.IsZero() && e.Time.Before(q.Since), !q.Until.IsZero() && !e.Time.Before(q.Until),
		q.User != "" && e.User != q.User,
		q.ObjectUID != "" && !strings.EqualFold(e.ObjectUID, q.ObjectUID),
		q.Result != "" && e.Result != q.Result:
		return false
	case q.Action == "":
		return true
	}
	rest, ok := strings.CutPrefix(e.Action, q.Action)
	return ok && (rest == "" || rest[0] == '.')
}

// position is where a page ended: before the line that begins at the offset of the file that begins with the event.
type position struct{ first, offset int64 }

func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", p.first, p.offset))
}

func parseCursor(text string) (position, error) {
	var p position
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d.%d", &p.first, &p.offset)
	}
	if err != nil || p.first < 0 || p.offset < 0 || p.cursor() != text {
		return position{}, ErrBadCursor
	}
	return p, nil
}

// Read returns the page of a query, from the newest event backwards. It reads no more than the page needs, and may run
// beside the writer. What was noted before is in it, unless the disk takes longer than a second for it. Errors:
// ErrBadCursor, that of ctx, those of the files.
func (l *Log) Read(ctx context.Context, q Query) (Page, error) {
	if q.Cursor == "" { // a further page is of what is in the file already
		l.await(ctx)
	}
	return read(ctx, l.opts.Path, q)
}

func read(ctx context.Context, path string, q Query) (Page, error) {
	from := position{-1, -1}
	if q.Cursor != "" {
		var err error
		if from, err = parseCursor(q.Cursor); err != nil {
			return Page{}, err
		}
	}
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	p := pager{query: q, page: Page{Events: []Event{}}, budget: readBudget}
	err := eachFile(path, func(f io.ReaderAt, size, first int64) (bool, error) {
		if from.first >= 0 {
			if first > from.first {
				return true, nil // later than where the last page ended
			}
			if first == from.first {
				size = min(size, from.offset)
			}
		}
		return p.file(ctx, f, size, first)
	})
	return p.page, err
}

// eachFile calls visit for each file, the newest first, until it returns false. A file that is put aside meanwhile is
// visited once: the open one is opened before the others are listed.
func eachFile(path string, visit func(f io.ReaderAt, size, first int64) (bool, error)) error {
	open, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open audit file: %w", err)
	}
	before := int64(0) // 0: everything
	if err == nil {
		defer func() { _ = open.Close() }() // only read
		info, err := open.Stat()            // before its first event is looked for: what comes in between is for the next page
		if err != nil {
			return err
		}
		if before, err = firstSeq(open); err != nil {
			return err
		}
		number := before
		if number == 0 {
			number = math.MaxInt64 // no event yet: it is newer than the others all the same
		}
		if on, err := visit(open, info.Size(), number); err != nil || !on {
			return err
		}
	}
	aside, err := fullFiles(path)
	if err != nil {
		return err
	}
	for _, a := range aside {
		if before > 0 && a.first >= before {
			continue // it is the one that was read as the open file
		}
		if on, err := visitPath(a, visit); err != nil || !on {
			return err
		}
	}
	return nil
}

func visitPath(a full, visit func(io.ReaderAt, int64, int64) (bool, error)) (bool, error) {
	f, err := os.Open(a.path)
	if errors.Is(err, fs.ErrNotExist) { // it was too old, just now
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open audit file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	return visit(f, info.Size(), a.first)
}

// pager collects a page.
type pager struct {
	query  Query
	page   Page
	budget int64
}

// file takes what matches from the first size bytes of a file, and reports whether older ones are wanted.
func (p *pager) file(ctx context.Context, f io.ReaderAt, size, first int64) (more bool, err error) {
	b := backward{r: f, left: size}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		line, start, ok, err := b.next()
		if err != nil || !ok {
			p.budget -= size - b.left
			return err == nil, err
		}
		e, whole := parse(line)
		if whole && !p.query.Since.IsZero() && e.Time.Before(p.query.Since.Add(-clockSlack)) {
			return false, nil
		}
		if whole && p.query.matches(e) {
			p.page.Events = append(p.page.Events, e)
		}
		if len(p.page.Events) >= p.query.Limit || size-start >= p.budget {
			p.page.Next = position{first, start}.cursor()
			return false, nil
		}
	}
}

// backward reads the lines of the first left bytes from the last to the first.
type backward struct {
	r    io.ReaderAt
	left int64  // not read yet
	have []byte // read, not returned: it begins at left
}

// next returns a line without its newline, and where it begins. A line too long to be one of ours is returned cut, which
// makes it none.
func (b *backward) next() (line []byte, start int64, ok bool, err error) {
	for {
		if i := bytes.LastIndexByte(b.have, '\n'); i >= 0 {
			line, start = b.have[i+1:], b.left+int64(i)+1
			b.have = b.have[:i]
			return line, start, true, nil
		}
		if b.left == 0 {
			line, b.have = b.have, nil
			return line, 0, len(line) > 0, nil
		}
		if len(b.have) > maxLine {
			b.have = b.have[:0]
		}
		n := min(b.left, readChunk)
		chunk := make([]byte, n, n+int64(len(b.have)))
		if _, err := b.r.ReadAt(chunk, b.left-n); err != nil {
			return nil, 0, false, fmt.Errorf("read audit file: %w", err)
		}
		b.left -= n
		b.have = append(chunk, b.have...)
	}
}

// firstSeq is the number of the first event of a file, 0 if there is none.
func firstSeq(f io.ReaderAt) (int64, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if e, ok := parse(line); ok {
			return e.Seq, nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return 0, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return 0, fmt.Errorf("read audit file: %w", err)
		}
	}
}

// newest is the newest event of all files that is wanted, zero if there is none.
func newest(path string, wanted func(Event) bool) (Event, error) {
	for q := (Query{Limit: 10}); ; { // more than one page in a file full of rubbish
		page, err := read(context.Background(), path, q)
		if err != nil {
			return Event{}, err
		}
		if i := slices.IndexFunc(page.Events, wanted); i >= 0 {
			return page.Events[i], nil
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return Event{}, nil
		}
	}
}
