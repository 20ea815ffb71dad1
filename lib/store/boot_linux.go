package store

import (
	"os"
	"strings"
)

// bootID names the present run of the system; "" if it can not be told.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
