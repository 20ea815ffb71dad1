package farm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Samples are the memory and the files of every node over time.
type Samples struct {
	Memory   []Series // of each node, resident, in bytes; 0 while it does not run
	Database []Series // of each node, all files of its database, in bytes
}

// Sample looks at all nodes once per period until ctx ends.
func (f *Farm) Sample(ctx context.Context, period time.Duration) *Samples {
	s := &Samples{Memory: make([]Series, len(f.Members)), Database: make([]Series, len(f.Members))}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		for i, m := range f.Members {
			s.Memory[i] = append(s.Memory[i], m.resident())
			s.Database[i] = append(s.Database[i], m.databaseSize())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s
		}
	}
}

// Flat says which figure of which node grows by more than it may: the memory
// by so many bytes, as the collector of garbage comes round when it likes and a
// node that was killed begins with little, and the database by what its log
// takes until it is emptied.
func (s *Samples) Flat(memory int64) error {
	const database, slack = 16 << 20, 0.3
	var errs []error
	for node := range s.Memory {
		if err := s.Memory[node].Flat(slack, memory); err != nil {
			errs = append(errs, fmt.Errorf("memory of node %d: %w", node, err))
		}
		if err := s.Database[node].Flat(slack, database); err != nil {
			errs = append(errs, fmt.Errorf("database of node %d: %w", node, err))
		}
	}
	return errors.Join(errs...)
}

// String is the median of each third of the time, in MB.
func (s *Samples) String() string {
	var b strings.Builder
	for node := range s.Memory {
		fmt.Fprintf(&b, "node %d: memory %v MB, database %v MB; ", node, s.Memory[node].thirds(), s.Database[node].thirds())
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// resident is the memory of the node's process, whose id is in its lock file:
// the harness' own notion of it changes with every start.
func (m *Member) resident() int64 {
	lock, err := os.ReadFile(filepath.Join(m.Dir, "fish_data", m.Name+".lock"))
	if err != nil {
		return 0
	}
	status, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(lock)), "status"))
	if err != nil {
		return 0 // it does not run
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}

// databaseSize is what the database takes, with what is not yet in its place.
func (m *Member) databaseSize() int64 {
	files, err := filepath.Glob(filepath.Join(m.Database(), "sqlite.db*"))
	if err != nil {
		return 0
	}
	var size int64
	for _, path := range files {
		if info, err := os.Stat(path); err == nil { // -wal comes and goes
			size += info.Size()
		}
	}
	return size
}
