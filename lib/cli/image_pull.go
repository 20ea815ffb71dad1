package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// pullFlags are those of `image pull`.
type pullFlags struct {
	imageFlags
	wait    bool
	timeout time.Duration
}

func imagePull(s *shell) *cobra.Command {
	f := &pullFlags{}
	c := &cobra.Command{
		Use: "pull LABEL[:VERSION]", Args: cobra.ExactArgs(1), ValidArgsFunction: s.completeLabels,
		Short: "Fetch the images of a label, its newest version unless one is named, before they are needed (admin)",
		Long: `Fetch what the environments of a label are made from, before an application waits for it. Asked twice it is fetched once.

It shows the progress until everything is there. The node does the work: it goes on when the command ends, by --wait=false or
an interrupt, and 'aquarium-fish image list' shows how far it is. With --all, members that can not use the label, such as those
without its driver, are told of and left out. Exit code 4: not in time, and the pull goes on. 5: it failed.`,
		Example: "  aquarium-fish image pull ubuntu2004 --all && aquarium-fish app run ubuntu2004",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			api, err := s.api(ctx)
			if err != nil {
				return err
			}
			label, err := findLabel(ctx, api, args[0])
			if err != nil {
				return err
			}
			if f.all {
				return s.pullEverywhere(ctx, label, f)
			}
			m, err := f.member(ctx, s, cmd)
			if err != nil {
				return err
			}
			pulls, err := m.pull(ctx, label.UID)
			if err != nil {
				return err
			}
			return s.finishPulls(ctx, []memberPulls{{m, *pulls}}, f)
		},
	}
	f.register(s, c, true)
	c.Flags().BoolVarP(&f.wait, "wait", "w", true, "show the progress until it is done")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "how long to wait; 0 for as long as it takes")
	return c
}

// memberPulls are pulls of one node.
type memberPulls struct {
	member
	pulls []apiv1.ImagePull
}

// pullEverywhere pulls to every member that can use it, all at the same time. One
// that is none for the label has not failed: clusters are mixed.
func (s *shell) pullEverywhere(ctx context.Context, label apiv1.Label, f *pullFlags) error {
	var begun []memberPulls
	failed := s.each(ctx, func(m member) error {
		pulls, err := m.pull(ctx, label.UID)
		switch {
		case isStatus(err, http.StatusConflict):
			s.note("%s is left out, it can not use the label: %v", printable(m.ref), err)
			return nil
		case err == nil:
			begun = append(begun, memberPulls{m, *pulls})
		}
		return err
	})
	if len(begun) == 0 {
		return cmp.Or(failed, errNobodysLabel)
	}
	return errors.Join(s.finishPulls(ctx, begun, f), failed)
}

var errNobodysLabel = errors.New("no member can use the label: see above")

// finishPulls waits for the pulls where told to, and shows them.
func (s *shell) finishPulls(ctx context.Context, begun []memberPulls, f *pullFlags) error {
	var waited error
	if f.wait {
		bounded, cancel := withTimeout(ctx, f.timeout)
		defer cancel()
		for i := range begun { // one after the other: they go on meanwhile
			err := s.waitPulls(bounded, &begun[i])
			if err == nil {
				continue
			}
			waited = errors.Join(waited, begun[i].named(unfinished(ctx, err, "images are still pulled", "it goes on: 'aquarium-fish image list' shows it")))
			if bounded.Err() != nil {
				break
			}
		}
	}
	if err := s.print(s.pullsView(begun, f.all)); err != nil {
		return err
	}
	if waited != nil || !f.wait {
		return waited
	}
	for _, b := range begun {
		for _, p := range b.pulls {
			if p.State == pullFailed {
				return &Failure{CodeEnded, fmt.Errorf("images of %s were not pulled to %s: %s", printable(pullLabel(p)), b.place(p), printable(p.Error))}
			}
		}
	}
	return nil
}

// place is where a pull goes to, for a message.
func (b memberPulls) place(p apiv1.ImagePull) string {
	return strings.TrimSpace(printable(b.ref) + " " + printable(p.Instance))
}

// named says which node an error is of, where it was named.
func (b memberPulls) named(err error) error {
	if b.ref == "" {
		return err
	}
	return fmt.Errorf("%s: %w", printable(b.ref), err)
}

var errPullForgotten = errors.New("the node does not know of the pull any more, it may have restarted; " +
	"what was downloaded stays: give the same command again")

// waitPulls asks for the pulls until none runs, and tells how the downloads go
// on.
func (s *shell) waitPulls(ctx context.Context, b *memberPulls) error {
	told := map[string]string{}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := b.images(ctx)
		if err != nil {
			return false, err
		}
		for _, i := range now.Images {
			if text := progressText(*b, i); text != "" && text != told[i.Instance+" "+i.ID] {
				told[i.Instance+" "+i.ID] = text
				s.note("%s", text)
			}
		}
		done := true
		for i, p := range b.pulls {
			next, ok := samePull(now.Pulls, p)
			if !ok {
				return false, &Failure{CodeEnded, errPullForgotten}
			}
			b.pulls[i] = next
			done = done && next.State != pullRuns
		}
		return done, nil
	})
}

// samePull is where a pull stands now; one that was asked for again counts.
func samePull(list []apiv1.ImagePull, p apiv1.ImagePull) (apiv1.ImagePull, bool) {
	for _, now := range list {
		if now.Instance == p.Instance && now.LabelUID == p.LabelUID && now.DefinitionIndex == p.DefinitionIndex {
			return now, true
		}
	}
	return p, false
}

// progressStep is by how many percent a download has to go on to be told of
// again: a log should hold it.
const progressStep = 10

// progressText tells how far an image is that comes to an instance of the
// pulls; "" of others.
func progressText(b memberPulls, i apiv1.NodeImage) string {
	ours := false
	for _, p := range b.pulls {
		ours = ours || p.Instance == i.Instance
	}
	what := b.place(apiv1.ImagePull{Instance: i.Instance}) + ": " + printable(strings.TrimSpace(i.Name+" "+i.Version))
	switch {
	case !ours:
		return ""
	case i.State == imageUnpacking:
		return what + ": unpacking"
	case i.State != imageDownloading:
		return ""
	}
	share, known := imageShare(i)
	if !known {
		return what + ": downloading"
	}
	return fmt.Sprintf("%s: downloading %d%% of %s", what, share/progressStep*progressStep, sizeText(i.Total))
}

// pullsOf are the pulls of one member, among those of all.
type pullsOf struct {
	Node  string            `json:"node"`
	Pulls []apiv1.ImagePull `json:"pulls"`
}

// pullsView shows pulls of one node, or of each of all.
func (s *shell) pullsView(begun []memberPulls, all bool) view {
	v := view{Header: []string{"INSTANCE", "LABEL", "DEFINITION", "STATE", "TOOK", "ERROR"}}
	var data []pullsOf
	for _, b := range begun {
		data = append(data, pullsOf{b.ref, b.pulls})
		for _, p := range b.pulls {
			took := ""
			if p.EndedAt != nil {
				took = age(*p.EndedAt, p.StartedAt)
			}
			v.Names = append(v.Names, strings.TrimSpace(b.ref+" "+p.Instance))
			row := []string{p.Instance, pullLabel(p), fmt.Sprint(p.DefinitionIndex), p.State, took, p.Error}
			if all {
				row = append([]string{b.ref}, row...)
			}
			v.Rows = append(v.Rows, row)
		}
	}
	if all {
		v.Data, v.Header = data, append([]string{"NODE"}, v.Header...)
	} else {
		v.Data = begun[0].pulls
	}
	return v
}
