package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// auditCommand is the noun of who did what.
func auditCommand(s *shell) *cobra.Command {
	return s.noun("audit", "See who did what on a node (admin)", auditList(s))
}

// auditFlags restrict what is listed.
type auditFlags struct {
	since, until, object string
	params               apiv1.AuditListParams
	result               string
	limit                int
	follow               bool
}

func auditList(s *shell) *cobra.Command {
	f := &auditFlags{}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		Short: "List who did what, the newest last",
		Example: `  aquarium-fish audit list --since 1h
  aquarium-fish audit list --action login --result refused
  aquarium-fish audit list --follow`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.parse(s.Now()); err != nil {
				return err
			}
			if err := s.checkOutput(); err != nil {
				return err
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			events, err := f.newest(cmd.Context(), api)
			if err != nil {
				return err
			}
			if f.follow {
				return s.followAudit(cmd.Context(), api, f, events)
			}
			return s.print(auditView(events))
		},
	}
	set := c.Flags()
	set.StringVar(&f.since, "since", "", "only from then on: how long ago, such as 90m or 7d, or a time such as "+time.RFC3339)
	set.StringVar(&f.until, "until", "", "only before then, written like --since")
	set.StringVar(&f.params.User, "by", "", "only what this user did")
	set.StringVar(&f.params.Action, "action", "", "only this action, such as label.create, or all of a noun, such as label")
	set.StringVar(&f.object, "object", "", "only what was done to the object with this UID")
	set.StringVar(&f.result, "result", "", "only what ended so: ok, refused, failed or limited")
	set.IntVar(&f.limit, "limit", 100, "the most events to list, the newest; 0 is all")
	set.BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until you interrupt")
	completeFlag(c, "result", cobra.FixedCompletions([]cobra.Completion{"ok", "refused", "failed", "limited"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(c, "by", s.completeUsers)
	return c
}

// parse reads the flags that are not plain text.
func (f *auditFlags) parse(now time.Time) (err error) {
	if f.params.Since, err = moment("--since", f.since, now); err != nil {
		return err
	}
	if f.params.Until, err = moment("--until", f.until, now); err != nil {
		return err
	}
	if f.object != "" {
		if f.params.Object, err = parseUID("an object", f.object); err != nil {
			return err
		}
	}
	switch f.result {
	case "", "ok", "refused", "failed", "limited":
		f.params.Result = apiv1.AuditListParamsResult(f.result)
	default:
		return usagef("--result %q: want ok, refused, failed or limited", f.result)
	}
	if f.limit < 0 {
		return usagef("--limit %d: want 0 for all, or how many", f.limit)
	}
	return nil
}

// moment reads a time, or how long ago it was.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := yamlconf.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("%s %q: want how long ago, such as 90m or 7d, or a time such as %s", flag, text, now.Format(time.RFC3339))
	}
	return t, nil
}

// auditPage is the most events that a node gives at once.
const auditPage = 1000

// newest returns the events that match, the oldest first.
func (f *auditFlags) newest(ctx context.Context, api client.ClientWithResponsesInterface) ([]apiv1.AuditEvent, error) {
	return pagesUntil(ctx, api, f.params, func(events []apiv1.AuditEvent) ([]apiv1.AuditEvent, bool) {
		if f.limit > 0 && len(events) >= f.limit {
			return events[:f.limit], true
		}
		return events, false
	})
}

// pagesUntil asks for pages, newest first, until enough says that no more is needed and what of them counts, and
// returns that the oldest first.
func pagesUntil(
	ctx context.Context, api client.ClientWithResponsesInterface, params apiv1.AuditListParams,
	enough func([]apiv1.AuditEvent) (keep []apiv1.AuditEvent, done bool),
) ([]apiv1.AuditEvent, error) {
	params.Limit = auditPage
	events := []apiv1.AuditEvent{}
	for done := false; !done; {
		page, err := result(api.AuditListWithResponse(ctx, &params))
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
		events, done = enough(events)
		params.Cursor = page.Next
		done = done || page.Next == ""
	}
	slices.Reverse(events)
	return events, nil
}

func auditView(events []apiv1.AuditEvent) view {
	v := view{
		Data: events, Header: []string{"TIME", "ACTION", "RESULT", "USER", "ADDRESS", "OBJECT", "DETAIL"}, Empty: "no events",
	}
	for _, e := range events {
		v.Names = append(v.Names, strconv.FormatInt(e.Seq, 10))
		v.Rows = append(v.Rows, auditRow(e))
	}
	return v
}

func auditRow(e apiv1.AuditEvent) []string {
	detail := e.Detail
	if e.Count > 1 {
		detail = strings.TrimSpace(fmt.Sprintf("%d times %s", e.Count, detail))
	}
	object := e.ObjectName
	switch {
	case object == "":
		object = e.ObjectUID
	case e.ObjectUID != "":
		object += " " + e.ObjectUID
	}
	return []string{e.Time.Local().Format(time.DateTime), e.Action, e.Result, e.User, e.Address, object, detail}
}

// followEvery is how often a node is asked for what is new.
const followEvery = time.Second

// followAudit shows the events, and each new one as it comes. A node that restarts is asked again.
func (s *shell) followAudit(ctx context.Context, api client.ClientWithResponsesInterface, f *auditFlags, events []apiv1.AuditEvent) error {
	last := int64(0)
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		for _, e := range events {
			if err := s.printEvent(e); err != nil {
				return err
			}
			last = e.Seq
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		var err error
		events, err = pagesUntil(ctx, api, f.params, func(events []apiv1.AuditEvent) ([]apiv1.AuditEvent, bool) {
			i := slices.IndexFunc(events, func(e apiv1.AuditEvent) bool { return e.Seq <= last })
			if i < 0 {
				return events, false
			}
			return events[:i], true
		})
		if err != nil && !passing(err) {
			return err
		}
	}
}

// printEvent shows one event: a line, or one object of JSON or a document of YAML.
func (s *shell) printEvent(e apiv1.AuditEvent) error {
	if s.output != outputTable && s.output != "" {
		v := auditView([]apiv1.AuditEvent{e})
		v.Data = e
		if s.output == outputYAML {
			if _, err := s.Stdout.Write([]byte("---\n")); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		}
		return s.print(v)
	}
	var b bytes.Buffer
	writeTable(&b, []string{}, [][]string{auditRow(e)})
	_, line, _ := bytes.Cut(b.Bytes(), []byte{'\n'}) // the header has no columns
	if _, err := s.Stdout.Write(line); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
