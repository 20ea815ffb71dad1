// Package filelock keeps processes out of each other's files. The lock is the system's: it ends with the process, however
// that ends, and nothing has to be cleaned up.
package filelock

import "errors"

// ErrLocked says that another process, or another opening of the file in this one, holds the lock.
var ErrLocked = errors.New("locked by another process")
