package labelfile

import (
	"errors"
	"fmt"
)

// Step is what to do about one label of a file.
type Step struct {
	Label   Label
	Version int // that it has, or is to get
	Create  bool
}

// Plan says for each label of the files whether a node that has the existing
// ones needs it. One without a version is compared with the newest and gets
// the next one if it differs; one with a version is created unless there is
// that version, which then has to be the same. The error names every label
// that can not be applied.
func Plan(wanted, existing []Label) ([]Step, error) {
	have := map[string]versions{}
	for _, l := range existing {
		have[l.Name] = append(have[l.Name], l)
	}
	var errs []error
	seen := map[string]string{}
	steps := make([]Step, 0, len(wanted))
	for _, l := range wanted {
		if other, twice := seen[key(l)]; twice {
			errs = append(errs, fmt.Errorf("%s: label %s is in %s too", l.Source, l.Ref(), other))
			continue
		}
		seen[key(l)] = l.Source
		step, err := have[l.Name].step(l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if step.Create {
			created := l
			created.Version = &step.Version
			have[l.Name] = append(have[l.Name], created)
		}
		steps = append(steps, step)
	}
	return steps, errors.Join(errs...)
}

// key tells labels of files apart: a name can hold a colon, but no NUL.
func key(l Label) string {
	if l.Version == nil {
		return l.Name
	}
	return fmt.Sprintf("%s\x00%d", l.Name, *l.Version)
}

// versions are the labels of one name.
type versions []Label

func (v versions) newest() (newest Label, ok bool) {
	for i, l := range v {
		if i == 0 || *l.Version > *newest.Version {
			newest = l
		}
	}
	return newest, len(v) > 0
}

func (v versions) step(l Label) (Step, error) {
	if l.Version != nil {
		for _, old := range v {
			if *old.Version == *l.Version {
				if Same(old, l) {
					return Step{Label: l, Version: *l.Version}, nil
				}
				return Step{}, fmt.Errorf("%s: there is another %s, and labels never change: take a higher version or leave it out", l.Source, l.Ref())
			}
		}
		return Step{Label: l, Version: *l.Version, Create: true}, nil
	}
	newest, ok := v.newest()
	switch {
	case !ok:
		return Step{Label: l, Version: 1, Create: true}, nil
	case Same(newest, l):
		return Step{Label: l, Version: *newest.Version}, nil
	}
	return Step{Label: l, Version: *newest.Version + 1, Create: true}, nil
}
