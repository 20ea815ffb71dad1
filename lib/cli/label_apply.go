package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/labelfile"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// applied is what became of one label.
type applied struct {
	Label  string `json:"label"`
	Result string `json:"result"`
	Source string `json:"source"`
}

// What may become of a label.
const (
	resultCreated   = "created"
	resultUnchanged = "unchanged"
	resultWould     = "would be created"
	resultGood      = "good"
	resultWarned    = "good, with warnings"
)

// labelApply creates what is new or changed in files.
func labelApply(s *shell) *cobra.Command {
	var files []string
	var dry, deep bool
	c := &cobra.Command{
		Use: "apply -f FILE|FOLDER...", Short: "Create a new version of each label that changed in files (admin)", Args: cobra.NoArgs,
		Long: `Create a new version of each label that changed in files.

A file holds labels in YAML or JSON, several as documents or as a list; "-" is stdin. A label without a version is
compared with the newest one of its name, and gets the next version if anything in its definitions or metadata differs.
A label with a version is created if there is no such version. Nothing is created unless every label is good.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usagef("name files or folders by -f")
			}
			api, steps, err := s.planFiles(cmd.Context(), files, deep)
			if err != nil {
				return err
			}
			return s.apply(cmd.Context(), api, steps, dry)
		},
	}
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "file or folder with labels, may be given several times")
	c.Flags().BoolVarP(&deep, "recursive", "R", false, "go into the folders of a folder too")
	c.Flags().BoolVar(&dry, "dry-run", false, "check everything and create nothing")
	return c
}

// apply checks all that is to be created before it creates the first.
func (s *shell) apply(ctx context.Context, api client.ClientWithResponsesInterface, steps []labelfile.Step, dry bool) error {
	var create []labelfile.Step
	for _, step := range steps {
		if step.Create {
			create = append(create, step)
		}
	}
	warnings, err := s.checkLabels(ctx, api, create)
	if err != nil {
		return err
	}
	var done []applied
	for _, step := range steps {
		outcome := resultUnchanged
		if step.Create {
			s.warn(step, warnings[stepName(step)])
			outcome = resultWould
		}
		if step.Create && !dry {
			if err = createLabel(ctx, api, step); err != nil {
				break
			}
			outcome = resultCreated
		}
		done = append(done, applied{stepName(step), outcome, step.Label.Source})
	}
	if shown := s.print(appliedView(done)); err == nil {
		err = shown
	}
	return err
}

// createLabel creates one label.
func createLabel(ctx context.Context, api client.ClientWithResponsesInterface, step labelfile.Step) error {
	request, err := step.Label.Request(step.Version)
	if err != nil {
		return err
	}
	_, err = result(api.LabelCreateWithResponse(ctx, request))
	return err
}

func appliedView(done []applied) view {
	v := view{Data: done, Header: []string{"LABEL", "RESULT", "SOURCE"}, Empty: "no labels"}
	for _, d := range done {
		v.Names = append(v.Names, d.Label)
		v.Rows = append(v.Rows, []string{d.Label, d.Result, d.Source})
	}
	return v
}

// labelCheck has a node check labels of files and creates nothing.
func labelCheck(s *shell) *cobra.Command {
	var deep bool
	c := &cobra.Command{
		Use: "check FILE|FOLDER...", Short: "Have the node and its drivers check labels in files (admin)", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, steps, err := s.planFiles(cmd.Context(), args, deep)
			if err != nil {
				return err
			}
			return s.check(cmd.Context(), api, steps)
		},
	}
	c.Flags().BoolVarP(&deep, "recursive", "R", false, "go into the folders of a folder too")
	return c
}

func (s *shell) check(ctx context.Context, api client.ClientWithResponsesInterface, steps []labelfile.Step) error {
	for i := range steps {
		if !steps[i].Create {
			steps[i].Version++ // what is there already is not what is asked
		}
	}
	warnings, err := s.checkLabels(ctx, api, steps)
	if err != nil {
		return err
	}
	var done []applied
	for _, step := range steps {
		found := warnings[stepName(step)]
		s.warn(step, found)
		outcome := resultGood
		if len(found) > 0 {
			outcome = resultWarned
		}
		done = append(done, applied{step.Label.Ref(), outcome, step.Label.Source})
	}
	return s.print(appliedView(done))
}
