package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// imageCommand is the noun of the images that driver instances keep.
func imageCommand(s *shell) *cobra.Command {
	c := s.noun("image", "Look at the images that nodes keep, fetch and remove them", imageList(s), imagePull(s), imageRemove(s))
	c.Aliases = []string{"images"}
	return c
}

// imageFlags say whose images a command is for.
type imageFlags struct {
	memberFlags
	node string
}

func (f *imageFlags) register(s *shell, c *cobra.Command, all bool) {
	c.Flags().StringVar(&f.node, "node", "", "name or UID of the node; by default the one that answers")
	completeFlag(c, "node", s.completeNodes)
	if all {
		f.memberFlags.register(c)
		c.MarkFlagsMutuallyExclusive("node", "all")
	}
}

// member is the node that the flags name, or the one that answers.
func (f *imageFlags) member(ctx context.Context, s *shell, cmd *cobra.Command) (member, error) {
	var named []string
	if cmd.Flags().Changed("node") {
		named = []string{f.node}
	}
	return s.one(ctx, named)
}

// images lists its images.
func (m member) images(ctx context.Context) (*apiv1.NodeImages, error) {
	if m.ref == "" {
		return result(m.api.NodeThisImageListWithResponse(ctx))
	}
	return result(m.api.MemberImageListWithResponse(ctx, m.ref))
}

// pull begins to fetch the images of a label.
func (m member) pull(ctx context.Context, label apiv1.UID) (*apiv1.ImagePullList, error) {
	request := apiv1.ImagePullRequest{LabelUID: label}
	if m.ref == "" {
		return result(m.api.NodeThisImagePullWithResponse(ctx, request))
	}
	return result(m.api.MemberImagePullWithResponse(ctx, m.ref, request))
}

// removeImage removes one of its images.
func (m member) removeImage(ctx context.Context, instance, id string) error {
	if m.ref == "" {
		_, err := result(m.api.NodeThisImageRemoveWithResponse(ctx, &apiv1.NodeThisImageRemoveParams{Instance: instance, ID: id}))
		return err
	}
	_, err := result(m.api.MemberImageRemoveWithResponse(ctx, m.ref, &apiv1.MemberImageRemoveParams{Instance: instance, ID: id}))
	return err
}

func imageList(s *shell) *cobra.Command {
	f := &imageFlags{}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		Short: "List the images that the driver instances of a node keep, and what is on its way (admin)",
		Long: `List the images that the driver instances of a node keep, and what is on its way. Instances that share a folder or an engine
each name the same images. Pulls that run or failed are told of on stderr.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.all {
				return s.allImages(cmd.Context())
			}
			m, err := f.member(cmd.Context(), s, cmd)
			if err != nil {
				return err
			}
			list, err := m.images(cmd.Context())
			if err != nil {
				return err
			}
			if err := s.print(s.imagesView(list.Images, list)); err != nil {
				return err
			}
			return s.tellImages("", *list)
		},
	}
	f.register(s, c, true)
	return c
}

// memberImages are the images of one member, among those of all.
type memberImages struct {
	Node string `json:"node"`
	apiv1.NodeImages
}

// allImages lists those of all members.
func (s *shell) allImages(ctx context.Context) error {
	all := s.imagesView(nil, nil)
	all.Header = append([]string{"NODE"}, all.Header...)
	data := []memberImages{}
	failed := s.each(ctx, func(m member) error {
		list, err := m.images(ctx)
		if err != nil {
			return err
		}
		data = append(data, memberImages{m.ref, *list})
		one := s.imagesView(list.Images, nil)
		for i, row := range one.Rows {
			all.Names = append(all.Names, m.ref+" "+one.Names[i])
			all.Rows = append(all.Rows, append([]string{m.ref}, row...))
		}
		return nil
	})
	all.Data = data
	if err := s.print(all); err != nil {
		return err
	}
	for _, m := range data {
		failed = errors.Join(failed, s.tellImages(printable(m.Node)+": ", m.NodeImages))
	}
	return failed
}

// imagesView shows images, in a table one a line; data is what json and yaml show.
func (s *shell) imagesView(list []apiv1.NodeImage, data any) view {
	v := view{
		Data: data, Empty: "no images",
		Header: []string{"INSTANCE", "NAME", "VERSION", "STATE", "SIZE", "IN USE", "USED", "ID", "ERROR"},
	}
	for _, i := range list {
		used := ""
		if i.UsedAt != nil {
			used = age(s.Now(), *i.UsedAt)
		}
		v.Names = append(v.Names, i.Instance+" "+i.ID)
		v.Rows = append(v.Rows, []string{i.Instance, i.Name, i.Version, imageState(i), sizeText(max(i.Size, i.Total)), yes(i.InUse), used, i.ID, i.Error})
	}
	return v
}

// imageState is the state, and how far a download has come.
func imageState(i apiv1.NodeImage) string {
	if share, ok := imageShare(i); ok {
		return fmt.Sprintf("%s %d%%", i.State, share)
	}
	return i.State
}

// imageShare is how much of a download is there, in percent, as far as anybody knows.
func imageShare(i apiv1.NodeImage) (share int64, ok bool) {
	if i.State != imageDownloading || i.Total <= 0 {
		return 0, false
	}
	return min(100, max(0, int64(float64(i.Done)/float64(i.Total)*100))), true
}

// The states of images and pulls that commands know; more may come.
const (
	imageDownloading = "downloading"
	imageUnpacking   = "unpacking"
	pullRuns         = "pulling"
	pullFailed       = "failed"
)

// sizeText is a number of bytes for people; nobody knows 0.
func sizeText(bytes int64) string {
	const kb = 1 << 10
	switch {
	case bytes <= 0:
		return ""
	case bytes < kb:
		return fmt.Sprintf("%dB", bytes)
	case bytes < kb*kb:
		return fmt.Sprintf("%.0fKB", float64(bytes)/kb)
	case bytes < kb*kb*kb:
		return fmt.Sprintf("%.0fMB", float64(bytes)/(kb*kb))
	}
	return fmt.Sprintf("%.1fGB", float64(bytes)/(kb*kb*kb))
}

var errNotListed = errors.New("not every driver instance was there: see above")

// tellImages tells on stderr what the table has no rows for: pulls that run or
// failed, and instances that did not answer.
func (s *shell) tellImages(prefix string, list apiv1.NodeImages) error {
	for _, p := range list.Pulls {
		by := ""
		if p.By != "" {
			by = " for " + printable(p.By)
		}
		what := fmt.Sprintf("%spull of %s to %s%s", prefix, printable(pullLabel(p)), printable(p.Instance), by)
		switch p.State {
		case pullRuns:
			s.note("%s: since %s", what, age(s.Now(), p.StartedAt))
		case pullFailed:
			s.note("%s: failed: %s", what, printable(p.Error))
		}
	}
	for _, e := range list.Errors {
		s.note("%sno images of %s: %s", prefix, printable(e.Instance), printable(e.Error))
	}
	if len(list.Errors) > 0 {
		return errNotListed
	}
	return nil
}

// pullLabel is how the label of a pull is called.
func pullLabel(p apiv1.ImagePull) string { return fmt.Sprintf("%s:%d", p.LabelName, p.LabelVersion) }

func imageRemove(s *shell) *cobra.Command {
	f := &imageFlags{}
	c := &cobra.Command{
		Use: "rm INSTANCE ID...", Aliases: []string{"remove", "delete"}, Args: cobra.MinimumNArgs(2),
		Short: "Remove images of a driver instance (admin); one that is in use, or on its way, stays",
		Example: `  aquarium-fish image rm native ubuntu2004-ci-20220118
  aquarium-fish image list -o name | grep -- -2021 | xargs -L 1 aquarium-fish image rm`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.member(cmd.Context(), s, cmd)
			if err != nil {
				return err
			}
			for _, id := range args[1:] {
				if err := m.removeImage(cmd.Context(), args[0], id); err != nil {
					return err
				}
				s.note("image %s of %s removed", printable(id), printable(args[0]))
			}
			return nil
		},
	}
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return s.complete(func(ctx context.Context, api client.ClientWithResponsesInterface) ([]cobra.Completion, error) {
			list, err := member{api, f.node}.images(ctx)
			if err != nil {
				return nil, err
			}
			return imageWords(list.Images, args), nil
		})(cmd, args, word)
	}
	f.register(s, c, false)
	return c
}

// imageWords are the instances that have images, or after one its images.
func imageWords(list []apiv1.NodeImage, args []string) []cobra.Completion {
	var words []cobra.Completion
	said := map[string]bool{}
	for _, i := range list {
		switch {
		case len(args) == 0 && !said[i.Instance]:
			said[i.Instance] = true
			words = append(words, printable(i.Instance))
		case len(args) > 0 && i.Instance == args[0]:
			words = append(words, cobra.CompletionWithDesc(printable(i.ID), printable(i.Name+" "+i.Version)))
		}
	}
	return words
}
