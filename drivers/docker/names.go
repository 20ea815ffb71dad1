package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Labels of all that the driver makes in an engine.
const (
	labelScheme      = "aquarium.fish.scheme" // version of these labels
	labelNode        = "aquarium.fish.node"
	labelInstance    = "aquarium.fish.instance"
	labelToken       = "aquarium.fish.token"
	labelApplication = "aquarium.fish.application"
)

// scheme is the version of the labels that this driver writes and reads.
const scheme = "1"

// owner is on whose behalf things are made.
type owner struct {
	Node     string `json:"node"`
	Instance string `json:"instance"`
}

func (o owner) labels() map[string]string {
	return map[string]string{labelScheme: scheme, labelNode: o.Node, labelInstance: o.Instance}
}

// filter finds what carries the owner's labels, and others.
func (o owner) filter(others ...string) client.Filters {
	f := client.Filters{}
	for key, value := range o.labels() {
		f.Add("label", key+"="+value)
	}
	return f.Add("label", others...)
}

// candidates is how many names a token may take, one after the other, where a
// name is taken already.
const candidates = 4

// hwAddress is the n-th hardware address of a token. It looks random to
// everybody else, is local and unicast, and needs no memory.
func hwAddress(token string, n int) net.HardwareAddr {
	sum := sha256.Sum256([]byte("hw " + strings.ToLower(token) + " " + strconv.Itoa(n)))
	sum[0] = sum[0]&^1 | 2
	return sum[:6]
}

// prefix starts the name of every container of ours.
const prefix = "fish-"

// identifier names the container with a hardware address (contract 30).
func identifier(hw net.HardwareAddr) string { return prefix + hex.EncodeToString(hw) }

// isNameOf reports whether the token can have taken the name. Labels alone
// prove nothing: an image that was committed from a container hands them on to
// everything that anybody starts from it.
func isNameOf(name, token string) bool {
	return slices.ContainsFunc(slices.Collect(hwAddresses(token)), func(hw net.HardwareAddr) bool { return identifier(hw) == name })
}

// hwAddresses are all hardware addresses of a token, the preferred first.
func hwAddresses(token string) func(yield func(net.HardwareAddr) bool) {
	return func(yield func(net.HardwareAddr) bool) {
		for n := range candidates {
			if !yield(hwAddress(token, n)) {
				return
			}
		}
	}
}

func validIdentifier(name string) bool {
	return regexp.MustCompile(`^` + prefix + `[0-9a-f]{12}$`).MatchString(name)
}

// networkName is the name in the engine of a definition's network.
func networkName(r model.Resources) string {
	if r.Network == "" {
		return networkPrefix + hostOnly
	}
	return networkPrefix + r.Network
}

func checkNetwork(name string) error {
	for _, usual := range []string{"hostonly", "nat"} {
		if name != usual && strings.EqualFold(name, usual) { // a network of its own that nobody meant
			return fmt.Errorf("network %q: it is written %s", name, usual)
		}
	}
	if name != "" && !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$`).MatchString(name) {
		return fmt.Errorf("network %.60q: want `hostonly`, `nat`, or a name of at most 40 letters, digits and any of _ . -", name)
	}
	return nil
}
