package cloud

// Tags are the tags of a thing. The empty value is a value.
type Tags map[string]string

// What we write on everything that we make, at the moment of making. Keys are
// of letters alone, so that they are good in policies and inside of instances too.
const (
	// TagNode is the UID of the node that made it, and so may remove it.
	TagNode = "AquariumNode"
	// TagInstance is the driver's instance of that node, such as "aws/mac".
	TagInstance = "AquariumInstance"
	// TagToken is the token of the allocation that it belongs to.
	TagToken = "AquariumToken"
	// TagApplication is the UID of the application.
	TagApplication = "AquariumApplication"
	// TagPool is the pool that a host, or the instance on it, belongs to.
	TagPool = "AquariumPool"
	// TagPurpose is one of the Purpose values.
	TagPurpose = "AquariumPurpose"
	// TagCreated is when its making was decided, RFC 3339 in UTC.
	TagCreated = "AquariumCreated"
	// TagLease is until when a thing may exist that no allocation owns, RFC 3339 in UTC.
	TagLease = "AquariumLease"
	// TagTask is the UID of the task that made it.
	TagTask = "AquariumTask"
)

// What things are for.
const (
	PurposeWork  = "work"  // an environment, and what comes with it
	PurposeScrub = "scrub" // an instance that is started to have its host scrubbed
	PurposeTask  = "task"  // the result of a task, which stays
	PurposeStep  = "step"  // what a task makes on its way, and removes
	PurposePool  = "pool"  // a host
)

// The marks of hosts of v0.7 (contract 31).
const (
	// TagOldPool has the pool's name as its value.
	TagOldPool = "AquariumDedicatedPoolName"
	// TagOldPoolPrefix is followed by the pool's name.
	TagOldPoolPrefix = "AquariumDedicatedPool-"
)

// InPool reports whether the tags of a host say that it is of the pool: by our
// tag, or else by those of v0.7, of which one has the pool in its key.
func InPool(tags Tags, pool string) bool {
	for _, key := range []string{TagPool, TagOldPool} {
		if name, ok := tags[key]; ok {
			return name == pool
		}
	}
	_, old := tags[TagOldPoolPrefix+pool]
	return old
}
