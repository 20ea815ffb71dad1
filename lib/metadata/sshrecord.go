package metadata

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// SSHRecordKey is the key in a label's metadata that turns on the recording of
// SSH sessions into its environments. It is for the node alone: no environment
// and no Resource shows it.
const SSHRecordKey = NodePrefix + "SSH_RECORD"

// SSHRecord reports whether the label's metadata asks for SSH sessions to be
// recorded: SSHRecordKey at its top level is true, the boolean. Give it what
// the label says, never what an application or an environment does.
func SSHRecord(label json.RawMessage) bool {
	object, err := parse(label)
	if err != nil {
		return false
	}
	on, _ := object[SSHRecordKey].(bool)
	return on
}

// CheckLabel refuses label metadata that turns recording on or off in a way
// that the node would not understand: who wants a record must not go without
// for a typing error.
func CheckLabel(label json.RawMessage) error {
	object, err := parse(label)
	if err != nil {
		return fmt.Errorf("metadata %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch _, isBool := object[key].(bool); {
		case !sameName(key, SSHRecordKey):
		case key != SSHRecordKey:
			return fmt.Errorf("metadata key %.80q: it is written %s", key, SSHRecordKey)
		case !isBool:
			return fmt.Errorf("metadata key %s: want true or false, without quotes", SSHRecordKey)
		}
	}
	return nil
}
