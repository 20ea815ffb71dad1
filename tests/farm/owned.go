package farm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// prefix begins the names of everything that a farm leaves on the machine when
// it is killed.
const prefix = "aqfarm"

// ownName is a name that tells which process made the thing, so that a later
// one sees whether it is left over: prefix, pid, when that process started,
// chance.
func ownName() string {
	return fmt.Sprintf("%s-%d-%s-%08x", prefix, os.Getpid(), started(os.Getpid()), rand.Uint32())
}

// leftOver reports whether a name is of a farm whose process is gone.
func leftOver(name string) bool {
	part := strings.Split(name, "-")
	if len(part) < 4 || part[0] != prefix {
		return false
	}
	pid, err := strconv.Atoi(part[1])
	return err == nil && started(pid) != part[2]
}

// started is when a process began, in ticks since the machine did: with the
// pid it names one process for good. "" is that there is none.
func started(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the command's name may hold anything
	fields := strings.Fields(rest)
	const startTime = 22 - 3 // proc(5) counts from 1; two are before the rest
	if len(fields) <= startTime {
		return ""
	}
	return fields[startTime]
}
