package store

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// engine is what keeps the rows: SQLite, or a Disk in memory. All above it, the
// writer with its batches, the read model, the feed and the rules of the nouns,
// is the same for both.
//
// The methods of transactions and of nounWriter are the writer goroutine's alone.
// An error that lost reports to be more than one request's ends the batch.
type engine interface {
	// begin starts a transaction. One that is not durable may be lost with the
	// power, until a durable one is committed after it; a killed process loses
	// neither.
	begin(durable bool) error
	// commit ends it: everything of it is kept, with the newest clock reading.
	commit(clock model.HLC) error
	// rollback takes it back, also one that ended by itself.
	rollback()
	// savepoint, undo and release frame one request of a careful batch.
	savepoint() error
	undo() error
	release() error
	nounWriter
	rowStore

	// entry reads an application as the transaction has left it.
	entry(app model.UID) (*model.Entry, error)
	// closedBefore names the applications that closed first, before then, as the
	// transaction has left them, and when the last of these closed.
	closedBefore(before time.Time, limit int) (apps []model.UID, last time.Time, err error)
	// closedAt is when an application closed, as the transaction has left it;
	// zero while it is open, or not here.
	closedAt(app model.UID) (time.Time, error)
	// putSession notes the incarnation, and the session that the marker has.
	putSession(incarnation uint32, session int64) error
	// putLapse notes the newest clock reading of before a lapse, never an older
	// one than is stored; 0 ends it.
	putLapse(until model.HLC) error
	// putUntold notes since where nobody was told of what this node writes.
	putUntold(u untold) error
	// putMarkUntil notes another newest clock reading of the copy that the
	// database is; nothing if it is none.
	putMarkUntil(until model.HLC) error
	// putRemoved notes when the last of the applications that were removed closed.
	putRemoved(last time.Time) error
	// putDate notes a time in place of the one of that name before.
	putDate(name dateName, at time.Time) error

	// load reads what is alive, before there is a writer.
	load(ctx context.Context) (*contents, error)
	// The others read what is committed, from any goroutine.
	readEntry(ctx context.Context, app model.UID) (*model.Entry, error)
	readEnded(ctx context.Context, since time.Time, limit int) ([]*model.Entry, error)
	taskApplication(ctx context.Context, task model.UID) (model.UID, error)
	// close ends it; the marker is kept as that of a database that is closed.
	close(m marker) error
	keeper
}

// nounWriter writes nouns. Those of applications: insert fails with ErrExists
// where the key is taken, put replaces. All others replace.
type nounWriter interface {
	insertUser(u model.User) error
	deleteUser(name string) error
	insertNode(n model.Node) error
	insertLabel(l model.Label) error
	deleteLabel(uid model.UID) error
	insertLocation(l model.Location) error
	deleteLocation(name string) error
	insertMapping(m model.ServiceMapping) error
	deleteMapping(uid model.UID) error
	insertApplication(a model.Application) error
	putApplication(a model.Application) error
	putClosed(app model.UID, at time.Time) error
	// removeApplication takes all that belongs to it along, the rows too.
	removeApplication(app model.UID) error
	insertState(s model.ApplicationState) error
	putState(s model.ApplicationState) error
	putAllocation(a model.Allocation) error
	putTask(t model.ApplicationTask) error
	putResource(r model.Resource) error
	deleteResource(r model.Resource) error
}

// contents is what a store has in memory from its start on.
type contents struct {
	clock     model.HLC // the newest reading
	mark      *mark
	users     []model.User
	labels    []model.Label
	nodes     []model.Node
	locations []model.Location
	mappings  []model.ServiceMapping
	open      []*model.Entry // in queue order

	incarnation uint32
	session     int64 // of the marker's; 0 before the first
	vector      replica.Vector
	lapse       model.HLC // 0 if there is none
	untold      untold
	removed     time.Time // when the last application that was removed had closed
	dates       dates
	waiting     []model.UID // applications that rows wait for
	succession  []syncRow   // of successionKinds
	accesses    []syncRow   // of accessKinds, of open applications
}
