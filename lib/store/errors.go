package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that no row has this key.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a row with this key, or with a name that has to be
	// unique, is there already.
	ErrExists = errors.New("already exists")
	// ErrLabelUnknown says that an application asks for a label that does not
	// exist.
	ErrLabelUnknown = errors.New("label does not exist")
	// ErrPubkeyChanged says that a node of this name is stored with another
	// key.
	ErrPubkeyChanged = errors.New("pubkey was changed")
	// ErrUnavailable says that the database did not take the write: nothing of
	// it is stored. The message names the cause.
	ErrUnavailable = errors.New("database is not writable")
	// ErrNewer says that a newer version of this program wrote the database.
	ErrNewer = errors.New("database is newer than this program")
	// ErrInUse says that another process has the database open.
	ErrInUse = errors.New("another process uses the database; stop it first")
	// errNoSQL says that the store is one in memory, which has no SQL.
	errNoSQL = errors.New("a database in memory has no lists with a filter, of applications or of votes")
	// ErrClosed says that the store was closed; nothing of the request is stored.
	ErrClosed = errors.New("store is closed")
)

// SQLite's primary result codes that are told apart here (sqlite.org/rescode.html).
const (
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
	codeRange      = 25
	codeNotADB     = 26
)

// code is the primary result code of an SQLite error, 0 for any other error.
func code(err error) int {
	var e interface {
		error
		Code() int
	}
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// wholeBatch reports whether an error of the engine has ended the transaction.
func wholeBatch(err error) bool {
	return errors.Is(err, errDisk) || code(err) != 0 && !requestOnly(err)
}

// requestOnly reports whether an error of a statement concerns its own request
// alone. After all others SQLite may have rolled the transaction back, so the
// whole batch has failed.
func requestOnly(err error) bool {
	switch code(err) {
	case codeConstraint, codeTooBig, codeMismatch, codeRange:
		return true
	case codeCorrupt: // one rotten page must not stop all others
		return true
	}
	return false
}

// explain says in the words of an operator why the file can not be used.
func explain(path string, err error) error {
	switch code(err) {
	case codeCorrupt, codeNotADB:
		return fmt.Errorf("database %s is corrupt or no database; move it away, or put a copy back: %w", path, err)
	case codeReadOnly, codeCantOpen:
		return fmt.Errorf("database %s can not be opened for writing; check owner and mode of the file and its folder: %w", path, err)
	case codeFull:
		return fmt.Errorf("no space left for database %s: %w", path, err)
	case codeIO: // also where there is no room for its index
		return fmt.Errorf("database %s can not be read or written; is there space left on its disk, and is the disk sound: %w", path, err)
	}
	return fmt.Errorf("open database %s: %w", path, err)
}
