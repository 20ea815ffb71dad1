//go:build !linux

package main

import "errors"

func reserve(string, int) error { return errors.ErrUnsupported }
