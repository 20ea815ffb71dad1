package docker

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

// plan is all that a container is made from.
type plan struct {
	req     drivers.Request
	options options
	env     map[string]string // what is known of it before there is a network
	image   string            // the engine's ID
	network string
	bridge  bridge
	mounts  []mount.Mount
}

// container is the plan as the engine takes it: everything that bounds the
// environment and says whose it is stands in this one call.
func (d *driver) container(p plan, hw net.HardwareAddr) client.ContainerCreateOptions {
	labels := d.owner.labels()
	labels[labelToken] = p.req.Token
	labels[labelApplication] = p.req.ApplicationUID.String()
	grace := d.settings.graceSeconds()
	return client.ContainerCreateOptions{
		Name: identifier(hw),
		Config: &container.Config{
			Hostname: identifier(hw), Image: p.image, Env: d.variables(p), Labels: labels, StopTimeout: &grace,
			Entrypoint: p.options.entrypoint, Cmd: p.options.command, User: p.options.user,
		},
		HostConfig: d.hostConfig(p),
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			p.network: {MacAddress: network.HardwareAddr(hw)},
		}},
	}
}

func (d *driver) hostConfig(p plan) *container.HostConfig {
	yes := true
	capabilities := append(usualCapabilities(), p.options.capabilities...)
	slices.Sort(capabilities)
	h := &container.HostConfig{
		NetworkMode:    container.NetworkMode(p.network),
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapDrop:        []string{"ALL"},
		CapAdd:         slices.Compact(capabilities),
		SecurityOpt:    []string{"no-new-privileges"},
		ReadonlyRootfs: p.options.readOnly,
		OomScoreAdj:    d.settings.OOMScoreAdj,
		Init:           &yes, // which reaps orphans, and hands SIGTERM on to programs that would ignore it as process 1
		LogConfig:      d.logConfig(),
		Mounts:         p.mounts,
		Resources:      d.resources(p),
	}
	if p.network == networkPrefix+hostOnly {
		// The engine asks on behalf of containers: without this, names outside
		// could be looked up, and be a way to carry something out.
		h.DNS = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	if p.options.readOnly {
		h.Tmpfs = map[string]string{"/tmp": "rw,nosuid,nodev,mode=1777", "/run": "rw,nosuid,nodev,mode=755"}
		for _, disk := range p.mounts {
			delete(h.Tmpfs, disk.Target) // the engine refuses two at one place
		}
	}
	return h
}

func (d *driver) resources(p plan) container.Resources {
	r := p.req.Definition.Resources
	memory := int64(min(r.RAM, 1<<20)) << 30       //nolint:gosec // bounded
	cpus := int64(min(r.CPU, d.facts.cores)) * 1e9 //nolint:gosec // bounded: with cpu_alter there may be fewer than promised
	pids := d.settings.PidsLimit
	return container.Resources{Memory: memory, MemorySwap: memory, NanoCPUs: cpus, PidsLimit: &pids}
}

// logConfig bounds what an environment says: the older half is dropped when the
// newer one is full.
func (d *driver) logConfig() container.LogConfig {
	half := strconv.FormatInt(int64(d.settings.LogSize)/2, 10) //nolint:gosec // checked to be at most 2^40
	return container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": half, "max-file": "2"}}
}

// The kernel starts no program with a variable, name and all, or with variables in
// all, of more than this: there has to be room for those of the image too.
const (
	maxVariable  = 128<<10 - 1
	maxVariables = 1 << 20
)

// environ are the environment variables that are known before anything is made:
// the metadata, over it what the node itself says.
func (d *driver) environ(req drivers.Request) (map[string]string, error) {
	flat, err := metadata.Environment(req.Metadata, req.LabelMetadata)
	if err != nil {
		return nil, err
	}
	all, sum := make(map[string]string, len(flat.Pairs)+2), 0
	for _, pair := range flat.Pairs {
		size := len(pair.Name) + len("=") + len(pair.Value)
		if size > maxVariable {
			return nil, fmt.Errorf("metadata: %s makes a variable of %d bytes, and no program starts with one of more than %d: shorten it, or name a place to get it from",
				pair.Name, size, maxVariable)
		}
		if sum += size; sum > maxVariables {
			return nil, fmt.Errorf("metadata: it makes variables of more than %d bytes in all, which no program starts with: shorten it", maxVariables)
		}
		all[pair.Name] = pair.Value
	}
	for _, drop := range flat.Dropped {
		d.log.Warn("metadata left out of the environment", "application", req.ApplicationUID, "key", drop.Key, "reason", drop.Reason)
	}
	all[metadata.NameApplicationUID] = req.ApplicationUID.String()
	return all, nil
}

// variables are all of a container, sorted.
func (d *driver) variables(p plan) []string {
	all := map[string]string{}
	maps.Copy(all, p.env)
	if !d.settings.IsRemote { // the gateway is an address of the engine's machine
		if address := metadataURL(p.req.MetadataURL, p.bridge.gateway); address != "" {
			all[metadata.NameMetadataURL] = address
		}
		maps.Copy(all, p.req.Proxy.At(p.bridge.gateway))
	}
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// metadataURL is where a container asks for its metadata: at its bridge, whose
// address is this machine's, and where its own address says who it is. Empty
// where the bridge has no address.
func metadataURL(fromHere string, gateway netip.Addr) string {
	u, err := url.Parse(fromHere)
	if err != nil || u.Port() == "" || !gateway.IsValid() {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(gateway.String(), u.Port()), Path: "/meta/v1/data/"}).String()
}
