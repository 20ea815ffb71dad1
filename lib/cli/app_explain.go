package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// appExplain says why an Application is where it is.
func appExplain(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "explain UID", Aliases: []string{"why"}, Short: "Say why an application waits, or what it is doing", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "an application", args[0])
			if err != nil {
				return err
			}
			x, err := result(api.ApplicationExplainWithResponse(cmd.Context(), uid))
			if err != nil {
				return explainApp(err, args[0])
			}
			return s.print(s.explanationView(*x))
		},
	}
}

// explanationView shows the answer first, then what it is made of.
func (s *shell) explanationView(x apiv1.ApplicationExplanation) view {
	rows := [][]string{
		{"Why", x.Text},
		{"Status", fmt.Sprintf("%s for %s", x.Status, age(s.Now(), x.Since))},
		{"Said", x.Description},
	}
	if x.Until != nil {
		rows = append(rows, []string{"Until", fmt.Sprintf("%s at the latest", x.Until.Local().Format("2006-01-02 15:04:05"))})
	}
	if t := x.Trouble; t != nil {
		rows = append(rows, []string{"Failed", fmt.Sprintf("%s ago: %s: %s", age(s.Now(), t.At), t.What, t.Error)})
	}
	for _, n := range x.Nodes {
		for _, d := range n.Definitions {
			text := d.Text
			if d.HeadUID != nil {
				text += ": " + d.HeadUID.String()
			}
			rows = append(rows, []string{fmt.Sprintf("Node %s, definition %d", n.Name, d.DefinitionIndex), fmt.Sprintf("%s: %s", d.Driver, text)})
		}
	}
	return view{Data: x, Names: []string{string(x.Status)}, Rows: rows}
}
