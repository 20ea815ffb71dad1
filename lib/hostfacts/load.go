package hostfacts

import (
	"context"
	"runtime"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
)

// Load is how busy the machine is, in percent of what it has. What can not be found out is 0.
type Load struct {
	CPU    uint8 // processes that run or wait to, average of a minute, per core; 100 if there are more than cores
	Memory uint8
	Disk   uint8 // of the file system that a folder is on
}

// Measure looks at the machine and at the file system of the folder.
func Measure(ctx context.Context, folder string) Load {
	var l Load
	if avg, err := load.AvgWithContext(ctx); err == nil {
		l.CPU = percent(avg.Load1 / float64(runtime.NumCPU()) * 100)
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		l.Memory = percent(m.UsedPercent)
	}
	if d, err := disk.UsageWithContext(ctx, folder); err == nil {
		l.Disk = percent(d.UsedPercent)
	}
	return l
}

// percent is a figure within its bounds; a NaN is 0.
func percent(x float64) uint8 {
	if !(x > 0) { // a NaN too
		return 0
	}
	return uint8(min(x, 100) + 0.5)
}
