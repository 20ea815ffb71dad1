//go:build linux || darwin

package keeper

import (
	"fmt"
	"path/filepath"
)

// Look says what exists in an environment's folder. An error means that it
// could not be found out, or that the folder belongs to another token.
func Look(folder, token string) (State, error) {
	s, err := sightOf(folder)
	if err != nil {
		return State{}, fmt.Errorf("look at environment: %w", err)
	}
	return judge(s, token)
}

// sight is all that a decision about an environment is made of.
type sight struct {
	holder   int // of the lock
	held     bool
	bootID   string
	start    uint64 // of the process that holds the lock
	record   record
	recorded bool
	exit     exit
	exited   bool
}

// sightOf reads what exists. The lock is asked first and last: a keeper that
// ends in between has then written its exit record.
func sightOf(folder string) (sight, error) {
	for {
		s, err := glance(folder)
		if err != nil {
			return sight{}, err
		}
		_, held, err := lockHolder(folder)
		if err != nil {
			return sight{}, err
		}
		if held == s.held {
			return s, nil
		}
	}
}

func glance(folder string) (s sight, err error) {
	if s.holder, s.held, err = lockHolder(folder); err != nil {
		return s, err
	}
	if s.bootID, err = bootID(); err != nil {
		return s, err
	}
	if s.held {
		p, err := processOf(s.holder)
		if err == nil { // else it has just ended, which the second query of the lock tells
			s.start = p.Start
		}
	}
	if s.recorded, err = readJSON(filepath.Join(folder, recordFile), &s.record); err != nil {
		return s, err
	}
	s.exited, err = readJSON(filepath.Join(folder, exitFile), &s.exit)
	return s, err
}

// judge decides what a sight means. Boot id, process id, start time and token
// must all agree before a process is taken for the keeper.
func judge(s sight, token string) (State, error) {
	switch {
	case s.recorded && s.record.Token != token:
		return State{}, fmt.Errorf("environment's folder belongs to another token")
	case s.held && s.recorded && s.record.Keeper == (identity{s.holder, s.start}) && s.record.BootID == s.bootID:
		if s.record.Entry.PID == 0 {
			return State{Presence: Starting}, nil
		}
		return State{Presence: Running, ExitCode: -1, Keeper: s.holder, Entry: s.record.Entry.PID}, nil
	case s.held && !s.recorded:
		return State{Presence: Starting}, nil
	case !s.recorded:
		return State{Presence: None}, nil
	case s.exited && s.exit.Token == token:
		return State{Presence: Ended, Ending: s.exit.words(), ExitCode: s.exit.Code, Signal: s.exit.Signal}, nil
	case s.record.BootID != s.bootID:
		return State{Presence: Ended, Ending: "machine was restarted", ExitCode: -1, Lost: true}, nil
	}
	return State{Presence: Ended, Ending: "keeper was killed", ExitCode: -1, Lost: true}, nil
}
