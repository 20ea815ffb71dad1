package vmx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// logFile is VMware's log of a virtual machine, begun new at each start.
	logFile = "vmware.log"
	// maxLog bounds what is read of it, at its end: what matters is what came last.
	maxLog = 1 << 20
)

// guestLog is what a vmware.log tells of the guest.
type guestLog struct {
	gone   string // the guest is gone though its machine may still be there: how
	cause  string // who ended the machine, where it was not the guest
	exited bool   // the machine came to its end in order
	resets int    // how often the guest reset itself
}

// readLog reads what there is of a machine's log. Where there is none nothing
// is told.
func readLog(folder string) (guestLog, error) {
	f, err := os.Open(filepath.Join(folder, logFile))
	if errors.Is(err, fs.ErrNotExist) {
		return guestLog{}, nil
	}
	if err != nil {
		return guestLog{}, err
	}
	defer func() { _ = f.Close() }() // read only
	if info, err := f.Stat(); err == nil && info.Size() > maxLog {
		if _, err := f.Seek(-maxLog, io.SeekEnd); err != nil {
			return guestLog{}, err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLog))
	return parseLog(string(text)), err
}

// parseLog reads lines in their order: what a later one says counts. The words
// are VMware's own; those of a processor's hard reset stand in every log of a
// start and so are no reset by the guest.
func parseLog(text string) guestLog {
	var l guestLog
	for line := range strings.Lines(text) {
		switch has := func(part string) bool { return strings.Contains(line, part) }; {
		case has("PIIX4: PM Soft Off"):
			l.gone = "the guest shut itself down"
		case has("CPU has been disabled by the guest operating system"), has("msg.monitorEvent.halt"), has("msg.monitorevent.halt"):
			l.gone = "the guest halted its processors"
		case has("virtual CPU to enter the shutdown state"), has("tripleFault"), has("triplefault"):
			l.gone = "the guest crashed: a processor went into the shutdown state"
		case has("guest has requested that the virtual machine be hard reset"), has("CPU reset: soft"):
			l.gone = ""
			l.resets++
		case has("CPU reset: hard"):
			l.gone = ""
		case has("sending 'OS_Halt'"):
			l.cause = "somebody shut the virtual machine down"
		case has("MKS local poweroff"):
			l.cause = "somebody turned the virtual machine off"
		case has("VMX exit"):
			l.exited = true
		}
	}
	return l
}

// ending says how a machine that does not run any more came to its end.
func (l guestLog) ending() string {
	switch {
	case l.gone != "":
		return l.gone
	case l.cause != "":
		return l.cause
	case l.exited:
		return "the virtual machine was turned off"
	}
	return "the virtual machine's process was killed or crashed"
}
