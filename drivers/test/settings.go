package test

import (
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// settings is an instance's cfg: the keys of contract 16, then ours.
type settings struct {
	IsRemote      bool   `yaml:"is_remote"`
	WorkspacePath string `yaml:"workspace_path"`
	CPULimit      uint   `yaml:"cpu_limit"` // cores, 0 = unlimited
	RAMLimit      uint   `yaml:"ram_limit"` // GB, 0 = unlimited
	CPUOverbook   uint   `yaml:"cpu_overbook"`
	RAMOverbook   uint   `yaml:"ram_overbook"`

	// Chances: 0 never, 255 always, between them value/254.
	FailConfigApply    uint8 `yaml:"fail_config_apply"`
	FailConfigValidate uint8 `yaml:"fail_config_validate"`
	FailStatus         uint8 `yaml:"fail_status"` // accepted, never consulted
	FailSnapshot       uint8 `yaml:"fail_snapshot"`
	FailDeallocate     uint8 `yaml:"fail_deallocate"`

	// How long the methods take; a label's options may say otherwise.
	DelayAllocate   time.Duration `yaml:"delay_allocate"`
	DelayDeallocate time.Duration `yaml:"delay_deallocate"`
	DelayTask       time.Duration `yaml:"delay_task"`

	// Where the methods kill the whole node; a label's options may say
	// otherwise. AllowCrash is what makes any of it possible.
	AllowCrash      bool   `yaml:"allow_crash"`
	CrashAllocate   string `yaml:"crash_allocate"`
	CrashDeallocate string `yaml:"crash_deallocate"`
	CrashTask       string `yaml:"crash_task"`

	// Shared names a thing outside, "test/NAME", that other nodes are configured
	// for too: only its owner has room. Owner is the name of the node that is to
	// own it; empty: one of them.
	Shared string `yaml:"shared"`
	Owner  string `yaml:"owner"`

	// EvidenceFile is where the instance writes down which environments it
	// started and stopped, for tests of many nodes. Empty: nowhere.
	EvidenceFile string `yaml:"evidence_file"`

	parsed crashes
}

// delays is how long the methods take.
type delays struct{ allocate, deallocate, task time.Duration }

// crashes is where the methods kill the process.
type crashes struct{ allocate, deallocate, task crashSpec }

func (s *settings) delays() delays {
	return delays{s.DelayAllocate, s.DelayDeallocate, s.DelayTask}
}

func (s *settings) crashes() crashes { return s.parsed }

// readSettings reads an instance's cfg. Warnings are about unknown keys.
func readSettings(cfg []byte) (settings, []yamlconf.Problem, error) {
	s := settings{WorkspacePath: "fish_test_workspace"}
	doc, err := yamlconf.Parse(cfg)
	if err != nil {
		return settings{}, nil, err
	}
	if err := doc.Decode(&s); err != nil {
		return settings{}, nil, err
	}
	err = s.check(doc)
	return s, doc.Warnings(), err
}

// check is about what types can not say.
func (s *settings) check(doc *yamlconf.Document) error {
	var errs []error
	if s.WorkspacePath == "" {
		errs = append(errs, doc.Problem("workspace_path", "got nothing, want a folder"))
	}
	for _, delay := range []struct {
		key   string
		value time.Duration
	}{{"delay_allocate", s.DelayAllocate}, {"delay_deallocate", s.DelayDeallocate}, {"delay_task", s.DelayTask}} {
		if delay.value < 0 {
			errs = append(errs, doc.Problem(delay.key, "got %v, want 0 or more", delay.value))
		}
	}
	for _, c := range []struct {
		key, text string
		points    []string
		into      *crashSpec
	}{
		{"crash_allocate", s.CrashAllocate, allocatePoints(), &s.parsed.allocate},
		{"crash_deallocate", s.CrashDeallocate, deallocatePoints(), &s.parsed.deallocate},
		{"crash_task", s.CrashTask, taskPoints(), &s.parsed.task},
	} {
		spec, err := parseCrash(c.text, c.points)
		if err == nil && c.text != "" && !s.AllowCrash {
			err = errCrashForbidden
		}
		if err != nil {
			errs = append(errs, doc.Problem(c.key, "%v", err))
		}
		*c.into = spec
	}
	return errors.Join(errs...)
}
