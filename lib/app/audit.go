package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// startAudit opens the audit and writes from here on: it is the first of what
// runs and so the last that stops. It notes that the node starts, and what of
// its config changed since the last start.
func (a *App) startAudit(cfg *config.Config, log *slog.Logger) (*audit.Log, error) {
	l, err := audit.Open(audit.Options{
		Path: cfg.AuditFile, Size: int64(cfg.AuditFileSize), //nolint:gosec // checked to fit
		Keep: int(cfg.AuditFileKeep), Logger: log.With("component", "audit"),
	})
	if err != nil {
		return nil, fmt.Errorf("%w; make its folder writable for the node, or set audit_file", err)
	}
	a.startPart(part{"audit", l.Run})
	detail, err := configChanges(cfg)
	if err != nil {
		log.Warn("config of this start is not kept, the next one can not tell what changed", "component", "audit", "error", err)
	}
	if !l.EndedInOrder() {
		detail = "the run before ended without a stop; " + detail
	}
	l.Note(audit.Event{Action: audit.ActionStart, ObjectName: cfg.NodeName, Result: audit.ResultOK, Detail: detail})
	return l, nil
}

// seenConfig is what is kept of a config for the next start: no value of a
// driver's own part, which may be a secret, only its keyed digest.
type seenConfig struct {
	Key    string            `json:"key"` // of the digests, in hex: made once for each file
	Values map[string]string `json:"values"`
}

// configChanges says in words what differs from the config of the last start,
// and keeps this one beside the audit file for the next.
func configChanges(cfg *config.Config) (string, error) {
	path := cfg.AuditFile + ".config"
	var old seenConfig
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		err = json.Unmarshal(text, &old)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil || len(old.Key) != 2*sha256.Size || old.Values == nil {
		old = seenConfig{Key: hex.EncodeToString(newDigestKey())} // absent, or rubbish: as if never seen
	}
	now := seenConfig{Key: old.Key, Values: configValues(cfg, []byte(old.Key))}
	detail := describeChanges(old.Values, now.Values)
	text, _ = json.Marshal(now) // texts always marshal
	half := path + ".new"
	if err := os.WriteFile(half, text, 0o600); err != nil {
		return detail, err
	}
	return detail, os.Rename(half, path)
}

func newDigestKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails (crypto/rand documents a crash instead)
	return key
}

// configValues are the values of a config by key.
func configValues(cfg *config.Config, key []byte) map[string]string {
	values := map[string]string{}
	v := reflect.ValueOf(*cfg)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "drivers" {
			values[name] = fmt.Sprint(v.Field(i).Interface())
		}
	}
	for _, e := range cfg.Drivers {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write(e.JSON()) // a hash never fails
		values["drivers."+e.Name] = hex.EncodeToString(mac.Sum(nil))[:16]
	}
	return values
}

// describeChanges compares two configs; old is nil at the first start.
func describeChanges(old, now map[string]string) string {
	if old == nil {
		return "first start with this audit file"
	}
	both := maps.Clone(old)
	maps.Copy(both, now)
	var changes []string
	for _, key := range slices.Sorted(maps.Keys(both)) {
		before, was := old[key]
		after, is := now[key]
		isDriver := strings.HasPrefix(key, "drivers.")
		switch {
		case was && is && before == after:
		case !was && isDriver:
			changes = append(changes, key+" added")
		case !is && isDriver:
			changes = append(changes, key+" removed")
		case isDriver:
			changes = append(changes, key+" changed")
		default:
			changes = append(changes, fmt.Sprintf("%s: %q -> %q", key, before, after))
		}
	}
	if len(changes) == 0 {
		return "config as at the last start"
	}
	return "config changed: " + strings.Join(changes, ", ")
}

// driverLook is how often the driver instances are compared with what was
// noted of them: those that come are told by an event, others are not.
const driverLook = 5 * time.Second

// auditDrivers notes which driver instances became ready and which failed.
func auditDrivers(r *drivers.Registry, l *audit.Log) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		noted := map[string]string{}
		look := func(context.Context) {
			for _, e := range driverEvents(noted, r.Status()) {
				l.Note(e)
			}
		}
		look(ctx)
		loop.Every(ctx, driverLook, look)
		return nil
	}
}

// driverEvents are the events of what changed, and remembers it.
func driverEvents(noted map[string]string, status []drivers.InstanceStatus) []audit.Event {
	var events []audit.Event
	for _, s := range status {
		if before, ok := noted[s.Name]; ok && before == s.Reason || s.State == drivers.InstanceStarting {
			continue // one whose first attempt goes on has not failed
		}
		noted[s.Name] = s.Reason
		e := audit.Event{Action: audit.ActionDriverReady, ObjectName: s.Name, Result: audit.ResultOK}
		if !s.Ready {
			e = audit.Event{Action: audit.ActionDriverLost, ObjectName: s.Name, Result: audit.ResultFailed, Detail: s.Reason}
		}
		events = append(events, e)
	}
	return events
}
