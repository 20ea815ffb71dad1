package awscli

import (
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// span is a time in its two largest units, as far as they tell something.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d/day), int(d%day/time.Hour))
}

// since is how long ago a time is.
func since(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(now.Sub(t))
}

// until is when something may be done; empty where nobody can say.
func until(t, now time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case !t.After(now):
		return "now"
	}
	return "in " + span(t.Sub(now))
}

// usd is money; what nobody knows is not 0.
func usd(amount *float64) string {
	if amount == nil {
		return "?"
	}
	return fmt.Sprintf("%.2f", *amount)
}

// nodes are the names of nodes by their UID.
type nodes map[string]string

// name is what a node is called; the UID of one that is no member.
func (n nodes) name(uid string) string {
	if name := n[uid]; name != "" {
		return name
	}
	return uid
}

// owner is whose a thing is.
func (n nodes) owner(o view.Owner) string {
	text := strings.TrimSpace(n.name(o.Node) + " " + o.Instance)
	switch {
	case o.Retired:
		text += " (retired node)"
	case o.Former:
		text += " (not configured)"
	}
	return text
}

// purpose is what a thing is for.
func purpose(o view.Owner) string {
	switch {
	case o.Task != "":
		return "task " + o.Task
	case o.Application != "":
		return "app " + o.Application
	case o.Pool != "":
		return strings.TrimSpace("pool " + o.Pool + " " + strings.TrimPrefix(o.Purpose, "pool"))
	}
	return o.Purpose
}

// what is the type of a thing, and how large it is.
func what(t view.Thing) string {
	if t.SizeGB == 0 {
		return t.Type
	}
	return strings.TrimSpace(fmt.Sprintf("%s %dGB", t.Type, t.SizeGB))
}

// column puts a cell before each row where there are several instances to tell apart.
func column(several bool, cell string, row ...string) []string {
	if several {
		return append([]string{cell}, row...)
	}
	return row
}
