package model

import "time"

// Retirement says that a node is gone for good: an administrator asserts that
// it is off. Its key is refused from then on, its name is free, and what it
// decided is decided by the successor. Any node writes it, once per node.
type Retirement struct {
	NodeUID   UID
	Successor UID
	// Forced says that not all members could be asked what they know, so that
	// an application may run twice.
	Forced    bool
	By        string // the user who retired it
	CreatedAt time.Time
	HLC       HLC
}

// Handover is how a node that is shut down for maintenance gives away what it
// would have decided: the applications that it is the arbiter of, created up
// to HLC and without ALLOCATED. The node itself writes it, once the successor
// agreed; from then on it grants none of these.
type Handover struct {
	UID       UID
	NodeUID   UID // who gives
	Successor UID
	CreatedAt time.Time
	HLC       HLC
}
