package app

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/api"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// aloneOptions is what a node that has no cluster tells of itself.
type aloneOptions struct {
	node        model.Node
	version     string
	ca          *x509.Certificate
	caFile      string
	expires     func() time.Time // of the node's certificate
	seen        func() time.Time
	writable    func() error
	maintenance func() bool
	running     func() int
}

// alone is the cluster of a node that has none: a member of one.
func alone(o aloneOptions) api.Alone {
	_, err := os.Stat(strings.TrimSuffix(o.caFile, filepath.Ext(o.caFile)) + ".key") // contract 3: beside it
	signer := err == nil
	return api.Alone{Cluster: clusterName(o.ca), Self: func() status.Member {
		m := status.Member{
			UID: o.node.UID, Name: o.node.Name, Address: o.node.Address, Location: o.node.LocationName,
			State: status.StateActive, LastSeen: o.seen(), Version: o.version, ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax,
			Healthy: o.writable() == nil, Ready: true, Maintenance: o.maintenance(), Signer: signer, Safety: "strict",
			Applications: o.running(), CertificateExpires: o.expires(),
		}
		if !m.Healthy || m.Maintenance {
			m.State = status.StateInactive
		}
		return m
	}}
}

// clusterName tells clusters apart for people: by the key of the first CA.
func clusterName(ca *x509.Certificate) string {
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:8])
}
