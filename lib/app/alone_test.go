package app

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var broken error
	drained := false
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	o := aloneOptions{
		node: model.Node{UID: model.UID{1}, Name: "a", Address: "a:8001", LocationName: "lab"}, version: "v1",
		ca: &x509.Certificate{RawSubjectPublicKeyInfo: []byte("key")}, caFile: filepath.Join(dir, "ca.crt"),
		expires: func() time.Time { return now.AddDate(1, 0, 0) }, seen: func() time.Time { return now },
		writable: func() error { return broken }, maintenance: func() bool { return drained }, running: func() int { return 3 },
	}
	cluster := alone(o)
	want := status.Member{
		UID: model.UID{1}, Name: "a", Address: "a:8001", Location: "lab", State: status.StateActive, LastSeen: now, Version: "v1",
		ProtocolMin: 1, ProtocolMax: 1, Healthy: true, Ready: true, Signer: true, Safety: "strict", Applications: 3,
		CertificateExpires: now.AddDate(1, 0, 0),
	}
	if diff := cmp.Diff([]status.Member{want}, cluster.Members()); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if s := cluster.Status(); s.Cluster != "2c70e12b7a0646f9" || s.Node != o.node.UID || !s.Ready {
		t.Errorf("status is %+v", s)
	}
	drained, broken = true, errors.New("disk full")
	if m := cluster.Members()[0]; m.State != status.StateInactive || m.Healthy || !m.Maintenance {
		t.Errorf("drained and broken it is %+v", m)
	}
	o.caFile = filepath.Join(dir, "other", "ca.crt")
	if alone(o).Members()[0].Signer {
		t.Error("it signs without a key")
	}
}
