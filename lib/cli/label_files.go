package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/labelfile"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// readLabels reads all files, or tells of every one that is wrong. A name of
// "-" is stdin.
func (s *shell) readLabels(files []string) ([]labelfile.Label, error) {
	var labels []labelfile.Label
	var errs []error
	for _, file := range files {
		text, err := s.readFile(file)
		if err == nil {
			var more []labelfile.Label
			more, err = labelfile.Parse(file, text)
			labels = append(labels, more...)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &Failure{CodeUsage, err}
	}
	return labels, nil
}

// maxLabels bounds a file of labels: an export of many thousands fits.
const maxLabels = 64 << 20

func (s *shell) readFile(file string) (text []byte, err error) {
	in := s.Stdin
	if file != "-" {
		f, err := os.Open(s.path(file))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	text, err = io.ReadAll(io.LimitReader(in, maxLabels+1))
	if err == nil && len(text) > maxLabels {
		err = fmt.Errorf("%s is larger than %d MB", file, maxLabels>>20)
	}
	return text, err
}

// labelFiles lists what the arguments name: files as they are, of a folder the
// files of labels in it, sorted, and below it if deep.
func (s *shell) labelFiles(names []string, deep bool) ([]string, error) {
	var files []string
	for _, name := range names {
		if info, err := os.Stat(s.path(name)); name == "-" || err != nil || !info.IsDir() {
			files = append(files, name) // what can not be read is told when it is read
			continue
		}
		found, err := s.folderFiles(name, deep)
		if err != nil {
			return nil, usagef("read folder: %w", err)
		}
		if len(found) == 0 {
			return nil, usagef("there is no .yaml, .yml or .json file in %s", name)
		}
		files = append(files, found...)
	}
	return files, nil
}

func (s *shell) folderFiles(folder string, deep bool) (files []string, err error) {
	root := s.path(folder)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (!deep || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.IsDir(), !slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))):
			return nil
		}
		below, err := filepath.Rel(root, path)
		files = append(files, filepath.Join(folder, below))
		return err
	})
	return files, err
}

// nodeLabels asks for the labels that the node has.
func nodeLabels(ctx context.Context, api client.ClientWithResponsesInterface, params *apiv1.LabelListParams) ([]labelfile.Label, error) {
	list, err := result(api.LabelListWithResponse(ctx, params))
	if err != nil {
		return nil, err
	}
	labels := make([]labelfile.Label, len(*list))
	for i, l := range *list {
		labels[i] = labelfile.FromNode(l)
	}
	return labels, nil
}

// planFiles plans the labels of files and folders with the node that is asked.
func (s *shell) planFiles(ctx context.Context, paths []string, deep bool) (client.ClientWithResponsesInterface, []labelfile.Step, error) {
	names, err := s.labelFiles(paths, deep)
	if err != nil {
		return nil, nil, err
	}
	api, err := s.api(ctx)
	if err != nil {
		return nil, nil, err
	}
	steps, err := s.planLabels(ctx, api, names)
	return api, steps, err
}

// planLabels reads the files and compares them with the node. Nothing is
// written before every file is found good.
func (s *shell) planLabels(ctx context.Context, api client.ClientWithResponsesInterface, files []string) ([]labelfile.Step, error) {
	wanted, err := s.readLabels(files)
	if err != nil {
		return nil, err
	}
	existing, err := nodeLabels(ctx, api, nil)
	if err != nil {
		return nil, err
	}
	steps, err := labelfile.Plan(wanted, existing)
	if err != nil {
		return nil, &Failure{CodeUsage, err}
	}
	return steps, nil
}

// checkLabels has the node check the steps and prints its warnings. The error
// names every label that the node would refuse.
func (s *shell) checkLabels(ctx context.Context, api client.ClientWithResponsesInterface, steps []labelfile.Step) (warnings map[string][]string, err error) {
	warnings = map[string][]string{}
	var errs []error
	for _, step := range steps {
		request, err := step.Label.Request(step.Version)
		if err != nil {
			return nil, err
		}
		checked, err := result(api.LabelCheckWithResponse(ctx, request))
		switch {
		case isStatus(err, 400):
			errs = append(errs, fmt.Errorf("%s: %w", step.Label.Source, err))
		case err != nil:
			return nil, err // not the label's fault
		default:
			warnings[stepName(step)] = checked.Warnings
		}
	}
	return warnings, errors.Join(errs...)
}

func (s *shell) warn(step labelfile.Step, warnings []string) {
	for _, w := range warnings {
		s.note("warning: %s (%s): %s", printable(stepName(step)), printable(step.Label.Source), printable(w))
	}
}

// stepName is the label's name and the version that it has or gets.
func stepName(step labelfile.Step) string { return fmt.Sprintf("%s:%d", step.Label.Name, step.Version) }
