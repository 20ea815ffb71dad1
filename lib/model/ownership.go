package model

import "time"

// Ownership says that a shared outside thing, such as a pool of a cloud, has
// another owner from here on. It counts only if From owned the thing when it
// was written: see lib/ownership.
type Ownership struct {
	UID   UID
	Thing string // as members name it in their configuration
	// From is who owned it; NilUID: nobody did.
	From UID
	To   UID
	// By is the node that wrote it.
	By        UID
	CreatedAt time.Time
	HLC       HLC
}
