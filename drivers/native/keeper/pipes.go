//go:build linux || darwin

package keeper

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipes makes pipes between this process and a child, and keeps the first
// error. No other child inherits an end.
type pipes struct {
	theirs []*os.File // the child's ends
	err    error
}

// from returns the end that reads what the child writes, to the one that writes
// what it reads. After an error they are nil.
func (p *pipes) from(name string) *os.File {
	read, write := p.make()
	return p.keep(read, write, name)
}

func (p *pipes) to(name string) *os.File {
	read, write := p.make()
	return p.keep(write, read, name)
}

func (p *pipes) make() (read, write int) {
	if p.err == nil {
		read, write, p.err = pipe()
	}
	return read, write
}

// keep notes their end and returns ours, on which deadlines work. Theirs stays
// blocking: programs do not expect another standard output.
func (p *pipes) keep(ours, theirs int, name string) *os.File {
	if p.err != nil {
		return nil
	}
	p.theirs = append(p.theirs, os.NewFile(uintptr(theirs), name))
	p.err = unix.SetNonblock(ours, true)
	return os.NewFile(uintptr(ours), name)
}

func (p *pipes) closeTheirs() {
	for _, file := range p.theirs {
		_ = file.Close() // the child has its own
	}
}
