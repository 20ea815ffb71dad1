package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// defaultLimit is how many of the newest Applications are listed: a node keeps a week of them.
const defaultLimit = 50

// listFlags are those of `app list`.
type listFlags struct {
	active bool
	owner  string
	label  string
	limit  int
}

// appList lists Applications with their states.
func appList(s *shell) *cobra.Command {
	f := &listFlags{}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List applications with their states: your own, or all for the admin", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.listApps(cmd.Context(), f) },
	}
	c.Flags().BoolVarP(&f.active, "active", "a", false, "only those that wait for an environment, have one, or give it back")
	c.Flags().StringVar(&f.owner, "owner", "", "only those of this user")
	c.Flags().StringVar(&f.label, "label", "", "only those of this label: NAME:VERSION, NAME for all its versions, or UID")
	c.Flags().IntVar(&f.limit, "limit", defaultLimit, "how many of the newest; 0 for all")
	completeFlag(c, "label", s.completeLabelFlag)
	completeFlag(c, "owner", s.completeUsers)
	return c
}

// appRow is an Application with its state, as lists show it.
type appRow struct {
	apiv1.Application
	Label string                 `json:"label"`
	State apiv1.ApplicationState `json:"state"`
}

func (s *shell) listApps(ctx context.Context, f *listFlags) error {
	if f.limit < 0 {
		return usagef("bad --limit %d: want how many to list, 0 for all", f.limit)
	}
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	rows, total, err := f.find(ctx, api)
	if err != nil {
		return err
	}
	if len(rows) < total {
		s.note("the newest %d of %d; --limit 0 lists all", len(rows), total)
	}
	return s.print(s.appsView(rows))
}

// find gets what the flags select, oldest first, and how many there are without the limit.
func (f *listFlags) find(ctx context.Context, api client.ClientWithResponsesInterface) (rows []appRow, total int, err error) {
	if f.active {
		rows, err = findActive(ctx, api, f)
		return newestOf(rows, f.limit), len(rows), err
	}
	apps, err := findApps(ctx, api, f)
	if err != nil {
		return nil, 0, err
	}
	if rows, err = withStates(ctx, api, newestOf(apps, f.limit)); err != nil {
		return nil, 0, err
	}
	return rows, len(apps), nameLabels(ctx, api, rows)
}

// newestOf keeps the last ones of a list; a limit of 0 keeps all.
func newestOf[T any](list []T, limit int) []T {
	if limit == 0 || len(list) <= limit {
		return list
	}
	return list[len(list)-limit:]
}

// findActive lists what is not over of the Applications that the flags select, with their states, in one request, or two
// for a label.
func findActive(ctx context.Context, api client.ClientWithResponsesInterface, f *listFlags) ([]appRow, error) {
	var labels []string
	if f.label != "" {
		var err error
		if labels, err = labelUIDs(ctx, api, f.label); err != nil {
			return nil, err
		}
	}
	list, err := result(api.ApplicationActiveListWithResponse(ctx, nil))
	if err != nil {
		return nil, err
	}
	rows := []appRow{}
	for _, a := range *list {
		ofOwner := f.owner == "" || a.Application.OwnerName == f.owner
		if ofOwner && (labels == nil || slices.Contains(labels, quoted(a.Application.LabelUID.String()))) {
			rows = append(rows, activeRow(a))
		}
	}
	return rows, nil
}

// activeRow is an Application as the node tells of those that are not over; a label that was removed keeps its UID as its
// name.
func activeRow(a apiv1.ActiveApplication) appRow {
	label := a.Application.LabelUID.String()
	if a.LabelName != "" {
		label = labelName(apiv1.Label{Name: a.LabelName, Version: a.LabelVersion})
	}
	return appRow{Application: a.Application, Label: label, State: a.State}
}

// findApps lists the Applications that the flags select, oldest first.
func findApps(ctx context.Context, api client.ClientWithResponsesInterface, f *listFlags) ([]apiv1.Application, error) {
	var conditions []string
	if f.owner != "" {
		conditions = append(conditions, "owner_name="+quoted(f.owner))
	}
	if f.label != "" {
		uids, err := labelUIDs(ctx, api, f.label)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, "label_uid IN ("+strings.Join(uids, ",")+")")
	}
	params := &apiv1.ApplicationListParams{}
	if filter := strings.Join(conditions, " AND "); filter != "" {
		params.Filter = &filter
	}
	apps, err := result(api.ApplicationListWithResponse(ctx, params))
	if err != nil {
		return nil, err
	}
	return *apps, nil
}

// labelUIDs are the quoted UIDs of the labels that a reference means: all versions of a bare name.
func labelUIDs(ctx context.Context, api client.ClientWithResponsesInterface, ref string) ([]string, error) {
	if uid, err := parseUID("a label", ref); err == nil {
		return []string{quoted(uid.String())}, nil
	}
	filter := labelFilter(ref)
	labels, err := result(api.LabelListWithResponse(ctx, &apiv1.LabelListParams{Filter: &filter}))
	if err != nil {
		return nil, err
	}
	var uids []string
	for _, l := range *labels {
		uids = append(uids, quoted(l.UID.String()))
	}
	if len(uids) == 0 {
		return nil, notFoundf("there is no label %q: 'aquarium-fish label list' shows those there are", ref)
	}
	return uids, nil
}

// askAtOnce bounds how many requests are under way at a time: they share one connection.
const askAtOnce = 16

// withStates asks for the states of Applications. One that is gone meanwhile is left out.
func withStates(ctx context.Context, api client.ClientWithResponsesInterface, apps []apiv1.Application) ([]appRow, error) {
	rows := make([]appRow, len(apps))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(askAtOnce)
	for i, app := range apps {
		g.Go(func() error {
			state, err := result(api.ApplicationStateGetWithResponse(ctx, app.UID))
			if isStatus(err, 404) {
				return nil
			}
			if err == nil {
				rows[i] = appRow{Application: app, State: *state}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(r appRow) bool { return r.UID == apiv1.UID{} }), nil
}

// nameLabels fills in what the labels are called.
func nameLabels(ctx context.Context, api client.ClientWithResponsesInterface, rows []appRow) error {
	var uids []apiv1.UID
	for _, r := range rows {
		uids = append(uids, r.LabelUID)
	}
	names, err := labelNames(ctx, api, uids)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Label = names[rows[i].LabelUID]
	}
	return nil
}

// mostInFilter is how many UIDs one filter names; for more all labels are listed.
const mostInFilter = 50

// labelNames are the names of labels by UID; a label that was removed keeps its UID as its name.
func labelNames(ctx context.Context, api client.ClientWithResponsesInterface, uids []apiv1.UID) (map[apiv1.UID]string, error) {
	names := map[apiv1.UID]string{}
	var list []string
	for _, uid := range uids {
		if _, seen := names[uid]; !seen {
			names[uid] = uid.String()
			list = append(list, quoted(uid.String()))
		}
	}
	if len(list) == 0 {
		return names, nil
	}
	params := &apiv1.LabelListParams{}
	if len(list) <= mostInFilter {
		filter := fmt.Sprintf("uid IN (%s)", strings.Join(list, ","))
		params.Filter = &filter
	}
	labels, err := result(api.LabelListWithResponse(ctx, params))
	if err != nil {
		return nil, err
	}
	for _, l := range *labels {
		if _, wanted := names[l.UID]; wanted {
			names[l.UID] = labelName(l)
		}
	}
	return names, nil
}

// appsView shows Applications, the newest last, where a terminal ends.
func (s *shell) appsView(rows []appRow) view {
	v := view{Data: rows, Header: []string{"UID", "LABEL", "OWNER", "STATUS", "AGE", "DESCRIPTION"}, Empty: "no applications"}
	for _, r := range rows {
		v.Names = append(v.Names, r.UID.String())
		v.Rows = append(v.Rows, []string{r.UID.String(), r.Label, r.OwnerName, string(r.State.Status), age(s.Now(), r.CreatedAt), r.State.Description})
	}
	return v
}
