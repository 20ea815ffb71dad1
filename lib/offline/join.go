package offline

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/app"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
)

const (
	// envToken is where a script may have the token.
	envToken = "AQUARIUM_FISH_JOIN_TOKEN"
	// joinTimeout bounds a join as a whole: opening a large database included.
	joinTimeout = 10 * time.Minute
	// maxToken is far more than a token has, in bytes.
	maxToken = 64 << 10
	// asideSuffix begins the new name of what is set aside.
	asideSuffix = ".before-join-"
)

// joinRequest is what a user asks for.
type joinRequest struct {
	target          target
	tokenFile       string
	dryRun          bool
	importing, drop bool
}

const joinHelp = `Makes this machine a member of a cluster: makes a key here, which never leaves it, redeems the token of
'aquarium-fish cluster invite NAME', and stores the certificate and the cluster's CA in the node's folder. The node must be
stopped, and is started afterwards as ever. The token is read from --token-file, from ` + envToken + `, from the standard
input, or asked for; it is never an argument, which everybody on the machine could see.

With --cfg the file is made, or gets the keys that it lacks; without, they are printed. A node that was used alone is
refused if it holds labels, applications or users; then --import takes along labels and users whose names the cluster does
not have, --discard nothing. Either keeps the old database beside the new one. --dry-run shows what would be done, and
leaves the token as it is.`

func joinCommand(o Options) *cobra.Command {
	r := &joinRequest{}
	cmd := &cobra.Command{
		Use: "join", Args: noToken, Short: "Make this machine a member of a cluster, by a token", Long: joinHelp,
		RunE: run(o, func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, joinTimeout)
			defer cancel()
			return o.join(ctx, r)
		}),
	}
	r.target.register(cmd)
	set := cmd.Flags()
	set.StringVar(&r.tokenFile, "token-file", "", "the file with the token; - is the standard input")
	set.BoolVar(&r.dryRun, "dry-run", false, "show what would be done, do nothing")
	set.BoolVar(&r.importing, "import", false, "take along the labels and users whose names the cluster does not have")
	set.BoolVar(&r.drop, "discard", false, "take nothing along of what the node holds")
	cmd.MarkFlagsMutuallyExclusive("import", "discard")
	return cmd
}

// noToken keeps the token out of the arguments, and of the message about them.
func noToken(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("the token is no argument, as everybody on the machine can see those (and may have: revoke it): " +
			"give --token-file, or " + envToken + ", or the standard input")
	}
	return nil
}

// joining is one join under way.
type joining struct {
	Options
	*joinRequest
	token enrol.Token
	cfg   *config.Config
	files crypt.Options
	file  *configFile
	key   crypto.Signer
	found crypt.Present
	data  holdings
}

// join does it all, or goes on where a crash ended it.
func (o Options) join(ctx context.Context, r *joinRequest) (err error) {
	j := &joining{Options: o, joinRequest: r}
	if j.file, err = openConfig(r.target.flags.File); err != nil {
		return err
	}
	unlock, unfinished, err := j.begun(ctx)
	if err != nil || unfinished != nil {
		if err == nil {
			err = j.finish(ctx, unfinished)
		}
		return errors.Join(err, unlock())
	}
	if err := j.readToken(ctx); err != nil {
		return err
	}
	if err := j.load(ctx, j.token.Name); err != nil {
		return err
	}
	if j.cfg.NodeName != j.token.Name {
		return fmt.Errorf("the token is for a node named %s, and node_name is %s: change that, or run 'aquarium-fish cluster invite %s'",
			j.token.Name, j.cfg.NodeName, j.cfg.NodeName)
	}
	if err := os.MkdirAll(j.cfg.Directory, 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if unlock, err = app.LockNode(j.cfg.Directory, j.cfg.NodeName); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return j.redeem(ctx)
}

// load reads the config as the node would; name is the node's where the config gives none.
func (j *joining) load(ctx context.Context, name string) error {
	host := j.Host
	if name != "" {
		host.Name = func() (string, error) { return name, nil }
	}
	flags := j.target.flags
	if !j.file.exists {
		flags.File = ""
	}
	cfg, _, err := config.Load(ctx, flags, host)
	if err != nil {
		return err
	}
	j.cfg, j.files = cfg, cryptOptions(cfg)
	return nil
}

// begun finds a join that was not finished, and locks its node. The name is the config's, or that of the only journal.
func (j *joining) begun(ctx context.Context) (unlock func() error, _ *enrol.Journal, err error) {
	nothing := func() error { return nil }
	if err := j.load(ctx, ""); err != nil {
		return nothing, nil, err
	}
	name, err := enrol.FindJournal(j.cfg.Directory, j.cfg.NodeName)
	if err != nil || name == "" {
		return nothing, nil, err
	}
	if err := j.load(ctx, name); err != nil || j.cfg.NodeName != name { // another node's, that shares the folder
		return nothing, nil, err
	}
	if unlock, err = app.LockNode(j.cfg.Directory, name); err != nil {
		return nothing, nil, err
	}
	journal, err := enrol.LoadJournal(j.cfg.Directory, name)
	return unlock, journal, err
}

// readToken gets the token from where the user has it.
func (j *joining) readToken(ctx context.Context) error {
	text, err := j.tokenText(ctx)
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	j.token, err = enrol.ParseToken(text)
	return err
}

func (j *joining) tokenText(ctx context.Context) (string, error) {
	switch env := os.Getenv(envToken); {
	case j.tokenFile != "" && j.tokenFile != "-":
		f, err := os.Open(j.tokenFile)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }() // only read
		return readToken(f)
	case j.tokenFile == "" && env != "":
		return env, nil
	case j.tokenFile == "" && j.ReadSecret != nil:
		return j.ReadSecret(ctx, "Token: ")
	case j.Stdin == nil:
		return "", errors.New("there is none: give --token-file")
	}
	return readToken(j.Stdin)
}

func readToken(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxToken))
	return string(text), err
}

// redeem decides what is to be done with what is there, redeems the token, and finishes.
func (j *joining) redeem(ctx context.Context) (err error) {
	if j.found, err = crypt.Look(j.files); err != nil {
		return err
	}
	if j.alreadyMember() {
		return j.tell("this machine is a member of the token's cluster already, the token was not redeemed; if it was retired: move its key and " +
			"certificate out of the folder and join again, which makes others")
	}
	if !j.ofCluster() {
		if j.data, err = j.holdings(ctx); err != nil {
			return err
		}
	}
	if err := j.mayGoOn(); err != nil {
		return err
	}
	if err := j.makeKey(); err != nil {
		return err
	}
	answer, cas, err := j.ask(ctx)
	if err != nil {
		return fmt.Errorf("redeem token: %w", err)
	}
	j.data.without(answer)
	if j.dryRun {
		return j.tellPlan()
	}
	journal := j.plan(answer, cas)
	if err := journal.Save(j.cfg.Directory); err != nil {
		return err
	}
	return j.finish(ctx, &journal)
}

// ofCluster reports whether what is there is of the token's cluster.
func (j *joining) ofCluster() bool {
	return slices.ContainsFunc(j.found.CAs, func(ca *x509.Certificate) bool { return crypt.KeyHash(ca) == j.token.CA })
}

// alreadyMember reports whether there is nothing that the token could mend.
func (j *joining) alreadyMember() bool {
	if !j.found.Member || !j.ofCluster() {
		return false
	}
	pinned := slices.DeleteFunc(slices.Clone(j.found.CAs), func(ca *x509.Certificate) bool { return crypt.KeyHash(ca) != j.token.CA })
	const month = 30 * 24 * time.Hour // from then on the node itself would like another
	return crypt.VerifyChain(j.found.Chain, pinned, j.Now().Add(month)) == nil
}

// mayGoOn refuses what the user has to decide.
func (j *joining) mayGoOn() error {
	if j.data.empty() || j.importing || j.drop {
		return nil
	}
	return fmt.Errorf("this node was used alone, and holds %s: --import takes along the labels and users whose names the cluster does not have, "+
		"--discard nothing; either keeps the old database beside the new one, and --dry-run shows before what would be done", j.data)
}

// makeKey makes the node's key, or takes the one that is there: after a crash the token is redeemed again with the same.
func (j *joining) makeKey() (err error) {
	if j.dryRun && !j.found.Key {
		j.key, err = crypt.NewKey()
		return err
	}
	j.key, err = crypt.LoadOrCreateKey(j.cfg.TLSKey)
	return err
}

// ask shows the token to the node that gave it out.
func (j *joining) ask(ctx context.Context) (enrol.JoinAnswer, []*x509.Certificate, error) {
	request, err := crypt.NewRequest(j.files, j.key)
	if err != nil {
		return enrol.JoinAnswer{}, nil, err
	}
	q := enrol.JoinRequest{Address: j.cfg.NodeAddress, Request: request, DryRun: j.dryRun}
	if j.importing {
		q.Users, q.Labels = j.data.names()
	}
	return enrol.Redeem(ctx, j.token, q)
}
