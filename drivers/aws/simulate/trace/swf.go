package trace

import (
	"strconv"
	"strings"
)

// swfFields is how many numbers a line of the Standard Workload Format has.
const swfFields = 18

// readSWF reads the Standard Workload Format of the Parallel Workloads
// Archive. Of each job it takes when it was submitted and how long it ran; the
// queue and the partition become its label, so that they can be told apart.
func (s *source) readSWF() error {
	start := int64(0) // times count from there
	for more := true; more; more = s.next() {
		if comment, is := strings.CutPrefix(s.text, ";"); is {
			key, value, _ := strings.Cut(comment, ":")
			if strings.TrimSpace(key) != "UnixStartTime" {
				continue
			}
			var err error
			if start, err = s.seconds("UnixStartTime", strings.TrimSpace(value)); err != nil {
				return err
			}
			continue
		}
		if err := s.swfJob(start, strings.Fields(s.text)); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) swfJob(start int64, fields []string) error {
	if len(fields) != swfFields {
		return s.fail("a line of SWF has %d numbers, this one %d", swfFields, len(fields))
	}
	submit, err := s.seconds("submit time", fields[1])
	if err != nil {
		return err
	}
	run, err := s.seconds("run time", fields[3])
	if err != nil {
		return err
	}
	if submit < 0 || run < 0 { // -1 is what nobody knows
		s.leftOut++
		return nil
	}
	j := Job{Arrival: start + submit, Run: run, Name: fields[0], Label: swfLabel(fields[14], fields[15])}
	return s.add(j)
}

// swfLabel names the queue and the partition, if they are known.
func swfLabel(queue, partition string) string {
	var parts []string
	for _, p := range []struct{ name, number string }{{"queue", queue}, {"partition", partition}} {
		if n, err := strconv.Atoi(p.number); err == nil && n >= 0 {
			parts = append(parts, p.name+p.number)
		}
	}
	return strings.Join(parts, "-")
}
