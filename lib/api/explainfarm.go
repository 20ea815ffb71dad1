package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

const (
	// explainBudget is how long the others are waited for; what has not
	// answered by then is named.
	explainBudget = 2 * time.Second
	// explainAtOnce bounds how many are asked at the same time.
	explainAtOnce = 16
	// maxExplanation bounds what is read of one's answer: labels have few
	// definitions.
	maxExplanation = 1 << 20
)

// memberView is what one member says of an application; nil x: it did not answer.
type memberView struct {
	member status.Member
	x      *apiv1.ApplicationExplanation
}

// explainFarm adds to this node's own explanation what the other members say:
// of an application that waits each of them, of others the one that runs it.
func (h *handlers) explainFarm(ctx context.Context, e *model.Entry, own apiv1.ApplicationExplanation) apiv1.ApplicationExplanation {
	if exchangeOf(ctx).peer { // who asks puts the answers together
		return own
	}
	whom := h.whoKnows(e)
	if len(whom) == 0 {
		return own
	}
	views := h.views(ctx, whom)
	if e.Fold.Waiting() {
		return farmWaiting(own, views)
	}
	return farmLife(own, views[0])
}

// whoKnows are the other members that have something to say.
func (h *handlers) whoKnows(e *model.Entry) []status.Member {
	members := h.Cluster.Members()
	executor := model.NilUID
	if e.Resource != nil {
		executor = e.Resource.NodeUID
	} else if g := e.Fold.Grant; g != nil && g.Decision != nil {
		executor = g.Decision.Winner
	}
	return slices.DeleteFunc(slices.Clone(members), func(m status.Member) bool {
		other := m.UID != h.Node && m.State != status.StateRetired && m.State != status.StateStopped
		return !other || !e.Fold.Waiting() && (m.UID != executor || e.Fold.Closed)
	})
}

// views asks members for their own explanations, all within explainBudget.
func (h *handlers) views(ctx context.Context, whom []status.Member) []memberView {
	ctx, cancel := context.WithTimeout(ctx, explainBudget)
	defer cancel()
	views := make([]memberView, len(whom))
	slots := make(chan struct{}, explainAtOnce)
	var asking sync.WaitGroup
	for i, m := range whom {
		views[i].member = m
		if !m.Reachable() {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			x, err := h.viewOf(ctx, m)
			if err != nil {
				h.Logger.Debug("member gave no explanation", "component", "api", "member", m.Name, "error", err)
				return
			}
			views[i].x = &x
		})
	}
	asking.Wait()
	return views
}

// viewOf asks one member for what it says itself.
func (h *handlers) viewOf(ctx context.Context, m status.Member) (apiv1.ApplicationExplanation, error) {
	var x apiv1.ApplicationExplanation
	e := exchangeOf(ctx)
	res, err := h.send(ctx, e, m, overlay.Request{Method: http.MethodGet, Path: e.request.URL.EscapedPath()})
	if err != nil {
		return x, fmt.Errorf("ask for explanation: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return x, fmt.Errorf("explanation has status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxExplanation+1))
	if err == nil && len(body) > maxExplanation {
		err = errors.New("it is too long")
	}
	if err == nil {
		err = json.Unmarshal(body, &x)
	}
	if err != nil {
		return x, fmt.Errorf("read explanation: %w", err)
	}
	return x, nil
}

// farmWaiting puts together what the members say of an application that waits.
// One that knows more, as it does not wait any more, is right alone.
func farmWaiting(own apiv1.ApplicationExplanation, views []memberView) apiv1.ApplicationExplanation {
	var silent []string
	for _, v := range views {
		switch {
		case v.x == nil:
			silent = append(silent, v.member.Name)
			own.Never = false // it may be able to
		case v.x.Status != own.Status:
			return *v.x
		default:
			own.Nodes = append(own.Nodes, v.x.Nodes...)
			own.Never = own.Never && v.x.Never
		}
	}
	slices.SortStableFunc(own.Nodes, func(a, b apiv1.NodeStanding) int { return cmp.Compare(a.Name, b.Name) })
	if len(own.Nodes) > 1 || len(silent) > 0 {
		own.Text = farmText(own)
	}
	if len(silent) > 0 {
		own.Text += "; no answer from " + strings.Join(silent, ", ")
	}
	return own
}

// farmText says in a sentence how an application stands with several members.
func farmText(x apiv1.ApplicationExplanation) string {
	for _, n := range x.Nodes { // who decides keeps all others waiting
		for _, d := range n.Definitions {
			if d.Cause == string(election.CauseArbiter) {
				return "It waits: " + d.Text
			}
		}
	}
	for _, n := range x.Nodes {
		for _, d := range n.Definitions {
			if d.Cause == string(election.CauseFits) {
				return "It fits on " + n.Name + ": about to be granted"
			}
		}
	}
	reason := farmReason(x.Nodes)
	switch {
	case reason == "":
		return x.Text
	case x.Never:
		return fmt.Sprintf("No member can ever run this: none of %d; %s", len(x.Nodes), reason)
	}
	return fmt.Sprintf("It waits: no member of %d can run it now; %s", len(x.Nodes), reason)
}

// farmReason is the first one that may pass, else the first: that some member
// is not made for it is not what an application waits for.
func farmReason(nodes []apiv1.NodeStanding) (reason string) {
	for _, n := range nodes {
		for _, d := range n.Definitions {
			text := "of " + n.Name + ": " + d.Text
			switch election.Cause(d.Cause) {
			case election.CauseDriverUnknown, election.CauseNodeFilter, election.CauseOptions, election.CauseTooLarge:
				reason = cmp.Or(reason, text)
			default:
				return text
			}
		}
	}
	return reason
}

// farmLife takes the word of the member that runs an application, if it has it.
func farmLife(own apiv1.ApplicationExplanation, executor memberView) apiv1.ApplicationExplanation {
	if executor.x != nil {
		return *executor.x
	}
	own.Text += "; the member " + executor.member.Name + ", which runs it, can not be reached now: this is the last that is known"
	return own
}
