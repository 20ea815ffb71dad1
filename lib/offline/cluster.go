package offline

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// ClusterCommands returns the commands `join` and `rotate-ca` of `cluster`: they work on the folder of a node.
func ClusterCommands(o Options) []*cobra.Command {
	return []*cobra.Command{joinCommand(o), rotateCommand(o)}
}

// cryptOptions say where the node of a config has its keys and certificates.
func cryptOptions(cfg *config.Config) crypt.Options {
	return crypt.Options{
		NodeName: cfg.NodeName, NodeAddress: cfg.NodeAddress, Names: cfg.TLSNames,
		TLSKey: cfg.TLSKey, TLSCert: cfg.TLSCrt, CACert: cfg.TLSCACrt, Joins: true, // joined with the directory already
	}
}

const rotateHelp = `Replaces the cluster's CA, in three steps that may lie days apart. Without a step it shows how far this node is. Each step
may be repeated; the node may run and uses what changed within a minute.

  add    on the node with ca.key: makes a new CA beside the old one, which goes on to sign. Then copy ca.crt from
         there to the same place on every other node, and to the clients.
  sign   on the node with ca.key, when every node has that ca.crt: the new CA signs from now on. Certificates of
         nodes with ca.key follow within a minute; copy the new ca.key to those others that are to sign. Other nodes get
         theirs over the cluster within the hour, or stopped, by 'cluster invite NAME --renew' and 'cluster join'.
  drop   on every node, when each has a certificate of the new CA: the old CA is trusted no more, its key is removed.

A key that somebody else may have is worth the hurry: until drop is done everywhere, it can make members.`

func rotateCommand(o Options) *cobra.Command {
	t := &target{}
	cmd := &cobra.Command{
		Use: "rotate-ca [add|sign|drop]", Args: cobra.MaximumNArgs(1), ValidArgs: []string{"add", "sign", "drop"},
		Short: "Replace the cluster's CA step by step, or show how far that is", Long: rotateHelp,
		RunE: run(o, func(ctx context.Context, args []string) error {
			step := ""
			if len(args) > 0 {
				step = args[0]
			}
			return rotate(ctx, o, t, step)
		}),
	}
	t.register(cmd)
	return cmd
}

// rotate does a step, and shows what is.
func rotate(ctx context.Context, o Options, t *target, step string) error {
	cfg, _, err := config.Load(ctx, t.flags, o.Host)
	if err != nil {
		return err
	}
	files := cryptOptions(cfg)
	var do func(crypt.Options) error
	switch step {
	case "":
	case "add":
		do = crypt.AddCA
	case "sign":
		do = crypt.SignWithNewCA
	case "drop":
		do = crypt.DropOldCAs
	default:
		return fmt.Errorf("there is no step %q: want add, sign or drop", step)
	}
	before, err := crypt.LookRotation(files)
	if err != nil {
		return err
	}
	if do != nil {
		if err := do(files); err != nil {
			return err
		}
	}
	after, err := crypt.LookRotation(files)
	if err != nil {
		return err
	}
	if after.Phase != before.Phase || len(after.CAs) != len(before.CAs) {
		o.note(place{cfg: cfg}, audit.Event{Action: "cluster.rotate", ObjectName: step}) //nolint:contextcheck // what is done is noted, also when ctx ends just now
	}
	return o.tellRotation(after, cfg)
}

// tellRotation prints the CAs and what comes next.
func (o Options) tellRotation(r crypt.Rotation, cfg *config.Config) error {
	next := map[crypt.RotationPhase]string{
		crypt.RotationNone:    "no rotation is under way; 'rotate-ca add' begins one",
		crypt.RotationAdded:   "next: copy " + cfg.TLSCACrt + " to every other node and to the clients, then 'rotate-ca sign' on the node with ca.key",
		crypt.RotationSigning: "next: see that every node has a certificate of the new CA, then 'rotate-ca drop' on every node",
	}[r.Phase]
	for _, ca := range r.CAs {
		marks := ""
		if same(ca, r.Signer) {
			marks += ", signs here"
		}
		if same(ca, r.Own) {
			marks += ", signed this node"
		}
		hash := crypt.KeyHash(ca)
		if _, err := fmt.Fprintf(o.Stdout, "CA %x: %s to %s%s\n", hash[:8], ca.NotBefore.Format(time.DateOnly), ca.NotAfter.Format(time.DateOnly), marks); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(o.Stdout, "phase: %s\n%s\n", r.Phase, next)
	return err
}

func same(a, b *x509.Certificate) bool { return a != nil && b != nil && a.Equal(b) }
