package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func clusterStatus(s *shell) *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: "status", Short: "Show the members of the cluster, how they are connected and how they are", Args: cobra.NoArgs,
		Long: `Show the members of the cluster as the node that answers sees them, the links between them, and what is wrong. A link drawn
with === is a bridge: without it the cluster falls apart. SEEN is how long ago a member was heard of, LAG how many of its
changes the node does not have yet, CLOCK how far its clock is ahead, CERT how long its certificate is good for. Who is not
the admin sees members and states only.

With --check the exit code is 6 if something is wrong: a member is gone, the cluster is cut, the node has not caught up, a
member is unhealthy, a clock is off, or a certificate expires within two weeks.`,
		Example: "  aquarium-fish cluster status --check >/dev/null || page-somebody",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			x, err := result(api.ClusterStatusWithResponse(cmd.Context()))
			if err != nil {
				return err
			}
			wrong := troubles(*x, s.Now())
			if err := s.printStatus(*x, wrong); err != nil {
				return err
			}
			if check && len(wrong) > 0 {
				return &Failure{CodeUnhealthy, errors.New(strings.Join(wrong, "; "))}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "end with exit code 6 if something is wrong")
	return c
}

// When a clock or a certificate is wrong enough to tell.
const (
	clockTolerance  = 10 * time.Second // links are refused at a minute
	certificateSoon = 14 * 24 * time.Hour
)

// troubles are what is wrong with the cluster, in words.
func troubles(x apiv1.ClusterStatus, now time.Time) []string {
	list := []string{}
	if !x.Ready {
		list = append(list, "the node that answers has not caught up"+because(x.Reason))
	}
	if n := islands(x); n > 1 {
		list = append(list, fmt.Sprintf("the cluster is cut into %d groups that do not reach each other", n))
	}
	for _, m := range x.Members {
		list = append(list, memberTroubles(m, now)...)
	}
	return list
}

// islands counts the groups, that of the answering node first. A single member
// is none: whether it is cut off or dead nobody knows, and its state tells.
func islands(x apiv1.ClusterStatus) int {
	n := 0
	for i, c := range x.Components {
		if i == 0 || len(c) > 1 {
			n++
		}
	}
	return n
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func memberTroubles(m apiv1.ClusterMember, now time.Time) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, m.Name+" "+fmt.Sprintf(format, args...)) }
	switch m.State {
	case stateRetired:
		return nil
	case stateActive, stateInactive:
	default:
		add("is %s%s", m.State, since(m, now))
		return list
	}
	if !m.Healthy {
		add("is unhealthy: its log tells why")
	}
	if !m.Ready && !m.Self {
		add("has not caught up")
	}
	if c := m.ClockOffsetMs; c != nil {
		if off := time.Duration(*c) * time.Millisecond; off.Abs() > clockTolerance {
			add("has a clock that is off by %v", off)
		}
	}
	if e := m.CertificateExpires; e != nil {
		switch left := e.Sub(now); {
		case left <= 0:
			add("has a certificate that expired at %s", e.Local().Format(time.DateTime))
		case left < certificateSoon:
			add("has a certificate that expires in %s", ahead(now, *e))
		}
	}
	return list
}

// since is for how long a member was not heard of.
func since(m apiv1.ClusterMember, now time.Time) string {
	if m.LastSeen == nil {
		return ""
	}
	return ", heard of " + age(now, *m.LastSeen) + " ago"
}

// ahead is how long a time is away.
func ahead(now, t time.Time) string { return age(t, now) }

// printStatus shows the cluster in the form that the user chose. The table is
// drawn for terminals of 80 columns.
func (s *shell) printStatus(x apiv1.ClusterStatus, wrong []string) error {
	if s.output != outputTable && s.output != "" {
		v := view{Data: x}
		for _, m := range x.Members {
			v.Names = append(v.Names, m.Name)
		}
		return s.print(v)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Cluster %s: %s\n\n", printable(x.UID), summary(x))
	writeTable(&b, []string{"MEMBER", "STATE", "SEEN", "VERSION", "RUNS", "LAG", "CLOCK", "CERT"}, memberRows(x, s.Now()))
	if len(x.Links) > 0 {
		b.WriteString("\nLinks, with their round trips in ms; === is a bridge\n")
		for _, line := range drawLinks(x) {
			b.WriteString(line + "\n")
		}
	}
	for _, note := range notes(x) {
		b.WriteString("\n" + note)
	}
	if len(notes(x)) > 0 {
		b.WriteByte('\n')
	}
	if len(wrong) > 0 {
		b.WriteString("\nWrong\n")
	}
	for _, w := range wrong {
		b.WriteString("  " + printable(w) + "\n")
	}
	if _, err := s.Stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// summary counts the members.
func summary(x apiv1.ClusterStatus) string {
	counts := map[string]int{}
	total := 0
	for _, m := range x.Members {
		counts[m.State]++
		if m.State != stateRetired {
			total++
		}
	}
	parts := []string{count(total, "member")}
	for _, state := range []string{stateActive, stateInactive, stateUnreachable, "stopped", stateRetired} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

// Widths that keep the table within 80 columns.
const (
	nameWidth    = 18
	versionWidth = 12
)

// cut shortens a text for a table.
func cut(text string, columns int) string {
	text = printable(text)
	if cellWidth(text) <= columns {
		return text
	}
	for cellWidth(text) > columns-1 {
		r := []rune(text)
		text = string(r[:len(r)-1])
	}
	return text + "…"
}

func memberRows(x apiv1.ClusterStatus, now time.Time) [][]string {
	var rows [][]string
	for _, m := range x.Members {
		name := cut(m.Name, nameWidth-1)
		if m.Self {
			name += "*"
		}
		row := []string{name, m.State, "", cut(m.Version, versionWidth), fmt.Sprint(m.Applications), fmt.Sprint(m.Lag), "", ""}
		if m.LastSeen != nil {
			row[2] = age(now, *m.LastSeen)
		}
		if c := m.ClockOffsetMs; c != nil {
			row[6] = fmt.Sprintf("%+.1fs", float64(*c)/1000)
		}
		if e := m.CertificateExpires; e != nil {
			row[7] = ahead(now, *e)
		}
		rows = append(rows, row)
	}
	return rows
}

// notes name the members of which there is something to say that is not wrong.
func notes(x apiv1.ClusterStatus) []string {
	var signers, drained, available, list []string
	names := map[string]string{}
	for _, m := range x.Members {
		name := printable(m.Name)
		names[m.UID.String()] = name
		if m.State == stateRetired {
			continue
		}
		if m.Signer {
			signers = append(signers, name)
		}
		if m.Maintenance {
			drained = append(drained, name)
		}
		if m.Safety == "available" {
			available = append(available, name)
		}
	}
	for _, n := range []struct {
		title string
		names []string
	}{{"Hold ca.key", signers}, {"In maintenance", drained}, {"With election.safety available", available}} {
		if len(n.names) > 0 {
			list = append(list, n.title+": "+strings.Join(n.names, ", "))
		}
	}
	for _, o := range x.Ownership {
		owner := names[o.NodeUID.String()]
		if owner == "" {
			owner = "nobody yet"
		}
		list = append(list, fmt.Sprintf("Owner of %s: %s", printable(o.Thing), owner))
	}
	return list
}
