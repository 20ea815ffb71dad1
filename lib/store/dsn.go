package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers driverName
)

// driverName is what database/sql knows the driver by.
const driverName = "sqlite"

// fileName is the database's name in its folder (contract 3).
const fileName = "sqlite.db"

// busyTimeout is how long a connection waits for a lock of another, such as a
// checkpoint's.
const busyTimeout = 5 * time.Second

// commonPragmas are those of every connection. cache_size is in KiB, and small
// because what is hot is in our own memory.
func commonPragmas() string {
	return fmt.Sprintf("&_pragma=busy_timeout(%d)&_pragma=cache_size(-4000)&_pragma=temp_store(MEMORY)", busyTimeout.Milliseconds())
}

// writerDSN opens for writing: auto_vacuum has to come before the first table
// and WAL, as it does since the driver obeys pragmas by their names' order.
// Without immediate transactions a read-then-write fails with BUSY_SNAPSHOT.
// fullfsync is what makes FULL true on macOS.
func writerDSN(path string) string {
	return uri(path) + "?_txlock=immediate&_pragma=auto_vacuum(INCREMENTAL)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(FULL)&_pragma=fullfsync(1)&_pragma=checkpoint_fullfsync(1)" +
		fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)", autoCheckpointPages) + commonPragmas()
}

// readerDSN opens for reading, by pragma and not by mode=ro: that could not
// recover a left -wal.
func readerDSN(path string) string {
	return uri(path) + "?_pragma=query_only(1)" + commonPragmas()
}

// uri names a file as SQLite's URI. The folder is named after the node's
// address, so the path has colons, and may have anything else.
func uri(path string) string {
	path = filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		path = "/" + path
	}
	var b strings.Builder
	b.WriteString("file:")
	for i := range len(path) {
		switch c := path[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', strings.IndexByte("/._-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
