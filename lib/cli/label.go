package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// labelCommand is the noun of Labels.
func labelCommand(s *shell) *cobra.Command {
	c := s.noun("label", "Look at labels, create them from files, remove them",
		labelList(s),
		labelGet(s),
		labelRemove(s),
		labelApply(s),
		labelCheck(s),
		labelExport(s),
		labelDiff(s),
	)
	c.Aliases = []string{"labels"}
	return c
}

func labelList(s *shell) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "list [NAME]", Aliases: []string{"ls"}, Short: "List labels, of each the newest version", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			params := &apiv1.LabelListParams{}
			if len(args) > 0 {
				filter := labelFilter(args[0])
				params.Filter = &filter
			}
			list, err := result(api.LabelListWithResponse(cmd.Context(), params))
			if err != nil {
				return err
			}
			labels := *list
			if !all {
				labels = newest(labels)
			}
			return s.print(s.labelsView(labels))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list every version")
	return c
}

// newest keeps of each name the highest version, in the order of their names.
func newest(labels []apiv1.Label) []apiv1.Label {
	sorted := slices.Clone(labels)
	slices.SortStableFunc(sorted, func(a, b apiv1.Label) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return b.Version - a.Version
	})
	return slices.CompactFunc(sorted, func(a, b apiv1.Label) bool { return a.Name == b.Name })
}

func (s *shell) labelsView(labels []apiv1.Label) view {
	v := view{Data: labels, Header: []string{"NAME", "VERSION", "DRIVER", "CPU", "RAM", "AGE", "UID"}, Empty: "no labels"}
	for _, l := range labels {
		v.Names = append(v.Names, labelName(l))
		v.Rows = append(v.Rows, []string{
			l.Name, strconv.Itoa(l.Version), ofEach(l, func(d apiv1.LabelDefinition) string { return d.Driver }),
			ofEach(l, func(d apiv1.LabelDefinition) string { return fmt.Sprint(d.Resources.CPU) }),
			ofEach(l, func(d apiv1.LabelDefinition) string { return fmt.Sprint(d.Resources.RAM) + "GB" }),
			age(s.Now(), l.CreatedAt), l.UID.String(),
		})
	}
	return v
}

// ofEach lists something of each definition, once where they agree.
func ofEach(l apiv1.Label, of func(apiv1.LabelDefinition) string) string {
	var texts []string
	for _, d := range l.Definitions {
		texts = append(texts, of(d))
	}
	return strings.Join(slices.Compact(texts), ",")
}

func labelGet(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "get LABEL[:VERSION]", Short: "Show a label, its newest version unless one is named", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			l, err := findLabel(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			return s.print(s.labelView(l))
		},
	}
}

// labelView shows one label: what each definition takes, in the order in which nodes try them.
func (s *shell) labelView(l apiv1.Label) view {
	rows := [][]string{
		{"Name", l.Name}, {"Version", strconv.Itoa(l.Version)}, {"UID", l.UID.String()}, {"Age", age(s.Now(), l.CreatedAt)},
		{"Metadata", string(l.Metadata)},
	}
	for i, d := range l.Definitions {
		r := d.Resources
		needs := fmt.Sprintf("%s: cpu %d, ram %dGB", d.Driver, r.CPU, r.RAM)
		if r.Lifetime != "" {
			needs += ", lifetime " + r.Lifetime
		}
		if len(r.NodeFilter) > 0 {
			needs += ", nodes " + strings.Join(r.NodeFilter, " and ")
		}
		rows = append(rows, []string{"Definition " + strconv.Itoa(i), needs}, []string{"  options", string(d.Options)})
	}
	return view{Data: l, Names: []string{labelName(l)}, Rows: rows}
}

func labelRemove(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME:VERSION|UID...", Aliases: []string{"remove", "delete"}, Args: cobra.MinimumNArgs(1),
		Short:             "Remove versions of labels (admin); what is allocated from them goes on",
		ValidArgsFunction: s.completeLabelVersions,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			var labels []apiv1.Label
			for _, ref := range args { // all are looked up before the first is removed
				l, err := findLabel(cmd.Context(), api, ref)
				if err != nil {
					return err
				}
				if _, err := uuid.Parse(ref); err != nil && ref != labelName(l) {
					return usagef("which version of %q? the newest is %s", ref, labelName(l))
				}
				labels = append(labels, l)
			}
			for _, l := range labels {
				if _, err := result(api.LabelDeleteWithResponse(cmd.Context(), l.UID)); err != nil {
					return err
				}
				s.note("label %s removed", printable(labelName(l)))
			}
			return nil
		},
	}
}
