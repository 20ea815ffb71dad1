package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Finding is one complaint about a config file.
type Finding struct {
	Line  int    // in the file; 0 if it has no place there
	Error bool   // the node would not start, or the driver's instance would be absent; else a warning
	Text  string // begins with the key and says what is allowed
}

// String renders the finding as compilers do, FILE:LINE first.
func (f Finding) String(file string) string {
	where, kind := file, "warning"
	if f.Line > 0 {
		where += ":" + strconv.Itoa(f.Line)
	}
	if f.Error {
		kind = "error"
	}
	return fmt.Sprintf("%s: %s: %s", where, kind, f.Text)
}

// CheckConfig reads a config file as a node does when it starts, and its drivers' parts as far as that makes nothing.
func CheckConfig(ctx context.Context, file string, factories []drivers.Factory, host config.Host) []Finding {
	cfg, warnings, err := config.Load(ctx, config.Flags{File: file}, host)
	var found []Finding
	for _, w := range warnings {
		found = append(found, finding(file, w, false))
	}
	if err != nil {
		return append(found, failures(file, err)...)
	}
	_, err = drivers.NewRegistry(drivers.Options{
		Factories: factories, Entries: entries(cfg), Directory: cfg.Directory, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return append(found, failures(file, err)...)
	}
	return append(found, checkDrivers(cfg, factories)...)
}

// checkDrivers lets each driver read its part.
func checkDrivers(cfg *config.Config, factories []drivers.Factory) []Finding {
	check := make(map[string]func(drivers.Config) ([]yamlconf.Problem, error))
	for _, f := range factories {
		check[f.Name] = f.Check
	}
	var found []Finding
	for i, e := range cfg.Drivers {
		if check[e.Driver()] == nil {
			continue
		}
		unknown, err := check[e.Driver()](drivers.Config{
			Instance: e.Name, Cfg: []byte(e.Cfg), Line: e.Line, Directory: cfg.Directory, Logger: slog.New(slog.DiscardHandler),
		})
		at := fmt.Sprintf("drivers[%d].cfg", i)
		for _, p := range unknown {
			found = append(found, inside(at, p, false))
		}
		for _, err := range flatten(err) {
			if p, ok := errors.AsType[yamlconf.Problem](err); ok {
				found = append(found, inside(at, p, true))
				continue
			}
			found = append(found, Finding{Line: e.Line, Error: true, Text: at + ": " + err.Error()})
		}
	}
	return found
}

// inside is a complaint about a driver's part, its key as seen from the whole file.
func inside(at string, p yamlconf.Problem, isError bool) Finding {
	if p.Key != "" {
		at += "." + p.Key
	}
	return Finding{Line: p.Line, Error: isError, Text: at + ": " + p.Text}
}

// failures are the complaints of a joined error.
func failures(file string, err error) []Finding {
	var found []Finding
	for _, e := range flatten(err) {
		found = append(found, finding(file, e.Error(), true))
	}
	return found
}

// flatten takes errors.Join apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) // only errors.Join itself is taken apart
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// finding reads a complaint that is text already: file and line stand before it, as lib/config puts them there.
func finding(file, text string, isError bool) Finding {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "config "+file+": "), "parse YAML: ")
	f := Finding{Error: isError, Text: text}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, rest, _ := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			f.Line, f.Text = line, rest
		}
	}
	return f
}
