// Package retire decides whether a node may be taken out of its cluster for
// good, and who takes over what it decided. It is pure: it looks at what one
// member sees of the cluster, and says what to store or why not.
//
// To retire a node is a fence that a person puts up: the operator asserts that
// the machine is off. Its key is refused from then on, so what it was to run
// can be granted to others without ever being run twice.
package retire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Ask is what the operator wants.
type Ask struct {
	Node      string // name or UID of who is gone
	Successor string // name or UID; empty: the least loaded one
	// Off are names or UIDs of other members whose machines are off as well and that are to be retired next: nobody has to
	// ask them. Who decides in Node's place waits for their retirement all the same.
	Off []string
	// Force takes the risk that something is run twice: the node itself or
	// another member may be running, and can not be asked.
	Force bool
	By    string // the user who asks
}

// View is the cluster as the member sees it that is asked.
type View struct {
	Self        model.UID
	Members     []status.Member // all, retired ones included
	Retirements []model.Retirement
}

// Plan is what would be done.
type Plan struct {
	Node, Successor status.Member
	// Retirement is what is to be stored; of a node that was retired before, what
	// is stored.
	Retirement model.Retirement
	// Already: the node was retired before, and nothing is to be done.
	Already bool
	// Unasked are the other members that can not be asked what they know.
	Unasked []string
	// Running: the node itself can be reached.
	Running bool
}

// Refusal is why a node is not retired; its text says what to do.
type Refusal struct {
	Message string
	Unknown bool // there is no such node
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

func refuse(format string, args ...any) error { return &Refusal{Message: fmt.Sprintf(format, args...)} }

// Decide says what to store so that the node is retired. Any error is a
// *Refusal.
func Decide(ask Ask, v View) (Plan, error) {
	node, ok := status.Find(v.Members, ask.Node)
	if !ok {
		return Plan{}, v.unknown(ask.Node)
	}
	if r, retired := model.Retired(node.UID, v.Retirements); retired {
		return v.again(ask, node, r)
	}
	if node.UID == v.Self {
		return Plan{}, refuse("%s is the node that answers, which runs: ask another member to retire it, once it is off", node.Name)
	}
	off, err := v.off(ask.Off)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Node: node, Running: node.Reachable(), Unasked: v.unasked(append(off, node.UID))}
	if p.Successor, err = v.successor(ask.Successor, node); err != nil {
		return Plan{}, err
	}
	if err := p.risk(ask.Force); err != nil {
		return Plan{}, err
	}
	p.Retirement = model.Retirement{
		NodeUID: node.UID, Successor: p.Successor.UID, Forced: p.Running || len(p.Unasked) > 0, By: ask.By,
	}
	return p, nil
}

// risk refuses what may run something twice, unless that is wanted.
func (p Plan) risk(force bool) error {
	switch {
	case force:
		return nil
	case p.Running:
		return refuse("%s can be reached, so it runs: to retire a node says that its machine is off. Switch it off first; if it was stolen, or can not "+
			"be switched off: --force, and what it was to run may then run twice", p.Node.Name)
	case len(p.Unasked) > 0:
		return refuse("%s can not be reached and may know what %s had decided: bring them back and try again; or, if their machines are off for good too, "+
			"retire all in one command; or --force, and something may then run twice", strings.Join(p.Unasked, ", "), p.Node.Name)
	}
	return nil
}

// again is the answer about a node that was retired before: the same, as long
// as the same is wanted.
func (v View) again(ask Ask, node status.Member, r model.Retirement) (Plan, error) {
	p := Plan{Node: node, Retirement: r, Already: true, Successor: status.Member{UID: r.Successor, Name: r.Successor.String()}}
	if m, ok := find(v.Members, r.Successor); ok {
		p.Successor = m
	}
	if ask.Successor == "" {
		return p, nil
	}
	if wanted, ok := status.Find(v.Members, ask.Successor); !ok || wanted.UID != r.Successor {
		return Plan{}, refuse("%s was retired before, and %s is its successor, which stays so: retire that one too if it is gone", node.Name, p.Successor.Name)
	}
	return p, nil
}

func (v View) unknown(ref string) error {
	return &Refusal{Unknown: true, Message: fmt.Sprintf("There is no member %q in the cluster, there are: %s", short(ref), strings.Join(v.names(), ", "))}
}

// short cuts what a client sent to what its own message needs of it.
func short(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// names are those of the members that are not retired.
func (v View) names() []string {
	var names []string
	for _, m := range v.Members {
		if !v.retired(m) {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (v View) retired(m status.Member) bool {
	_, retired := model.Retired(m.UID, v.Retirements)
	return retired || m.State == status.StateRetired
}

// off are the members that are said to be off: those that can be reached are not.
func (v View) off(refs []string) ([]model.UID, error) {
	var off []model.UID
	for _, ref := range refs {
		m, ok := status.Find(v.Members, ref)
		switch {
		case !ok:
			return nil, v.unknown(ref)
		case m.UID == v.Self || m.Reachable():
			return nil, refuse("%s can be reached, so it runs: to retire a node says that its machine is off", m.Name)
		}
		off = append(off, m.UID)
	}
	return off, nil
}

// unasked are the members that can not be asked, but for the node.
func (v View) unasked(off []model.UID) []string {
	var names []string
	for _, m := range v.Members {
		if !slices.Contains(off, m.UID) && m.UID != v.Self && !v.retired(m) && !m.Reachable() {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// successor is the member that is named, or the one that has the least to do.
func (v View) successor(ref string, node status.Member) (status.Member, error) {
	if ref == "" {
		if m, ok := v.idlest(node.UID); ok {
			return m, nil
		}
		return status.Member{}, refuse("no member is there that could take over from %s: try again when one is, or name one (--successor)", node.Name)
	}
	m, ok := status.Find(v.Members, ref)
	switch {
	case !ok:
		return m, v.unknown(ref)
	case m.UID == node.UID:
		return m, refuse("%s can not be its own successor: name another member, or none", m.Name)
	case v.retired(m):
		return m, refuse("%s was retired itself: name another successor, or none", m.Name)
	case m.UID != v.Self && !m.Reachable():
		return m, refuse("%s can not be reached, and what waits would wait for it: name a successor that is there, or none", m.Name)
	}
	return m, nil
}

// idlest is the successor where none is named: a member whose vote counts
// before one in maintenance, then the one that runs least, then by the hash of
// both, so that several retired nodes do not all go to the same one.
func (v View) idlest(node model.UID) (status.Member, bool) {
	var fit []status.Member
	for _, m := range v.Members {
		if m.UID != node && !v.retired(m) && (m.Reachable() || m.UID == v.Self) {
			fit = append(fit, m)
		}
	}
	if len(fit) == 0 {
		return status.Member{}, false
	}
	return slices.MinFunc(fit, func(a, b status.Member) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Applications, b.Applications),
			bytes.Compare(rendezvous(node, a.UID), rendezvous(node, b.UID)),
		)
	}), true
}

func rank(m status.Member) int {
	if m.State == status.StateActive {
		return 0
	}
	return 1
}

// rendezvous is the highest random weight, turned round: the lowest wins.
func rendezvous(a, b model.UID) []byte {
	sum := sha256.Sum256(append(a[:], b[:]...))
	return sum[:]
}

func find(members []status.Member, uid model.UID) (status.Member, bool) {
	i := slices.IndexFunc(members, func(m status.Member) bool { return m.UID == uid })
	if i < 0 {
		return status.Member{}, false
	}
	return members[i], true
}
