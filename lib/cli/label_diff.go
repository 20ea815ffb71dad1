package cli

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/labelfile"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// labelDiff shows what differs between labels.
func labelDiff(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "diff FILE|FOLDER | NAME VERSION VERSION", Args: cobra.RangeArgs(1, 3),
		Short: "Show what 'label apply' of a file or folder would change, or what differs between two versions",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return usagef("want a file, or a name and two versions; want: %s", cmd.UseLine())
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return s.diffFiles(cmd.Context(), api, args[0])
			}
			return s.diffVersions(cmd.Context(), api, args)
		},
	}
}

// diffFiles compares each label of a file or folder with the newest one of its name, up to the version that the file
// names.
func (s *shell) diffFiles(ctx context.Context, api client.ClientWithResponsesInterface, name string) error {
	files, err := s.labelFiles([]string{name}, false)
	if err != nil {
		return err
	}
	wanted, err := s.readLabels(files)
	if err != nil {
		return err
	}
	existing, err := nodeLabels(ctx, api, nil)
	if err != nil {
		return err
	}
	existing = exported(existing, true)
	same := true
	for _, l := range wanted {
		old, oldName := labelfile.Label{}, "nothing"
		for _, e := range existing {
			if e.Name == l.Name && (l.Version == nil || *e.Version <= *l.Version) {
				old, oldName = e, e.Ref()
			}
		}
		differs, err := s.diff(oldName, old, l.Source, l)
		if err != nil {
			return err
		}
		same = same && !differs
	}
	if same {
		s.note("no differences")
	}
	return nil
}

// diffVersions compares two versions that the node has.
func (s *shell) diffVersions(ctx context.Context, api client.ClientWithResponsesInterface, args []string) error {
	filter := "name=" + quoted(args[0])
	existing, err := nodeLabels(ctx, api, &apiv1.LabelListParams{Filter: &filter})
	if err != nil {
		return err
	}
	var sides [2]labelfile.Label
	for i, text := range args[1:] {
		version, err := strconv.Atoi(text)
		if err != nil {
			return usagef("%q is no version: want a whole number", text)
		}
		found := false
		for _, l := range existing {
			if *l.Version == version {
				sides[i], found = l, true
			}
		}
		if !found {
			return notFoundf("there is no label %s:%d: 'aquarium-fish label list --all' shows those there are", args[0], version)
		}
	}
	differs, err := s.diff(sides[0].Ref(), sides[0], sides[1].Ref(), sides[1])
	if err == nil && !differs {
		s.note("no differences")
	}
	return err
}

// diff prints a unified diff of two labels apart from their versions; the zero
// label is nothing.
func (s *shell) diff(oldName string, before labelfile.Label, newName string, after labelfile.Label) (differs bool, err error) {
	var texts [2]bytes.Buffer
	for i, l := range []labelfile.Label{before, after} {
		if l.Version = nil; l.Name == "" {
			continue
		}
		if err := writeYAML(&texts[i], l); err != nil {
			return false, err
		}
	}
	if bytes.Equal(texts[0].Bytes(), texts[1].Bytes()) {
		return false, nil
	}
	text := diff.Diff(oldName, texts[0].Bytes(), newName, texts[1].Bytes())
	if _, err := s.Stdout.Write(text); err != nil {
		return true, fmt.Errorf("write output: %w", err)
	}
	return true, nil
}
