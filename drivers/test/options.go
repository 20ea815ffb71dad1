package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// options is what a label's definition asks of the driver: the chances of
// contract 16, then ours.
type options struct {
	failOptionsApply      uint8
	failOptionsValidate   uint8
	failAvailableCapacity uint8
	failAllocate          uint8

	// hangAllocate makes an allocation last until its context ends.
	hangAllocate bool
	delays       delays
	crashes      crashes
}

// read takes a definition's options over what o already holds. Names match
// in any case; unknown ones are ignored, and so is null.
func (o *options) read(raw json.RawMessage, allowCrash bool) error {
	if len(raw) == 0 {
		return nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		return fmt.Errorf("options: got %.40s, want a JSON object", raw)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if string(given[name]) == "null" {
			continue
		}
		if err := o.set(strings.ToLower(name), given[name], allowCrash); err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
	}
	return nil
}

// OptionNames implements drivers.OptionNamer.
func (*driver) OptionNames() []string {
	return []string{
		"fail_options_apply", "fail_options_validate", "fail_available_capacity", "fail_allocate", "hang_allocate",
		"delay_allocate", "delay_deallocate", "delay_task", "crash_allocate", "crash_deallocate", "crash_task",
	}
}

func (o *options) set(name string, value json.RawMessage, allowCrash bool) error {
	switch name {
	case "fail_options_apply":
		return decode(value, &o.failOptionsApply, "an integer from 0 to 255")
	case "fail_options_validate":
		return decode(value, &o.failOptionsValidate, "an integer from 0 to 255")
	case "fail_available_capacity":
		return decode(value, &o.failAvailableCapacity, "an integer from 0 to 255")
	case "fail_allocate":
		return decode(value, &o.failAllocate, "an integer from 0 to 255")
	case "hang_allocate":
		return decode(value, &o.hangAllocate, "true or false")
	case "delay_allocate":
		return decodeDelay(value, &o.delays.allocate)
	case "delay_deallocate":
		return decodeDelay(value, &o.delays.deallocate)
	case "delay_task":
		return decodeDelay(value, &o.delays.task)
	case "crash_allocate":
		return decodeCrash(value, &o.crashes.allocate, allocatePoints(), allowCrash)
	case "crash_deallocate":
		return decodeCrash(value, &o.crashes.deallocate, deallocatePoints(), allowCrash)
	case "crash_task":
		return decodeCrash(value, &o.crashes.task, taskPoints(), allowCrash)
	}
	return nil
}

// decode reads one value; the error says what is allowed.
func decode[T any](value json.RawMessage, into *T, want string) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("got %.40s, want %s", value, want)
	}
	return nil
}

func decodeDelay(value json.RawMessage, into *time.Duration) error {
	const want = `a duration of 0 or more such as "500ms"`
	var text string
	if err := decode(value, &text, want); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("got %.40q, want %s", text, want)
	}
	*into = d
	return nil
}

func decodeCrash(value json.RawMessage, into *crashSpec, points []string, allowed bool) error {
	var text string
	if err := decode(value, &text, `a string such as "`+points[0]+`"`); err != nil {
		return err
	}
	spec, err := parseCrash(text, points)
	if err != nil {
		return err
	}
	if text != "" && !allowed {
		return errCrashForbidden
	}
	*into = spec
	return nil
}
