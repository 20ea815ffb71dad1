package main

import (
	"fmt"
	"os"
	"syscall"
)

func reserve(file string, mb int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing is written
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(mb)<<20); err != nil {
		_ = os.Remove(file) // it may have taken all that there is
		return fmt.Errorf("%d MB: %w", mb, err)
	}
	fmt.Println("reserved", mb)
	return nil
}
