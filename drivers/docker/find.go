package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

// found is a container of ours as lists show it.
type found struct {
	id, name string
	token    string // empty for one that an old version made
	app      string
	state    container.ContainerState
}

// list finds the containers of this node and instance that also carry the labels.
func (d *driver) list(ctx context.Context, labels ...string) ([]found, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	answer, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: d.owner.filter(labels...)})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var list []found
	for _, item := range answer.Items {
		f := found{id: item.ID, token: item.Labels[labelToken], app: item.Labels[labelApplication], state: item.State}
		at := slices.IndexFunc(item.Names, func(name string) bool { return isNameOf(strings.TrimPrefix(name, "/"), f.token) })
		if at < 0 {
			continue
		}
		f.name = strings.TrimPrefix(item.Names[at], "/")
		list = append(list, f)
	}
	return list, nil
}

// find returns the containers that a reference means: one, but for the moment
// in which a killed node's engine and its successor make one each. What runs
// comes first.
func (d *driver) find(ctx context.Context, ref drivers.Ref) ([]found, error) {
	if ref.Token == "" {
		return d.named(ctx, ref.Identifier)
	}
	if !claims.ValidToken(ref.Token) {
		return nil, nil // this driver never made anything for it
	}
	list, err := d.list(ctx, labelToken+"="+ref.Token)
	slices.SortStableFunc(list, func(a, b found) int { return rank(a.state) - rank(b.state) })
	return list, err
}

// rank orders states by how much of an environment they are.
func rank(s container.ContainerState) int {
	switch s {
	case container.StateRunning, container.StatePaused, container.StateRestarting:
		return 0
	case container.StateExited:
		return 1
	}
	return 2
}

// named finds a container by its name alone, as an old database does.
func (d *driver) named(ctx context.Context, name string) ([]found, error) {
	if !validIdentifier(name) {
		return nil, nil
	}
	c, raw, err := d.inspectRaw(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := found{id: c.ID, name: name, token: c.Config.Labels[labelToken], app: c.Config.Labels[labelApplication], state: c.State.Status}
	if d.owns(c, name) || adoptable(c, raw, name) {
		return []found{f}, nil
	}
	return nil, nil
}

func (d *driver) owns(c container.InspectResponse, name string) bool {
	for key, value := range d.owner.labels() {
		if c.Config.Labels[key] != value {
			return false
		}
	}
	return isNameOf(name, c.Config.Labels[labelToken])
}

// adoptable tells what v0.7 made: it left no labels, but named a container by
// the hardware address that it gave it. One that ended has none in its network any
// more: what it was made with stands where only old engines have it, and where
// nothing tells otherwise its name, that v0.7 drew at random, has to do.
func adoptable(c container.InspectResponse, raw json.RawMessage, name string) bool {
	if c.Config.Labels[labelScheme] != "" || c.NetworkSettings == nil {
		return false
	}
	for network, endpoint := range c.NetworkSettings.Networks {
		if endpoint == nil || !strings.HasPrefix(network, networkPrefix) {
			continue
		}
		switch hw := cmp.Or(endpoint.MacAddress.String(), madeWith(raw)); hw {
		case hwOf(name):
			return true
		case "":
			return rank(c.State.Status) > 0
		}
	}
	return false
}

// madeWith is the hardware address that a container was to get from an engine
// before API 1.44.
func madeWith(raw json.RawMessage) string {
	var c struct{ Config struct{ MacAddress string } }
	_ = json.Unmarshal(raw, &c) // it was read before, and may lack this
	return c.Config.MacAddress
}

// inspect asks for all that the engine knows of a container.
func (d *driver) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	c, _, err := d.inspectRaw(ctx, id)
	return c, err
}

// inspectRaw is inspect with the engine's answer as it came.
func (d *driver) inspectRaw(ctx context.Context, id string) (container.InspectResponse, json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	answer, err := d.engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return container.InspectResponse{}, nil, fmt.Errorf("inspect container: %w", err)
	}
	if c := answer.Container; c.Config == nil || c.State == nil {
		return container.InspectResponse{}, nil, fmt.Errorf("inspect container %s: the engine's answer has no config or no state", id)
	}
	return answer.Container, answer.Raw, nil
}

// List implements drivers.Driver. It is asked now and then, and so also removes
// the networks that nobody uses and that no Deallocate could remove: those that
// the engine made for a process that was killed, and those of an Allocate that was
// given up.
func (d *driver) List(ctx context.Context) ([]drivers.Ref, error) {
	list, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.networks.prune(ctx); err != nil {
		d.log.Warn("networks that nobody uses can not be removed", "error", err)
	}
	slices.SortStableFunc(list, func(a, b found) int { return rank(a.state) - rank(b.state) })
	seen := make(map[string]bool, len(list))
	refs := make([]drivers.Ref, 0, len(list))
	for _, f := range list {
		if seen[f.token] {
			continue // Deallocate removes both
		}
		seen[f.token] = true
		app, _ := uuid.Parse(f.app) // nobody's: it is removed by its token all the same
		refs = append(refs, drivers.Ref{Token: f.token, Identifier: f.name, ApplicationUID: app})
	}
	all, err := d.disks.list(ctx)
	for _, c := range all {
		if !seen[c.Token] {
			refs = append(refs, drivers.Ref{Token: c.Token, ApplicationUID: c.Application})
		}
	}
	return refs, err
}
