package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// cutPatience is how long a cancelled Allocate waits for a call that can not be
// cut short: the engine makes a container also for who no longer listens.
const cutPatience = 3 * time.Second

// attempts bounds how often something is made anew because somebody else
// removed what it needs, or is just making it for a process that was killed,
// which takes a busy engine its time. The pause after the first is firstPause,
// and doubles mostDoublings times: a minute in all.
const (
	attempts      = 54
	firstPause    = 20 * time.Millisecond
	mostDoublings = 6
	// mostFailed bounds how often something is tried again that failed within the
	// engine: what is left of one that ends fails in many ways, for 2 s or less.
	mostFailed = 3
	// mostImages bounds how often an image is got that somebody removes before
	// there is a container of it.
	mostImages = 3
	// mostPulls bounds how often a pull waits for an engine, and pullPatience for how
	// long: nothing else ends it. A restart of the engine takes a minute at most.
	mostPulls    = 5
	pullPatience = 2 * time.Minute
)

// errNoImage says that the engine has the image no more that a container is to
// be made from.
var errNoImage = errors.New("the engine has the image no more")

// Allocate implements drivers.Driver: image, disks, network, container, start.
func (d *driver) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	o, err := d.options(req.Definition)
	if err != nil {
		return drivers.Environment{}, err
	}
	if !claims.ValidToken(req.Token) {
		return drivers.Environment{}, fmt.Errorf("allocate: token %q is not 32 hex digits", req.Token)
	}
	vars, err := d.environ(req)
	if err != nil {
		return drivers.Environment{}, err
	}
	p := plan{req: req, options: o, env: vars, network: networkName(req.Definition.Resources)}
	for tries := 1; ; tries++ {
		env, err := d.make(ctx, p)
		if !errors.Is(err, errNoImage) || tries == mostImages {
			return env, err
		}
	}
}

// make gets the image, and makes the environment from it.
func (d *driver) make(ctx context.Context, p plan) (drivers.Environment, error) {
	// No turn is held meanwhile: a download takes its time, and Deallocate must
	// not wait for it.
	image, release, err := d.ensure(ctx, p.options.images, false)
	if err != nil {
		return drivers.Environment{}, err
	}
	done, err := d.turns.Take(ctx, p.req.Token)
	if err != nil {
		release()
		return drivers.Environment{}, err
	}
	p.image = image
	m := &making{driver: d, plan: p}
	result := make(chan made, 1)
	d.wg.Go(func() {
		defer done() // nobody else works on the environment while the engine may
		defer release()
		env, err := m.run(ctx)
		result <- made{env, err}
	})
	return await(ctx, result)
}

// ensure returns the image that runs. Where the engine is not there for it, it is
// waited for, in bounds where the caller has none: what was downloaded stays.
func (d *driver) ensure(ctx context.Context, list []images.Image, bounded bool) (id string, release func(), err error) {
	for n := 0; ; n++ {
		id, release, err = d.images.Ensure(ctx, list)
		if err == nil || bounded && n == mostPulls || ctx.Err() != nil || !unreachable(err) && d.health.err() == nil {
			return id, release, err
		}
		d.log.Info("engine was not there for an image, it is waited for", "error", err)
		wait, cancel := ctx, context.CancelFunc(func() {})
		if bounded {
			wait, cancel = context.WithTimeout(ctx, pullPatience)
		}
		away := d.back(wait, n)
		cancel()
		if away != nil {
			return "", nil, errors.Join(err, away)
		}
	}
}

// back waits until the engine answers again, and a little longer each time that
// it did not help.
func (d *driver) back(ctx context.Context, times int) error {
	if err := pause(ctx, firstPause<<min(times, mostDoublings)); err != nil {
		return err
	}
	return d.health.await(ctx)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// made is how a making ended.
type made struct {
	env drivers.Environment
	err error
}

func await(ctx context.Context, result <-chan made) (drivers.Environment, error) {
	select {
	case m := <-result:
		return m.env, m.err
	case <-ctx.Done():
	}
	select {
	case m := <-result:
		return m.env, m.err
	case <-time.After(cutPatience):
		return drivers.Environment{}, ctx.Err()
	}
}

// making is one environment on its way.
type making struct {
	*driver
	plan plan
}

// run makes the environment. It ends at the first step after ctx ended; a step
// that was begun is seen to its end.
func (m *making) run(ctx context.Context) (drivers.Environment, error) {
	for again, silent, failed := 0, 0, 0; ; {
		c, err := m.try(ctx)
		switch {
		case err == nil:
			return environment(c, m.plan.req.Definition), nil
		case ctx.Err() != nil:
			return drivers.Environment{}, err
		case unreachable(err), cerrdefs.IsInternal(err) && m.health.err() != nil: // half of an engine fails in many ways, too
			m.log.Info("engine was not there for a call, it is waited for", "application_uid", m.plan.req.ApplicationUID, "error", err)
			err = m.back(ctx, silent)
			silent++
		case cerrdefs.IsInternal(err) && failed < mostFailed: // as one that is just ending answers
			err = pause(ctx, firstPause<<(4+failed))
			failed++
		case !errors.Is(err, errAgain):
			return drivers.Environment{}, err
		case again == attempts-1:
			return drivers.Environment{}, fmt.Errorf("make container: given up after %d times: %w", attempts, err)
		default:
			err = pause(ctx, firstPause<<min(again, mostDoublings))
			again++
		}
		if err != nil {
			return drivers.Environment{}, err
		}
	}
}

// try finds the container, or makes it.
func (m *making) try(ctx context.Context) (container.InspectResponse, error) {
	id, err := m.existing(ctx)
	if err != nil {
		return container.InspectResponse{}, err
	}
	if id != "" {
		return m.look(ctx, id)
	}
	if id, err = m.fresh(ctx); err != nil {
		return container.InspectResponse{}, err
	}
	c, err := m.look(ctx, id)
	if err != nil || m.onBridge(c) {
		return c, err
	}
	// Its variables tell the way to the metadata by a network that was there before.
	m.networks.forget(m.plan.network, m.plan.bridge.id)
	return c, errors.Join(m.remove(ctx, found{id: id, state: container.StateRunning}), errAgain)
}

// look inspects what was there a moment ago. A process that has not ended yet, or
// an engine that came back, may have removed it since.
func (m *making) look(ctx context.Context, id string) (container.InspectResponse, error) {
	c, err := m.inspect(ctx, id)
	if cerrdefs.IsNotFound(err) {
		return c, errAgain
	}
	return c, err
}

// onBridge reports whether the container is on the network that it was made for,
// and not on one of the same name that somebody made meanwhile.
func (m *making) onBridge(c container.InspectResponse) bool {
	if c.NetworkSettings == nil {
		return true
	}
	endpoint := c.NetworkSettings.Networks[m.plan.network]
	return endpoint == nil || endpoint.NetworkID == "" || endpoint.NetworkID == m.plan.bridge.id
}

// errAgain says that somebody removed what a container needs, or took its name,
// while it was made.
var errAgain = errors.New("what it needs was removed meanwhile by somebody else")

// existing finds the token's container, if it was made before. A half-made one
// is removed: what it was made for, such as a network, may be another by now.
func (m *making) existing(ctx context.Context) (id string, err error) {
	list, err := m.find(ctx, drivers.Ref{Token: m.plan.req.Token})
	if err != nil || len(list) == 0 {
		return "", err
	}
	if rank(list[0].state) == 0 {
		return list[0].id, nil
	}
	c, err := m.look(ctx, list[0].id)
	if err != nil {
		return "", err
	}
	if presence(c.State) != drivers.Partial { // it started just now, or ended: Inspect and Watch tell how
		return c.ID, nil
	}
	for _, f := range list {
		if err := m.remove(ctx, f); err != nil {
			return "", err
		}
	}
	return "", nil
}

// fresh makes a container, fills its disks and starts it.
func (m *making) fresh(ctx context.Context) (id string, err error) {
	if m.plan.mounts, err = m.disks.make(ctx, m.plan.req); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil { // a network made now would be for nobody
		return "", err
	}
	b, release, err := m.networks.use(ctx, m.plan.network)
	if err != nil {
		return "", err
	}
	defer release()
	m.plan.bridge = b
	if id, err = m.create(ctx); err != nil {
		return "", err
	}
	if err := m.seen(ctx, id); err != nil {
		return "", err
	}
	if err := m.fill(ctx, id); err != nil {
		return "", err
	}
	return id, m.start(ctx, id)
}

// uncut is a context for a call that is seen to its end: it lives makeTimeout
// longer than ctx, or is given up with the instance. While somebody waits for the
// environment it is not bounded: a slow engine is not done sooner when it is asked
// to begin anew.
func (d *driver) uncut(ctx context.Context) (context.Context, context.CancelFunc) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	closed := context.AfterFunc(d.ctx, cancel)
	left := context.AfterFunc(ctx, func() { time.AfterFunc(makeTimeout, cancel) })
	return call, func() { closed(); left(); cancel() }
}

// create makes the container under the first of its names that is free.
func (m *making) create(ctx context.Context) (id string, err error) {
	for hw := range hwAddresses(m.plan.req.Token) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		opts := m.container(m.plan, hw)
		call, cancel := m.uncut(ctx)
		answer, err := m.engine.ContainerCreate(call, opts)
		cancel()
		switch {
		case err == nil:
			for _, warning := range answer.Warnings {
				m.log.Debug("the engine warns of a container", "identifier", opts.Name, "warning", warning)
			}
			return answer.ID, nil
		case cerrdefs.IsNotFound(err):
			return "", m.missing(ctx, err)
		case !cerrdefs.IsConflict(err):
			return "", fmt.Errorf("make container: %w", err)
		}
		if again, err := m.taken(ctx, opts.Name); err != nil || again {
			return "", errors.Join(err, errAgain)
		}
	}
	return "", errors.New("make container: all of its names are taken by other containers")
}

// taken looks at who has a name: the engine may just have made the container
// that a killed process asked for.
func (m *making) taken(ctx context.Context, name string) (ours bool, err error) {
	c, err := m.inspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return true, nil // it was removed, or is being made
	}
	if err != nil {
		return false, err
	}
	return m.owns(c, name) && c.Config.Labels[labelToken] == m.plan.req.Token, nil
}

// missing finds out what a container could not be made without: its image, else
// its network.
func (m *making) missing(ctx context.Context, cause error) error {
	if gone, err := m.networks.gone(ctx, m.plan.network, m.plan.bridge.id); err != nil || gone {
		return errors.Join(err, errAgain)
	}
	m.images.Forget(m.plan.image)
	return fmt.Errorf("make container: %w: %w", errNoImage, cause)
}

// start lets the container run. Where it can not because its network was
// removed since, it is made anew.
func (m *making) start(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	call, cancel := m.uncut(ctx)
	defer cancel()
	_, err := m.engine.ContainerStart(call, id, client.ContainerStartOptions{})
	if err == nil {
		return nil
	}
	if gone, lookErr := m.networks.gone(call, m.plan.network, m.plan.bridge.id); lookErr == nil && gone {
		return errors.Join(m.remove(call, found{id: id, state: container.StateCreated}), errAgain)
	}
	if c, lookErr := m.inspect(call, id); cerrdefs.IsNotFound(lookErr) || lookErr == nil && leaving(c.State.Status) {
		return errAgain
	}
	return fmt.Errorf("start container: %w", err)
}

// leaving reports whether a container is being removed, or was half.
func leaving(s container.ContainerState) bool {
	return s == container.StateRemoving || s == container.StateDead
}
