package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// completeTimeout is how long the user's shell may hang at a TAB.
const completeTimeout = 2 * time.Second

// completion is what cobra calls for a TAB.
type completion = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// complete asks the node for the words that fit. It never asks the user for a password, and says nothing of failures:
// the command itself will.
func (s *shell) complete(words func(context.Context, client.ClientWithResponsesInterface) ([]cobra.Completion, error)) completion {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		quiet := *s
		quiet.ReadSecret = nil
		ctx, cancel := context.WithTimeout(contextOf(cmd), completeTimeout)
		defer cancel()
		api, err := quiet.api(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := words(ctx, api)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeLabels completes the names of labels.
func (s *shell) completeLabels(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.complete(func(ctx context.Context, api client.ClientWithResponsesInterface) ([]cobra.Completion, error) {
		labels, err := result(api.LabelListWithResponse(ctx, nil))
		if err != nil {
			return nil, err
		}
		var names []cobra.Completion
		for _, l := range newest(*labels) {
			names = append(names, printable(l.Name))
		}
		return names, nil
	})(cmd, args, word)
}

// completeLabelVersions completes labels with their versions.
func (s *shell) completeLabelVersions(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.complete(func(ctx context.Context, api client.ClientWithResponsesInterface) ([]cobra.Completion, error) {
		labels, err := result(api.LabelListWithResponse(ctx, nil))
		if err != nil {
			return nil, err
		}
		var names []cobra.Completion
		for _, l := range *labels {
			names = append(names, printable(labelName(l)))
		}
		return names, nil
	})(cmd, args, word)
}

// completeFlags completes the values of the flags that every command has which asks a node.
func (s *shell) completeFlags(c *cobra.Command) {
	completeFlag(c, "output", cobra.FixedCompletions([]cobra.Completion{outputTable, outputJSON, outputYAML, outputName}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(c, "context", s.completeContexts)
	for _, name := range []string{"address", "user"} {
		completeFlag(c, name, cobra.NoFileCompletions)
	}
}

// completeFlag completes the value of a flag, if the command has that.
func completeFlag(c *cobra.Command, name string, words completion) {
	if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
		_ = c.RegisterFlagCompletionFunc(name, words) // of two for one flag the first stays
	}
}

// completeApp completes the UID of an Application as the first argument.
func (s *shell) completeApp(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.completeApps(cmd, args, word)
}

// completeLabelFlag completes the label that a flag names, whatever the arguments are.
func (s *shell) completeLabelFlag(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.completeLabels(cmd, nil, word)
}

// completeApps completes the UIDs of the newest Applications that are not over, with what they are.
func (s *shell) completeApps(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.complete(func(ctx context.Context, api client.ClientWithResponsesInterface) ([]cobra.Completion, error) {
		rows, err := findActive(ctx, api, &listFlags{})
		if err != nil {
			return nil, err
		}
		return appWords(newestOf(rows, defaultLimit)), nil
	})(cmd, args, word)
}

func appWords(rows []appRow) []cobra.Completion {
	var words []cobra.Completion
	for _, r := range rows {
		words = append(words, cobra.CompletionWithDesc(r.UID.String(), string(r.State.Status)+" "+printable(r.Label)))
	}
	return words
}

// completeUsers completes names of users.
func (s *shell) completeUsers(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.complete(func(ctx context.Context, api client.ClientWithResponsesInterface) ([]cobra.Completion, error) {
		users, err := result(api.UserListWithResponse(ctx, &apiv1.UserListParams{}))
		if err != nil {
			return nil, err
		}
		var names []cobra.Completion
		for _, u := range *users {
			names = append(names, printable(u.Name))
		}
		return names, nil
	})(cmd, args, word)
}

// completeContexts completes names of contexts.
func (s *shell) completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := s.loadContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, f := range all.Farms {
		names = append(names, f.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
