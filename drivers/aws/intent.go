package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// intentVersion is what this process writes. What a later one wrote is not
// understood, and so is left to it.
const intentVersion = 1

// intent is all that is known of what was, or may have been, asked of EC2 for a
// token. It is on the disk before the first request, and goes after the last
// thing that came of it. It holds userdata, so only the node's user reads it.
type intent struct {
	Version     int       `json:"version"`
	Token       string    `json:"token"`
	Node        model.UID `json:"node"`
	Instance    string    `json:"instance"`
	Account     string    `json:"account"`
	Region      string    `json:"region"`
	Application model.UID `json:"application"`
	Created     time.Time `json:"created"`

	// Pool is whose host it is on; empty: on none.
	Pool string `json:"pool,omitempty"`
	// Launch is what the requests of all attempts have in common.
	Launch cloud.Launch `json:"launch"`
	// DiskTags are put on disks once they are there, by device.
	DiskTags map[string]cloud.Tags `json:"disk_tags,omitempty"`
	// Candidates are tried in this order; of a pool each is found when it is its turn.
	Candidates []candidate `json:"candidates,omitempty"`
	Next       int         `json:"next,omitempty"` // of Candidates, not of a pool
	Attempts   []attempt   `json:"attempts,omitempty"`
	// Marked: the DiskTags are on the disks.
	Marked bool `json:"marked,omitempty"`
	// Ending: it is being removed, and nothing is sent any more.
	Ending bool `json:"ending,omitempty"`
	// Still says that the machine is stopped on purpose, or is about to be: that
	// is no end then. Woken is when it ran again after that.
	Still still     `json:"still,omitempty"`
	Woken time.Time `json:"woken,omitzero"`

	// unread is when a file was written that can not be understood: what was
	// sent is not known, but it was before.
	unread time.Time
}

// candidate is where and how a machine may be had.
type candidate struct {
	Type   string   `json:"type"`
	Zone   string   `json:"zone"`
	Subnet string   `json:"subnet"`
	Groups []string `json:"groups,omitempty"` // security groups, of the subnet's VPC
	Host   string   `json:"host,omitempty"`   // of a pool
	Spot   bool     `json:"spot,omitempty"`
}

// quota names the quota that the candidate counts to, or itself where that is
// not known.
func (c candidate) quota() string {
	if code, known := account.QuotaCode(c.Type, c.Spot); known {
		return code
	}
	return fmt.Sprint(c.Type, c.Spot)
}

// attempt is one request. Repeated, it is the same byte by byte.
type attempt struct {
	candidate
	ClientToken string    `json:"client_token"`
	Sent        time.Time `json:"sent"` // the last time
	Answer      answer    `json:"answer,omitempty"`
	InstanceID  string    `json:"instance_id,omitempty"` // with answerMade
}

// answer is what is known of an attempt.
type answer string

const (
	// answerNone: it may have been done.
	answerNone answer = ""
	// answerLater: it was not done, for certain, and will be sent once more.
	answerLater answer = "later"
	// answerMade: there is an instance, or was.
	answerMade answer = "made"
	// answerRefused: it was not done, for certain.
	answerRefused answer = "refused"
	// answerGone: what came of it, if anything, is gone for good.
	answerGone answer = "gone"
)

// open reports whether something may exist because of the attempt.
func (a attempt) open() bool { return a.Answer == answerNone || a.Answer == answerMade }

// reaches is an error where an intent is of another account or region than this
// instance is configured for now: what it tells of can be neither seen nor
// removed, and so is neither there nor gone.
func (d *driver) reaches(in *intent) error {
	if !in.unread.IsZero() || in.Account == d.account && in.Region == d.settings.Region {
		return nil
	}
	return fmt.Errorf("it was made in account %s, region %s, and the instance is configured for %s, %s: configure it as it was until it is gone",
		in.Account, in.Region, d.account, d.settings.Region)
}

// last is the newest attempt; nil if none was made.
func (in *intent) last() *attempt {
	if len(in.Attempts) == 0 {
		return nil
	}
	return &in.Attempts[len(in.Attempts)-1]
}

// instanceID is the environment's machine; empty while none is known.
func (in *intent) instanceID() string {
	if a := in.last(); a != nil && a.Answer == answerMade {
		return a.InstanceID
	}
	return ""
}

// marked reports whether all disks have their tags.
func (in *intent) marked() bool { return in.Marked || len(in.DiskTags) == 0 }

// request is what an attempt sends.
func (in *intent) request(a attempt) cloud.Launch {
	l := in.Launch
	l.ClientToken, l.Type, l.SubnetID, l.SecurityGroupIDs, l.HostID, l.Spot = a.ClientToken, a.Type, a.Subnet, a.Groups, a.Host, a.Spot
	return l
}

// clientToken is that of an attempt: one that goes to another zone, or is
// another try, never shares it (EC2's tokens are of a zone). It follows from the
// allocation's token, so that what a lost intent had sent is sent again alike.
func clientToken(token string, n int, c candidate) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{token, fmt.Sprint(n), c.Zone, c.Type, c.Host, fmt.Sprint(c.Spot)}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// ledger keeps the intents of one instance, one file each.
type ledger struct {
	dir  string
	mine func(intent) bool // whether it is of this node and instance
	// born is when the folder was made: what an earlier one held is not known.
	born time.Time

	// write and remove are durable's, but in tests, which end the process there.
	write  func(path string, data []byte, mode fs.FileMode) error
	remove func(path string) error
}

// bornFile holds when the folder was made.
const bornFile = "born"

// openLedger opens the folder of an instance, and makes it if it is not there.
func openLedger(directory, instance string, node model.UID, now time.Time) (*ledger, error) {
	l := &ledger{
		dir:   filepath.Join(directory, "fish_aws", url.PathEscape(instance)),
		mine:  func(in intent) bool { return in.Node == node && in.Instance == instance },
		write: durable.WriteFile, remove: durable.Remove,
	}
	path := filepath.Join(l.dir, bornFile)
	data, err := os.ReadFile(path)
	if err == nil {
		if l.born, err = time.Parse(time.RFC3339Nano, strings.TrimSpace(string(data))); err == nil && !l.born.After(now) {
			return l, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the folder of intents: %w", err)
	}
	l.born = now
	if err := l.write(path, []byte(now.UTC().Format(time.RFC3339Nano)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("make the folder of intents: %w", err)
	}
	return l, nil
}

func (l *ledger) path(token string) string { return filepath.Join(l.dir, token+".json") }

// save writes an intent for good. Whoever sends something does it first.
func (l *ledger) save(in *intent) error {
	if !isToken(in.Token) {
		return fmt.Errorf("token %q is not of 32 hex digits", in.Token)
	}
	data, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write intent: %w", err)
	}
	if err := l.write(l.path(in.Token), data, 0o600); err != nil {
		return fmt.Errorf("write intent: %w", err)
	}
	return nil
}

// forget removes an intent. Whoever does has made sure that nothing is left.
func (l *ledger) forget(token string) error {
	if err := l.remove(l.path(token)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove intent: %w", err)
	}
	return nil
}

// load reads the intent of a token. One that can not be understood is an
// intent of which nothing is known but that it is there, and since when.
func (l *ledger) load(token string) (in *intent, found bool, err error) {
	if !isToken(token) {
		return nil, false, nil
	}
	data, err := os.ReadFile(l.path(token))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read intent: %w", err)
	}
	in = &intent{}
	if err := json.Unmarshal(data, in); err == nil && in.Version == intentVersion && in.Token == token {
		return in, l.mine(*in), nil
	}
	in = &intent{Version: intentVersion, Token: token}
	info, err := os.Stat(l.path(token))
	if err != nil {
		return nil, false, fmt.Errorf("read intent: %w", err)
	}
	in.unread = info.ModTime()
	return in, true, nil
}

// tokens are those of all intents, sorted.
func (l *ledger) tokens() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of intents: %w", err)
	}
	var tokens []string
	for _, e := range entries {
		if token, ok := strings.CutSuffix(e.Name(), ".json"); ok && isToken(token) {
			tokens = append(tokens, token)
		}
	}
	slices.Sort(tokens)
	return tokens, nil
}

// doubt is until when something may appear that the intents do not tell of: a
// folder that was made anew may have had others before.
func (l *ledger) doubt() time.Time { return l.born.Add(cloud.Settled) }
