package offline

import (
	"cmp"
	"fmt"
	"os"
	"os/user"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
)

// note tells the audit of a stopped node what was done to it. What is done is
// not undone because it could not be noted: that is said, and no error.
func (o Options) note(p place, e audit.Event) {
	e.Result, e.Detail = audit.ResultOK, "with the node stopped, by the system's user "+systemUser()
	if err := audit.Append(p.cfg.AuditFile, e); err != nil {
		_, _ = fmt.Fprintf(o.Stderr, "Warning: %s is done, and is not in the audit: %v\n", e.Action, err) // as above
	}
}

// systemUser is who runs this, and before sudo.
func systemUser() string {
	name := fmt.Sprint("with id ", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = cmp.Or(u.Username, name)
	}
	if before := os.Getenv("SUDO_USER"); before != "" {
		name += " (sudo of " + before + ")"
	}
	return name
}
