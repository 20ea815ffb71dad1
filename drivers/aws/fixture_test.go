package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/policytest"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var (
	node     = uuid.MustParse("11111111-2222-4333-8444-555555555555")
	stranger = uuid.MustParse("99999999-2222-4333-8444-555555555555")
	someNode = uuid.MustParse("77777777-2222-4333-8444-555555555555")
)

// site is an account of the fake, and a machine with a node on it. It is made
// in the bubble of its test.
type site struct {
	testing.TB
	cloud    *fakeec2.Cloud
	dir      string
	cfg      string // beyond the region
	log      *lines
	accounts *account.Accounts
	hook     atomic.Pointer[hook]      // nil: none; the account's goroutines call it too
	hosts    hosts                     // nil: as the driver has them
	wrap     func(cloud.API) cloud.API // nil: EC2 answers for itself
	owner    drivers.OwnerOf
	wanted   drivers.Wanted // nil: nothing is known
	former   drivers.Former
	sweeps   time.Duration // how often; 0: never, so that nothing else mends what a test is about
	v07      bool          // there are things of v0.7, and the policy for them is given too
}

// hook is called before and after each call of EC2.
type hook func(ctx context.Context, c fakeec2.Call) error

// hookOf has the hook called from now on.
func (s *site) hookOf(h hook) { s.hook.Store(&h) }

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newSite is one of an account with quotas for many, which answers at once.
func newSite(t testing.TB) *site { return newSiteOf(t, fakeec2.Options{Timing: fakeec2.QuickTiming()}) }

func newSiteOf(t testing.TB, opts fakeec2.Options) *site {
	s := &site{TB: t, dir: t.TempDir(), log: &lines{}, accounts: &account.Accounts{}}
	opts.Hook = func(ctx context.Context, c fakeec2.Call) error {
		if h := s.hook.Load(); h != nil {
			return (*h)(ctx, c)
		}
		return nil
	}
	s.cloud = fakeec2.New(opts)
	s.cloud.SetQuota("L-1216C47A", 1000)
	s.cloud.SetQuota("L-34B43A08", 1000)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", s.log)
		}
	})
	return s
}

func (s *site) config(instance string, node model.UID) drivers.Config {
	wanted := s.wanted
	if wanted == nil {
		wanted = func() (map[string]bool, bool) { return nil, false }
	}
	return drivers.Config{
		Wanted: wanted, Former: s.former, Instance: instance, Cfg: []byte(s.configText()), Directory: s.dir, NodeUID: node,
		Owner: s.owner, First: func(string) bool { return true },
		Ask: func(_ context.Context, thing string, _ json.RawMessage) (json.RawMessage, error) {
			return nil, &drivers.AskError{Why: drivers.AskUnreachable, Thing: thing}
		},
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	}
}

// configText has a region, unless the test names another.
func (s *site) configText() string {
	if strings.HasPrefix(s.cfg, "region:") {
		return s.cfg
	}
	return "region: eu-central-1\n" + s.cfg
}

// guarded is an API whose requests have to be allowed by the policy of the examples.
func (s *site) guarded(api cloud.API) cloud.API {
	policy := readPolicy(s, "aws-policy.json")
	if s.v07 {
		policy.Statement = append(policy.Statement, readPolicy(s, "aws-policy-v07.json").Statement...)
	}
	return policytest.Guard(api, policy, s.cloud, func(r policytest.Request) {
		s.Errorf("the policy does not allow %s of %s: %v", r.Action, r.Resource, r.Keys)
	})
}

// open makes an instance as a node does that starts.
func (s *site) open(t testing.TB, instance string, node model.UID) *driver {
	t.Helper()
	api := s.guarded(s.cloud.As(instance))
	if s.wrap != nil {
		api = s.wrap(api)
	}
	o := &opener{accounts: s.accounts, sweepEvery: s.sweeps, dial: func(context.Context, cloud.Settings) (cloud.API, error) { return api, nil }}
	d, err := o.open(t.Context(), s.config(instance, node))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	own := d.(*driver)
	own.ledger.write = replace
	if s.hosts != nil {
		own.hosts = s.hosts
	}
	return own
}

// start is open with a Close at the end of the test.
func (s *site) start(t testing.TB) *driver {
	t.Helper()
	d := s.open(t, "aws", node)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func definition(options string) model.LabelDefinition {
	return model.LabelDefinition{Driver: "aws", Options: json.RawMessage(options), Authentication: &model.Authentication{Username: "ci"}}
}

// plain is the definition of most tests.
func plain() model.LabelDefinition {
	return definition(`{"image": "ci-linux-*", "instance_type": "m5.large"}`)
}

// token is one of the test's choice.
func token(c string) string { return strings.Repeat(c, 32) }

func request(c string, def model.LabelDefinition) drivers.Request {
	return drivers.Request{
		ApplicationUID: uuid.MustParse("aaaaaaaa-2222-4333-8444-555555555555"), Token: token(c), Definition: def,
		Metadata: json.RawMessage(`{"JENKINS_URL": "https://ci", "JENKINS_AGENT_SECRET": "hush-hush"}`), LabelMetadata: json.RawMessage(`{}`),
	}
}

func refTo(req drivers.Request, identifier string) drivers.Ref {
	return drivers.Ref{Token: req.Token, Identifier: identifier, ApplicationUID: req.ApplicationUID, Definition: req.Definition}
}

// within bounds a call of a test in fake time.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// billable are the things that cost money, or will, and are of an environment:
// hosts are of a pool.
func (s *site) billable() []fakeec2.Bill {
	return slices.DeleteFunc(s.cloud.Billable(), func(b fakeec2.Bill) bool { return b.Kind == "host" })
}

// addHosts gives the site a pool of Macs with so many hosts.
func (s *site) addHosts(t testing.TB, n int) *fakeHosts {
	t.Helper()
	s.cloud.SetQuota("L-5D8DADF5", float64(n))
	pool := &fakeHosts{kind: "mac2.metal", zone: s.cloud.Zones()[1]}
	for i := range n {
		id, err := s.cloud.AllocateHost(t.Context(), cloud.HostRequest{ClientToken: fmt.Sprint(i), Type: pool.kind, Zone: pool.zone})
		if err != nil {
			t.Fatal(err)
		}
		pool.ids = append(pool.ids, id)
	}
	s.hosts = pool
	time.Sleep(5 * time.Minute) // until they are there
	return pool
}

// wantNothing fails where something is left that costs money.
func (s *site) wantNothing(t testing.TB) {
	t.Helper()
	for _, b := range s.billable() {
		t.Errorf("%s %s is left: %v", b.Kind, b.ID, b.Tags)
	}
}

// eventually waits for what the fake does by itself.
func eventually(t testing.TB, d time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !is(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("after %v it is not so: %s", d, what)
		}
	}
}

// awaitState waits until a machine is in a state.
func (s *site) awaitState(t testing.TB, id, state string) {
	t.Helper()
	eventually(t, 10*time.Minute, id+" is "+state, func() bool {
		inst, found := s.cloud.Instance(id)
		return found && inst.State == state
	})
}
