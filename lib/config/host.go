package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/host"
)

// factsTimeout bounds the questions to the system: on some distributions one of them starts a script.
const factsTimeout = 5 * time.Second

// SystemHost describes the machine that the process runs on.
func SystemHost() Host {
	return Host{Name: os.Hostname, Identifiers: systemIdentifiers}
}

// systemIdentifiers lists the defaults of contract 13 apart from the node's own name. What the system does not tell is
// left out: an empty value could match a filter by accident.
func systemIdentifiers(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	name, nameErr := os.Hostname()
	platform, family, version, platformErr := host.PlatformInformationWithContext(ctx)
	arch, archErr := host.KernelArch()
	var list []string
	var missing error
	for _, fact := range []struct {
		key, value string
		err        error
	}{
		{"HostName", name, nameErr}, {"OS", runtime.GOOS, nil}, {"OSVersion", version, platformErr},
		{"OSPlatform", platform, platformErr}, {"OSFamily", family, platformErr}, {"Arch", arch, archErr},
	} {
		if fact.value != "" {
			list = append(list, fact.key+":"+fact.value)
			continue
		}
		if fact.err == nil {
			fact.err = errors.New("the system does not tell")
		}
		missing = errors.Join(missing, fmt.Errorf("%s: %w", fact.key, fact.err))
	}
	return list, missing
}
