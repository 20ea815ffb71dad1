package drivers

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Guard calls a driver and turns a panic in it into an error: one broken
// environment must not take the node, and with it all others, along.
func Guard(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic in the driver", "panic", p, "stack", stack())
			err = fmt.Errorf("panic in the driver: %v", p)
		}
	}()
	return f()
}

// stack is the stack of the caller, cut so that it stays one log line.
func stack() string {
	const most = 8 << 10 // contract 4 allows 64 KiB a line, escapes included
	s := debug.Stack()
	return string(s[:min(len(s), most)])
}
