package main

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
)

// flushTimeout is how long the end of the process waits for a reader of its output that has stopped reading.
const flushTimeout = 2 * time.Second

// output is where a node writes what it has to tell.
type output struct {
	log    *slog.Logger
	access *logging.Console // of the access log
	closes []func()         // the last one first
}

// openOutput begins to write: to standard output, which supervisors read in any case (contract 4), and to the log file,
// if the config names one. There the access log goes, which is most of it. Without a config, or after an error,
// everything goes to standard output.
func openOutput(stdout io.Writer, cfg *config.Config, look logging.Options) (*output, error) {
	o := &output{}
	console := logging.NewConsole(stdout)
	o.access = console
	file, err := o.openFile(cfg)
	if file != nil {
		look.Copy = logging.NewConsole(file)
		o.access = look.Copy
	}
	o.log = slog.New(logging.NewHandler(console, look))
	o.run(console)
	if file != nil {
		o.run(look.Copy)
	}
	return o, err
}

// openFile opens the log file. Its trouble is told on standard output, and in the file as soon as that works again.
func (o *output) openFile(cfg *config.Config) (*logging.File, error) {
	if cfg == nil || cfg.LogFile == "" {
		return nil, nil
	}
	file, err := logging.OpenFile(logging.FileOptions{
		Path: cfg.LogFile, Size: int64(cfg.LogFileSize), Keep: int(cfg.LogFileKeep), //nolint:gosec // checked to fit
		Trouble: func(err error, lost int) {
			if err != nil {
				o.log.Error("log file can not be written as it should; lines may be lost until this is mended", "error", err)
				return
			}
			o.log.Warn("log file is written again", "lost_writes", lost)
		},
	})
	if err != nil {
		return nil, err
	}
	o.closes = append(o.closes, func() { _ = file.Close() }, reopenOnHangup(file))
	return file, nil
}

func (o *output) run(c *logging.Console) {
	stop := c.RunDetached()
	o.closes = append(o.closes, func() { stop(flushTimeout) })
}

// close writes what is left.
func (o *output) close() {
	for i := len(o.closes) - 1; i >= 0; i-- {
		o.closes[i]()
	}
}

// reopenOnHangup opens the log file anew at SIGHUP, as those expect who rotate it by themselves, and returns what ends
// that.
func reopenOnHangup(file *logging.File) (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range hangups {
			file.Reopen()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	}
}
