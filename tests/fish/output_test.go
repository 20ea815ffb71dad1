package fish

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestOutputFindsLines(t *testing.T) {
	r, w := io.Pipe()
	o := newOutput()
	go o.read(r)
	go func() {
		_, _ = io.WriteString(w, "one\ntwo: 2\n")
		_ = w.Close()
	}()
	if line, err := o.find("two: ", time.Minute); line != "two: 2" || err != nil {
		t.Errorf("find = %q, %v", line, err)
	}
	if line, err := o.find("one", time.Minute); line != "one" || err != nil {
		t.Errorf("find of an earlier line = %q, %v", line, err)
	}
	if _, err := o.find("three", time.Minute); err == nil {
		t.Error("find of a line that never came: no error")
	}
	if err := o.failure(); err != nil {
		t.Errorf("failure: %v", err)
	}
}

func TestOutputGivesUp(t *testing.T) {
	if _, err := newOutput().find("x", time.Millisecond); err == nil {
		t.Error("find with nobody printing: no error")
	}
}

func TestOutputNoticesALineThatFreezesReaders(t *testing.T) {
	o := newOutput()
	o.read(strings.NewReader("short\n" + strings.Repeat("x", bufio.MaxScanTokenSize+1) + "\nafter\n"))
	if err := o.failure(); !errors.Is(err, bufio.ErrTooLong) {
		t.Errorf("failure = %v, want %v", err, bufio.ErrTooLong)
	}
}

func TestRulesOut(t *testing.T) {
	for _, tt := range []struct {
		is, status string
		want       bool
	}{
		{"NEW", "ALLOCATED", false}, {"ERROR", "ALLOCATED", true}, {"ERROR", "ERROR", false},
		{"RECALLED", "ALLOCATED", true}, {"RECALLED", "DEALLOCATED", false}, {"DEALLOCATE", "DEALLOCATED", false},
		{"DEALLOCATED", "ALLOCATED", true},
	} {
		if got := (State{Status: tt.is}).rulesOut(tt.status); got != tt.want {
			t.Errorf("%s rules out %s = %v, want %v", tt.is, tt.status, got, tt.want)
		}
	}
}
