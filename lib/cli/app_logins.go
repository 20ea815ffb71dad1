package cli

import (
	"net"

	"github.com/spf13/cobra"
)

// appLogins shows who got into an environment.
func appLogins(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "logins UID", Short: "Show who got into the environment of an application by SSH", Args: cobra.ExactArgs(1),
		Long: `Show who got into the environment of an application through the SSH proxy, the oldest first. The host key that the environment
showed the first of them, which is expected of it from then on, is told on stderr, and in the forms json and yaml. Once the
environment is gone the audit has it: 'aquarium-fish audit list --action ssh.open' of an admin.`,
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "an application", args[0])
			if err != nil {
				return err
			}
			r, err := resourceAt(cmd.Context(), api, uid)
			if err != nil {
				return err
			}
			ssh, err := result(api.ResourceSSHGetWithResponse(cmd.Context(), r.UID))
			if err != nil {
				return err
			}
			v := view{Data: ssh, Header: []string{"USER", "FROM", "BY NODE", "AGE", "SESSION"}, Empty: "nobody yet"}
			for _, u := range ssh.Uses {
				v.Names = append(v.Names, u.SessionUID.String())
				v.Rows = append(v.Rows, []string{u.Username, u.Address, u.NodeName, age(s.Now(), u.UsedAt), u.SessionUID.String()})
			}
			if ssh.Fingerprint != "" && (s.output == outputTable || s.output == "") {
				s.note("host key %s", printable(ssh.Fingerprint))
			}
			return s.print(v)
		},
	}
}

// nodeSSH shows where the SSH proxy of a node is.
func nodeSSH(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "ssh [NODE]", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeNode,
		Short: "Show address and host key of a node's SSH proxy, of the one that answers by default",
		Long: `Show address and host key of a node's SSH proxy, of the one that answers by default. With -o name it is a line for
~/.ssh/known_hosts.`,
		Example: `  aquarium-fish node ssh -o name >> ~/.ssh/known_hosts`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := s.one(cmd.Context(), args)
			if err != nil {
				return err
			}
			ssh, err := m.ssh(cmd.Context())
			if err != nil {
				return err
			}
			return s.print(view{Data: ssh, Names: []string{knownHost(ssh.Address) + " " + ssh.HostKey}, Rows: [][]string{
				{"Address", ssh.Address}, {"Fingerprint", ssh.Fingerprint}, {"Host key", ssh.HostKey},
			}})
		},
	}
}

// knownHost is how known_hosts names an address.
func knownHost(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && port == "22" {
		return host
	}
	return "[" + host + "]:" + port
}
