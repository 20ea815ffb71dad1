package pools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/policytest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var (
	alpha = uuid.MustParse("11111111-2222-4333-8444-555555555555")
	beta  = uuid.MustParse("22222222-2222-4333-8444-555555555555")
)

const (
	macs      = "mac2.metal"
	macsQuota = "L-5D8DADF5"
	thing     = "aws/eu-central-1/mac"
)

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

// keep forgets all but so many bytes.
func (l *lines) keep(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Next(max(0, l.buf.Len()-most))
}

// site is an account of the fake, and the nodes that share its pool. It is made
// in the bubble of its test.
type site struct {
	testing.TB
	cloud *fakeec2.Cloud
	log   *lines
	zones []string

	mu    sync.Mutex
	owner model.UID
	first bool                 // as drivers.Config.First has it
	cut   map[model.UID]bool   // nodes that nobody reaches
	up    map[model.UID]*Pools // nodes that answer
	full  bool                 // the disks
	dirs  map[model.UID]string
	hook  func(ctx context.Context, c fakeec2.Call) error
	wrote func() error   // before a file is written
	asked map[string]int // calls of nodes by action, those that nobody answered too
}

func newSite(t testing.TB, opts fakeec2.Options) *site {
	s := &site{TB: t, log: &lines{}, owner: alpha, cut: map[model.UID]bool{}, up: map[model.UID]*Pools{}, dirs: map[model.UID]string{}, first: true,
		asked: map[string]int{}}
	opts.Hook = func(ctx context.Context, c fakeec2.Call) error {
		s.mu.Lock()
		hook := s.hook
		if c.Who != "" && !c.After {
			s.asked[c.Action]++
		}
		s.mu.Unlock()
		if hook == nil {
			return nil
		}
		return hook(ctx, c)
	}
	s.cloud = fakeec2.New(opts)
	s.cloud.SetQuota(macsQuota, 100)
	s.zones = s.cloud.Zones()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", s.log)
		}
	})
	return s
}

// quick is an account in which everything happens at once but what is a rule.
func quick() fakeec2.Options {
	timing := fakeec2.QuickTiming()
	timing.Scrub = fakeec2.Fixed(time.Hour)
	return fakeec2.Options{Timing: timing}
}

// macPool is the pool of most tests.
func macPool(change ...func(*Pool)) Pool {
	p := Pool{
		Config: pool.Config{Name: "mac", Type: macs, Zones: []string{"eu-central-1a", "eu-central-1b"}, Max: 2, MinAge: pool.MacMinAge},
		Thing:  thing,
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

// options are those of a node.
func (s *site) options(node model.UID, configured ...Pool) Options {
	if s.dirs[node] == "" {
		s.dirs[node] = s.TempDir()
	}
	for i := range configured {
		configured[i].Origin = node.String() + "/aws"
	}
	prices, err := price.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return Options{
		API: s.guard(s.cloud.As(node.String())), Purse: purse{}, Pools: configured, Node: node, Instance: "aws", Prices: prices,
		Directory: filepath.Join(s.dirs[node], "pools"),
		Owner: func(string) model.UID {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.owner
		},
		First: func(string) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.first
		},
		Ask: func(ctx context.Context, thing string, body json.RawMessage) (json.RawMessage, error) {
			return s.ask(ctx, node, thing, body)
		},
		Logger: slog.New(slog.NewTextHandler(s.log, nil)).With("node", node.String()[:4]), put: s.put,
	}
}

// guard is an API that the example of a policy has to allow.
func (s *site) guard(api cloud.API) cloud.API {
	policy := policytest.Read(s, "../../../examples/aws-policy.json")
	return policytest.Guard(api, policy, s.cloud, func(r policytest.Request) {
		s.Errorf("examples/aws-policy.json does not allow %s on %s with %v", r.Action, r.Resource, r.Keys)
	})
}

// put writes a file without waiting for the disk, unless that is full.
func (s *site) put(path string, data []byte, mode fs.FileMode) error {
	s.mu.Lock()
	full, wrote := s.full, s.wrote
	s.mu.Unlock()
	if full {
		return errors.New("no space left on device")
	}
	if wrote != nil {
		if err := wrote(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// ask is the cluster: it brings a question to the owner.
func (s *site) ask(ctx context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, drivers.AskTimeout)
	defer cancel()
	s.mu.Lock()
	owner := s.owner
	there, cut := s.up[owner], s.cut[owner] || s.cut[from]
	s.mu.Unlock()
	switch {
	case owner == model.NilUID:
		return nil, &drivers.AskError{Why: drivers.AskNoOwner, Thing: thing}
	case cut || there == nil:
		return nil, &drivers.AskError{Why: drivers.AskUnreachable, Thing: thing, Owner: owner}
	}
	answer, err := there.Answer(ctx, from, thing, body)
	if refused, ok := errors.AsType[*drivers.AskRefusedError](err); ok {
		return nil, refused
	}
	if err != nil {
		return nil, &drivers.AskError{Why: drivers.AskUnsure, Thing: thing, Owner: owner, Err: err}
	}
	return answer, nil
}

// change changes what the site shares.
func (s *site) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

// start starts a node's pools; the end of the test ends them.
func (s *site) start(node model.UID, configured ...Pool) *Pools {
	s.Helper()
	return s.startWith(s.options(node, configured...))
}

func (s *site) startWith(opts Options) *Pools {
	s.Helper()
	p, err := New(opts)
	if err != nil {
		s.Fatalf("New: %v", err)
	}
	s.change(func() { s.up[opts.Node] = p })
	s.Cleanup(p.Close)
	return p
}

// purse pays for everything.
type purse struct{}

func (purse) Reserve(string, string) error         { return nil }
func (purse) Assume(string, string)                {}
func (purse) Release(string)                       {}
func (purse) Left(string) (n int, why string)      { return drivers.Unlimited, "" }
func (purse) Failed(string, string, string, error) {}

// reserve reserves a host, which has to be had in time.
func (s *site) reserve(p *Pools, token string, within time.Duration) (host, zone string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), within)
	defer cancel()
	host, zone, err := p.Reserve(ctx, "mac", token, nil)
	if err != nil {
		s.Fatalf("Reserve(%s) = %v", token, err)
	}
	return host, zone
}

// launch starts a machine on a host, as the driver does.
func (s *site) launch(p *Pools, token, host, zone string) (id string) {
	s.Helper()
	inst, err := s.cloud.RunInstance(s.Context(), s.machine(token, host, zone))
	if err != nil {
		s.Fatalf("launch on %s: %v", host, err)
	}
	p.Launched(s.Context(), "mac", token, inst.ID)
	return inst.ID
}

// likes are launches by zone, to be made into one of a token.
func (s *site) likes() map[string]cloud.Launch {
	all := map[string]cloud.Launch{}
	for _, zone := range s.zones {
		all[zone] = s.machine("", "", zone)
	}
	return all
}

// on is the launch on a host for a token.
func on(like cloud.Launch, token, host string) cloud.Launch {
	like.ClientToken, like.HostID = token, host
	like.Tags = cloud.Tags{cloud.TagToken: token, cloud.TagPurpose: cloud.PurposeWork}
	return like
}

func (s *site) machine(token, host, zone string) cloud.Launch {
	images, err := s.cloud.Images(s.Context(), []string{"self"}, cloud.Where("name", "ci-mac-2026"))
	if err != nil || len(images) != 1 {
		s.Fatalf("images: %v, %v", images, err)
	}
	subnets, err := s.cloud.Subnets(s.Context(), cloud.Where("availability-zone", zone))
	if err != nil || len(subnets) == 0 {
		s.Fatalf("subnets in %s: %v, %v", zone, subnets, err)
	}
	return on(cloud.Launch{ImageID: images[0].ID, Type: macs, SubnetID: subnets[0].ID}, token, host)
}

// end ends a machine, as the driver does.
func (s *site) end(p *Pools, token, id string) {
	s.Helper()
	if err := s.cloud.TerminateInstances(s.Context(), []string{id}); err != nil {
		s.Fatalf("terminate: %v", err)
	}
	p.Released(s.Context(), "mac", token)
}

// hosts are those that the account pays for, or will.
func (s *site) hosts() (ids []string) {
	for _, b := range s.cloud.Billable() {
		if b.Kind == "host" {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// machines are those that are there, for a purpose; all if that is empty.
func (s *site) machines(purpose string) (ids []string) {
	for _, b := range s.cloud.Billable() {
		if b.Kind == "instance" && (purpose == "" || b.Tags[cloud.TagPurpose] == purpose) {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// phase is in which phase a pool has a host; empty if it does not have it.
func (s *site) phase(p *Pools, host string) string {
	for _, v := range p.Pools(s.Context()) {
		for _, h := range v.Hosts {
			if h.ID == host {
				return h.Phase
			}
		}
	}
	return ""
}

// eventually waits for what happens by itself. It looks each second, and less
// often where it waits for long.
func (s *site) eventually(d time.Duration, what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(d); !is(); time.Sleep(max(time.Second, d/2000)) {
		if time.Now().After(end) {
			s.Fatalf("after %v it is not so: %s", d, what)
		}
	}
}

// never fails where something is so within a time.
func (s *site) never(d time.Duration, what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		if is() {
			s.Fatalf("it is so: %s", what)
		}
	}
}

func (s *site) wantLog(words ...string) {
	s.Helper()
	for _, w := range words {
		if !strings.Contains(s.log.String(), w) {
			s.Errorf("the log does not say %q", w)
		}
	}
}

// audit fails where a rule was ever broken that holds at every moment: no more
// hosts than there may be, one machine on a host.
func (s *site) audit(most int) {
	s.Helper()
	type change struct {
		at    time.Time
		delta int
	}
	var hosts []change
	for _, b := range s.cloud.Bills() {
		if b.Kind != "host" {
			continue
		}
		hosts = append(hosts, change{b.Since, 1})
		if !b.Until.IsZero() {
			hosts = append(hosts, change{b.Until, -1})
		}
	}
	slices.SortStableFunc(hosts, func(a, b change) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.delta - b.delta
	})
	n := 0
	for _, c := range hosts {
		if n += c.delta; n > most {
			s.Errorf("at %s there were %d hosts, and may be %d", c.at.Format(time.RFC3339), n, most)
			return
		}
	}
	for _, id := range s.hosts() {
		if h, _ := s.cloud.Host(id); len(h.Instances) > 1 {
			s.Errorf("on host %s there are %v", id, h.Instances)
		}
	}
}

func token(n int) string { return fmt.Sprintf("%032x", n) }
