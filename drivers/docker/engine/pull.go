package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// dockerHub is the registry of names that name none.
const dockerHub = "docker.io"

// registriesByHost checks the config key `registries`.
func registriesByHost(list []Registry) (map[string]Registry, error) {
	byHost := map[string]Registry{}
	for n, r := range list {
		host, err := hostOf(r.Host)
		if err != nil {
			return nil, fmt.Errorf("registries[%d].host: %w", n, err)
		}
		if _, twice := byHost[host]; twice {
			return nil, fmt.Errorf("registries[%d].host: %s is named twice", n, host)
		}
		if r.User == "" {
			return nil, fmt.Errorf("registries[%d].user: empty: set it, or remove the entry: without one nothing is sent", n)
		}
		byHost[host] = r
	}
	return byHost, nil
}

// hostOf is a registry's host as it stands in image names. Docker Hub has more
// names than one, and login files name it by a URL.
func hostOf(text string) (string, error) {
	host := strings.ToLower(strings.TrimSpace(text))
	host = strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "":
		return "", errors.New("empty: want a registry's host such as docker.io or registry.example.com:5000")
	case "index.docker.io", "registry-1.docker.io", "hub.docker.com", "registry.hub.docker.com":
		return dockerHub, nil
	}
	ref, err := reference.ParseNormalizedNamed(host + "/image")
	if err != nil || reference.Domain(ref) != host {
		return "", fmt.Errorf("%.100q is no registry's host: want one with a dot or a port, such as registry.example.com:5000", host)
	}
	return host, nil
}

// pull has the engine pull an image. A tag is pulled once: from then on the
// engine has it, and what the registry makes of the tag changes nothing here.
func (i *Images) pull(ctx context.Context, f *flight, w wanted) (known, error) {
	if own(w.ref) {
		return known{}, fmt.Errorf("image %s is not in this engine: it was made by a task on another, and no registry has it", w.source())
	}
	login, ok := i.registries[reference.Domain(w.ref)]
	auth, err := encode(login, reference.Domain(w.ref))
	if err != nil {
		return known{}, err
	}
	before, err := i.ids(ctx)
	if err != nil {
		return known{}, err
	}
	// How large it is the engine says when it has begun.
	if err := i.roomFor(ctx, 0); err != nil {
		return known{}, fmt.Errorf("pull %s: %w", w.source(), err)
	}
	i.log.Info("image is being pulled", "image", w.source(), "login", ok)
	if err := i.receive(ctx, f, w, auth); err != nil {
		return known{}, instead(err, explainPull(w.ref, login, err))
	}
	got, found, err := i.inspectImage(ctx, w.ref.String())
	switch {
	case err != nil:
		return known{}, err
	case !found:
		return known{}, fmt.Errorf("pull %s: the engine says that it pulled it and has no such image", w.source())
	case before[got.ID]:
		return known{id: got.ID}, nil // it got one more name, and stays whose it was
	}
	// Killed before this, an image stays that we do not know as ours: it is used,
	// and never evicted.
	return i.claimed(ctx, got.ID, w)
}

// ids are the images that the engine has, but those brought for labels.
func (i *Images) ids(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := i.call(ctx)
	defer cancel()
	list, err := i.cli.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list images of the engine: %w", causeOf(ctx, err))
	}
	ids := map[string]bool{}
	for _, s := range list.Items {
		if !slices.ContainsFunc(s.RepoTags, brings) {
			ids[s.ID] = true // what was brought for another label is no one else's
		}
	}
	return ids, nil
}

// brings reports whether a name is one of those by which what we brought is ours.
func brings(tag string) bool {
	return strings.HasPrefix(tag, pulledRepo+":") || strings.HasPrefix(tag, loadedRepo+":")
}

// encode makes the header that carries a login; empty without one.
func encode(r Registry, host string) (string, error) {
	if r.User == "" {
		return "", nil
	}
	if host == dockerHub {
		host = "https://index.docker.io/v1/" // its name for logins
	}
	return authconfig.Encode(registry.AuthConfig{Username: r.User, Password: string(r.Password), ServerAddress: host})
}

func (i *Images) receive(ctx context.Context, f *flight, w wanted, auth string) error {
	ctx, alive, stop := i.watched(ctx)
	defer stop()
	resp, err := i.cli.ImagePull(ctx, w.ref.String(), client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return causeOf(ctx, err)
	}
	defer resp.Close()
	layers, steps := progress{}, steps{}
	for m, err := range resp.JSONMessages(ctx) {
		if err != nil {
			return causeOf(ctx, err)
		}
		if m.Error != nil {
			return m.Error
		}
		alive()
		layers.add(m)
		state, done, total := layers.sum()
		i.report(f, state, done, total)
		i.reach(f, steps.add(m))
	}
	return causeOf(ctx, ctx.Err())
}

// progress is how far each layer of a pull is, by its ID.
type progress map[string]layer

type layer struct {
	done, total int64
	fetched     bool
}

func (p progress) add(m jsonstream.Message) {
	if m.ID == "" {
		return
	}
	l := p[m.ID]
	switch {
	case m.Status == "Downloading" && m.Progress != nil:
		l.done, l.total = m.Progress.Current, max(m.Progress.Total, m.Progress.Current)
	case m.Status == "Download complete" || m.Status == "Pull complete" || m.Status == "Extracting" || m.Status == "Already exists":
		l.done, l.fetched = l.total, true
	}
	p[m.ID] = l
}

func (p progress) sum() (state drivers.ImageState, done, total int64) {
	state = drivers.ImageUnpacking
	for _, l := range p {
		done += l.done
		total += l.total
		if !l.fetched {
			state = drivers.ImageDownloading
		}
	}
	return state, done, total
}

// explainPull turns an engine's words about a registry into what to do. They
// hold no login: the engine gets it in a header, and it is taken out in any case.
func explainPull(ref reference.Named, login Registry, err error) error {
	reason := err.Error()
	if login.Password != "" {
		reason = strings.ReplaceAll(reason, string(login.Password), "***")
	}
	reason = bounded(reason)
	host := reference.Domain(ref)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(strings.ToLower(reason), part) {
				return true
			}
		}
		return false
	}
	var advice string
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, context.Canceled):
		return fmt.Errorf("pull %s: %w", ref, err)
	case has("toomanyrequests", "too many requests", "rate limit"):
		advice = "registry " + host + " lets no more pulls through for now: give it a user with a higher limit under registries, or use a mirror"
	case has("unauthorized", "authentication required", "basic auth credentials", "access denied", "denied: ", "403 forbidden"):
		advice = "registry " + host + " refuses it without a login, or has no such image: check the name, or add the registry with user and password to registries"
		if login.User != "" {
			advice = "registry " + host + " refuses user " + login.User + ", or has no such image: check the name, and the entry's password under registries"
		}
	case has("manifest unknown", "not found: manifest", "name unknown", "not found"):
		advice = "registry " + host + " has no such image: check name and version"
	case has("no such host", "dial tcp: lookup "):
		advice = "host " + host + " is not found: check the image's name and the engine's DNS"
	case has("http response to https client", "certificate"):
		advice = "registry " + host + " is not trusted by the engine: give the engine its CA, or list it in the engine's insecure-registries"
	case has("connection refused", "i/o timeout", "no route to host", "network is unreachable", "timeout exceeded"):
		advice = "registry " + host + " can not be reached from the engine"
	case has("no space left on device"):
		advice = "the engine's disk is full: remove images there, or set images_max_size"
	case has("no matching manifest"):
		advice = "it is not made for the engine's kind of machine"
	default:
		return fmt.Errorf("pull %s: %s", ref, reason)
	}
	return fmt.Errorf("pull %s: %s (%s)", ref, advice, reason)
}
