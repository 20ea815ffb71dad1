package cli

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/labelfile"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// labelExport writes labels as files that label apply takes.
func labelExport(s *shell) *cobra.Command {
	var all bool
	var folder string
	c := &cobra.Command{
		Use: "export [NAME]", Short: "Write labels as YAML that 'label apply' takes (admin)", Args: cobra.MaximumNArgs(1),
		Long: `Write labels as YAML that 'label apply' takes, to stdout or as one file for each name into a folder. Applying what was
exported changes nothing. The files are for their owner alone: labels may hold passwords.`,
		ValidArgsFunction: s.completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			params := &apiv1.LabelListParams{}
			if len(args) > 0 {
				filter := "name=" + quoted(args[0])
				params.Filter = &filter
			}
			labels, err := nodeLabels(cmd.Context(), api, params)
			if err != nil {
				return err
			}
			if len(args) > 0 && len(labels) == 0 {
				return notFoundf("there is no label %q: 'aquarium-fish label list' shows those there are", args[0])
			}
			return s.export(exported(labels, all), folder)
		},
	}
	c.Flags().BoolVar(&all, "all-versions", false, "every version, not only the newest")
	c.Flags().StringVarP(&folder, "directory", "d", "", "write a file for each name into this folder, which is made")
	return c
}

// exported sorts the labels by name and version and leaves, unless all are
// wanted, the newest of each name.
func exported(labels []labelfile.Label, all bool) []labelfile.Label {
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b labelfile.Label) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return *a.Version - *b.Version
	})
	if all {
		return labels
	}
	var newest []labelfile.Label
	for i, l := range labels {
		if i == len(labels)-1 || labels[i+1].Name != l.Name {
			newest = append(newest, l)
		}
	}
	return newest
}

// export writes the labels, those of one name next to each other.
func (s *shell) export(labels []labelfile.Label, folder string) error {
	texts := map[string]*bytes.Buffer{} // by file
	var names []string
	for _, l := range labels {
		names = append(names, l.Name)
	}
	files := labelfile.FileNames(names)
	if folder == "" { // all of them into one
		for name := range files {
			files[name] = ""
		}
	}
	for _, l := range labels {
		b := texts[files[l.Name]]
		if b == nil {
			b = &bytes.Buffer{}
			texts[files[l.Name]] = b
		} else {
			b.WriteString("---\n")
		}
		if err := writeYAML(b, l); err != nil {
			return err
		}
	}
	if folder == "" {
		if len(labels) == 0 {
			s.note("no labels")
			return nil
		}
		_, err := s.Stdout.Write(texts[""].Bytes())
		return err
	}
	for file, text := range texts {
		if err := durable.WriteFile(filepath.Join(s.path(folder), file), text.Bytes(), modeOwn); err != nil {
			return fmt.Errorf("write label: %w", err)
		}
	}
	s.note("%s written into %s in %s", count(len(labels), "label"), count(len(texts), "file"), printable(folder))
	return nil
}
