package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// stopWait is how long a machine may take to stop in order: a Mac takes a
	// quarter of an hour, a Windows that installs its updates longer.
	stopWait = 30 * time.Minute
	// leaseAfter is how much longer than a task may take its steps may exist: far
	// longer than any two clocks differ, and than lists lag behind.
	leaseAfter = time.Hour
	// recordKept is how long a record is kept after that: a node that did not
	// hear the result asks again within seconds of its next start.
	recordKept = 7 * 24 * time.Hour
)

// taskRecord is all that is known of what was asked of EC2 for a task. It is on
// the disk before the first request.
type taskRecord struct {
	Version     int       `json:"version"`
	UID         model.UID `json:"uid"`
	Node        model.UID `json:"node"`
	Instance    string    `json:"instance"`
	Account     string    `json:"account"`
	Region      string    `json:"region"`
	Application string    `json:"application"`
	Token       string    `json:"token,omitempty"`
	Created     time.Time `json:"created"`
	// Deadline is when the task is given up, however often it was begun anew.
	Deadline time.Time `json:"deadline"`

	Machine string            `json:"machine"`        // its id
	Volumes map[string]string `json:"volumes"`        // what is taken, by device
	Omit    []string          `json:"omit,omitempty"` // devices that are not
	Tags    cloud.Tags        `json:"tags"`           // of everything that is made
	Name    string            `json:"name,omitempty"` // of the image
	KeyID   string            `json:"key,omitempty"`  // ARN; empty: the image is not encrypted anew

	// Stopping is when the machine was first told to stop, Forced that its power
	// was to be cut.
	Stopping time.Time `json:"stopping,omitzero"`
	Forced   time.Time `json:"forced,omitzero"`
	// Sent is when the snapshots, or the image of the machine, were last asked
	// for without a certain answer; zero: nothing can be on its way.
	Sent      time.Time `json:"sent,omitzero"`
	Snapshots []string  `json:"snapshots,omitempty"`
	Image     string    `json:"image,omitempty"` // of the machine
	Copy      string    `json:"copy,omitempty"`  // of that, with the key

	// Result is how the task ended.
	Result json.RawMessage `json:"result,omitempty"`
}

// made is the image that is the result, or will be; empty: it is not begun.
func (rec *taskRecord) made() string {
	if rec.KeyID != "" {
		return rec.Copy
	}
	return rec.Image
}

// lease is until when steps of the task may exist.
func (rec *taskRecord) lease() time.Time { return rec.Deadline.Add(leaseAfter).UTC() }

// suffix tells the names of tasks apart, and is the same for each try.
func suffix(uid model.UID) string {
	sum := sha256.Sum256([]byte(uid.String()))
	return hex.EncodeToString(sum[:6])
}

// stepName is that of an image that is encrypted anew. It is not the label's: a
// wildcard would find an image that goes soon.
func (rec *taskRecord) stepName() string { return "aquarium-step-" + suffix(rec.UID) }

// firstName is that of the image of the machine.
func (rec *taskRecord) firstName() string {
	if rec.KeyID != "" {
		return rec.stepName()
	}
	return rec.Name
}

// copyToken is that of the copy: asked for again, it is the same copy.
func (rec *taskRecord) copyToken() string {
	sum := sha256.Sum256([]byte("copy\x00" + rec.UID.String()))
	return hex.EncodeToString(sum[:])
}

// begin finds the task's record, or makes it.
func (r *taskRun) begin(ctx context.Context) error {
	rec, found, err := r.records().load(r.req.UID)
	if err != nil {
		return err
	}
	if found && len(rec.Result) > 0 {
		r.rec = rec
		return nil
	}
	if found && (rec.Account != r.account || rec.Region != r.settings.Region) {
		return fmt.Errorf("the task was begun in account %s, region %s: configure the instance as it was", rec.Account, rec.Region)
	}
	r.machine, err = r.machineOf(ctx, r.req.Ref)
	if err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	r.gone = errors.Is(err, errMachineGone)
	switch {
	case found:
		r.rec = rec
		return nil
	case r.gone:
		return r.nothing()
	case err != nil:
		return err
	}
	if rec, err = r.newRecord(ctx); err != nil {
		return err
	}
	if err := r.takeUp(ctx, rec); err != nil {
		return err
	}
	if err := r.records().save(rec); err != nil {
		return err
	}
	r.rec = rec
	r.log.Info("task begins", "identifier", rec.Machine, "deadline", rec.Deadline)
	return nil
}

// nothing is why a task can not begin without its machine: for good, if that is gone.
func (r *taskRun) nothing() error {
	if r.gone {
		return failure("the machine ended before the task was done: nothing can be taken of it any more")
	}
	return labelError{errNotRunning}
}

// newRecord plans a task. It makes nothing.
func (r *taskRun) newRecord(ctx context.Context) (*taskRecord, error) {
	o, err := readOptions(r.req.Ref.Definition)
	if err != nil {
		r.log.Warn("the label's options are not used", "error", err)
		o = options{}
	}
	now := time.Now().UTC()
	rec := &taskRecord{
		Version: intentVersion, UID: r.req.UID, Node: r.node, Instance: r.instance, Account: r.account, Region: r.settings.Region,
		Application: r.req.Ref.ApplicationUID.String(), Token: r.machine.token, Created: now, Machine: r.machine.ID, Volumes: map[string]string{},
	}
	wait := r.settings.SnapshotCreateWait
	if r.req.Task == taskImage {
		wait = r.settings.ImageCreateWait
		if o.taskImageEncryptKey != "" {
			wait *= 2
			if rec.KeyID, err = r.resolver.key(ctx, o.taskImageEncryptKey); err != nil {
				if _, label := errors.AsType[labelError](err); label {
					return nil, failure("option task_image_encrypt_key: there is no key %q that these credentials see", o.taskImageEncryptKey)
				}
				return nil, err
			}
		}
		rec.Name = cmp.Or(o.taskImageName, "aquarium-image") + "-" + suffix(rec.UID)
	}
	rec.Deadline = now.Add(stopWait + wait)
	rec.Tags = r.taskTags(rec, o)
	return rec, r.choose(rec)
}

// taskTags are those of a step, with which everything begins.
func (r *taskRun) taskTags(rec *taskRecord, o options) cloud.Tags {
	return r.maker().Tags(cloud.Mark{
		Purpose: cloud.PurposeStep, Token: rec.Token, Application: rec.Application, Task: rec.UID.String(), Created: rec.Created, Lease: rec.lease(),
	}, r.settings.InstanceTags, o.tags)
}

// choose says which disks the task is about.
func (r *taskRun) choose(rec *taskRecord) error {
	for device, id := range r.machine.Volumes {
		root := device == r.machine.RootDevice
		if r.opts.Full || root == (r.req.Task == taskImage) {
			rec.Volumes[device] = id
		} else {
			rec.Omit = append(rec.Omit, device)
		}
	}
	slices.Sort(rec.Omit)
	if len(rec.Volumes) == 0 {
		return failure("machine %s has no disk beside its root: the option full has a snapshot of that too", rec.Machine)
	}
	return nil
}

// takeUp looks for what an earlier record, which is lost, had made. Where the
// folder is new something may be on its way: it is waited until that shows.
func (r *taskRun) takeUp(ctx context.Context, rec *taskRecord) error {
	run := &taskRun{driver: r.driver, req: r.req, opts: r.opts, rec: rec, log: r.log, told: time.Now()}
	return run.until(ctx, "look for what the task made before", func() (bool, string, error) {
		asked := time.Now()
		found, err := run.find(ctx)
		return found || asked.After(r.ledger.doubt()), "the record is lost", err
	})
}

// taskRecords keeps the records of tasks, one file each, beside the intents.
type taskRecords struct{ *ledger }

func (d *driver) records() taskRecords { return taskRecords{d.ledger} }

func (l taskRecords) folder() string { return filepath.Join(l.dir, "tasks") }

func (l taskRecords) path(uid model.UID) string {
	return filepath.Join(l.folder(), uid.String()+".json")
}

// save writes a record for good.
func (l taskRecords) save(rec *taskRecord) error {
	data, err := json.Marshal(rec)
	if err == nil {
		err = l.write(l.path(rec.UID), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the task's record: %w", err)
	}
	return nil
}

// load reads a record. One that can not be understood, as a later version wrote
// it, is left to a person.
func (l taskRecords) load(uid model.UID) (rec *taskRecord, found bool, err error) {
	data, err := os.ReadFile(l.path(uid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the task's record: %w", err)
	}
	rec = &taskRecord{}
	if err := json.Unmarshal(data, rec); err != nil || rec.Version != intentVersion || rec.UID != uid {
		return nil, false, fmt.Errorf("the task's record %s can not be understood: remove it", l.path(uid))
	}
	return rec, true, nil
}

// old removes the records of tasks whose steps have no lease any more.
func (l taskRecords) old(now time.Time, busy func(uid string) bool) error {
	entries, err := os.ReadDir(l.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), ".json")
		path := filepath.Join(l.folder(), e.Name())
		if !is || busy(name) {
			continue
		}
		data, err := os.ReadFile(path)
		rec := taskRecord{}
		if err == nil && json.Unmarshal(data, &rec) == nil && now.After(rec.Deadline.Add(leaseAfter+recordKept)) {
			err = l.remove(path)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
