//go:build !linux

package main

import "context"

// measureSSH needs an OpenSSH server of the run's own.
func (b *bench) measureSSH(context.Context) error {
	b.table.note("SSH", "not measured", "an SSH server of the run's own needs Linux")
	return nil
}

// measureLink needs a network of the run's own.
func (b *bench) measureLink(context.Context) error {
	b.table.note("link of 1 Gbit/s", "not measured", "a network of the run's own needs Linux")
	return nil
}
