//go:build !linux

package account

import (
	"context"
	"fmt"
)

// userProcesses asks ps, which sees everything on macOS.
func (a *Accounts) userProcesses(ctx context.Context, uid int) ([]int, error) {
	result, err := a.runner.Run(ctx, Command{Argv: []string{a.path("ps"), "-A", "-o", "pid=,ruid=,uid=,state="}})
	if err != nil {
		return nil, err
	}
	if result.Code != 0 {
		return nil, fmt.Errorf("run ps: exit code %d: %s", result.Code, brief(result.Output))
	}
	return parsePs(result.Output, uid), nil
}

func canSeeProcesses() error { return nil }

// uidsMapped is about containers, which only Linux has.
func uidsMapped() bool { return true }
