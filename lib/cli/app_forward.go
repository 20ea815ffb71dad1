package cli

import (
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// appForward runs ssh for its port forwarding alone.
func appForward(s *shell) *cobra.Command {
	f := &sshFlags{}
	var remote, dynamic []string
	c := &cobra.Command{
		Use: "forward UID [LOCAL:]REMOTE...", Short: "Reach ports of the environment of an application, or let it reach yours",
		Long: `Reach ports of the environment of an application through the SSH proxy, by your own ssh, until it is interrupted.

LOCAL is where to listen here: a port, or ADDRESS:PORT, by default the port of REMOTE, on the loopback address. REMOTE is
where it leads: a port of the environment, or HOST:PORT of what the environment reaches. With --reverse it is the other way
around: the first is a port that the environment opens, the second leads to here. An IPv6 address stands in brackets.

It ends at once if a port can not be opened, and within a minute after the environment is gone. Once all ports of this side
are open it prints a line.

ssh reads none of your config files, as with 'app ssh'.`,
		Example: `  aquarium-fish app forward UID 8080
  aquarium-fish app forward UID 5900 9222:localhost:9222
  aquarium-fish app forward UID 0.0.0.0:8080:80
  aquarium-fish app forward UID --reverse 3128:proxy.lab:3128
  aquarium-fish app forward UID --dynamic 1080`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := s.forwards(args[1:], remote, dynamic)
			if err != nil {
				return err
			}
			return s.ssh(cmd, f, args[:1], append(f.arguments(), options...))
		},
	}
	f.register(c)
	c.Flags().StringArrayVarP(&remote, "reverse", "R", nil, "[REMOTE:]LOCAL that the environment reaches; may be repeated")
	c.Flags().StringArrayVarP(&dynamic, "dynamic", "D", nil, "[ADDRESS:]PORT of a SOCKS proxy into the environment; may be repeated")
	return c
}

// readyCommand is run by ssh once its own ports are open, by whatever shell the user has.
const readyCommand = "LocalCommand=echo forwarding, interrupt it to end"

// loopback is where ports of this side are opened by default. ssh would open them on ::1 alone, without a word, where
// somebody has the port of 127.0.0.1.
const loopback = "127.0.0.1"

// forwards are the options of ssh for the ports.
func (s *shell) forwards(local, remote, dynamic []string) ([]string, error) {
	if len(local)+len(remote)+len(dynamic) == 0 {
		return nil, usagef("want a port, such as 8080 or 8080:localhost:80")
	}
	options := []string{"-N", "-o", "ExitOnForwardFailure=yes", "-o", "PermitLocalCommand=yes", "-o", readyCommand}
	for _, text := range local {
		p, err := parseForward(text)
		if err != nil {
			return nil, err
		}
		if p.bind == "" {
			p.bind = loopback
		}
		s.note("%s here leads to %s of the environment", p.from(), p.to())
		options = append(options, "-L", p.String())
	}
	for _, text := range remote {
		p, err := parseForward(text)
		if err != nil {
			return nil, err
		}
		s.note("%s of the environment leads to %s here", p.from(), p.to())
		options = append(options, "-R", p.String())
	}
	for _, text := range dynamic {
		parts := splitColons(text)
		if len(parts) > 2 || !isPort(parts[len(parts)-1]) || slices.Contains(parts, "") {
			return nil, usagef("%q: want [ADDRESS:]PORT", text)
		}
		s.note("%s here is a SOCKS proxy into the environment", text)
		options = append(options, "-D", text)
	}
	return options, nil
}

// portForward is one port that leads elsewhere. Addresses of IPv6 are in brackets.
type portForward struct {
	bind   string // empty for the default
	listen string
	host   string
	port   string
}

// parseForward reads [FROM:]TO.
func parseForward(text string) (portForward, error) {
	parts := splitColons(text)
	f, ok := forwardOf(parts)
	if !ok || slices.Contains(parts, "") || !isPort(f.listen) || !isPort(f.port) || strings.ContainsFunc(f.bind+f.host, notOfForward) {
		return f, usagef("%q: want PORT, HOST:PORT, PORT:PORT or [ADDRESS:]PORT:HOST:PORT", text)
	}
	return f, nil
}

// forwardOf tells what each part is. Where the first is a port it is the one to listen on.
func forwardOf(parts []string) (f portForward, ok bool) {
	const self = "localhost"
	first, port := isPort(parts[0]), parts[len(parts)-1]
	switch {
	case len(parts) == 1:
		f = portForward{listen: port, host: self}
	case len(parts) == 2 && first:
		f = portForward{listen: parts[0], host: self}
	case len(parts) == 2:
		f = portForward{listen: port, host: parts[0]}
	case len(parts) == 3 && first:
		f = portForward{listen: parts[0], host: parts[1]}
	case len(parts) == 3:
		f = portForward{bind: parts[0], listen: parts[1], host: self}
	case len(parts) == 4:
		f = portForward{bind: parts[0], listen: parts[1], host: parts[2]}
	default:
		return f, false
	}
	f.port = port
	return f, true
}

// notOfForward reports whether a rune is in no host, nor around one.
func notOfForward(r rune) bool { return notOfHost(r) && !strings.ContainsRune("[]*", r) }

// splitColons splits at colons outside of brackets.
func splitColons(text string) []string {
	var parts []string
	depth, start := 0, 0
	for i, r := range text {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ':' && depth == 0:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

// String is the forward as ssh takes it.
func (f portForward) String() string {
	text := f.listen + ":" + f.host + ":" + f.port
	if f.bind != "" {
		text = f.bind + ":" + text
	}
	return text
}

func (f portForward) from() string {
	if f.bind == "" {
		return "port " + f.listen
	}
	return net.JoinHostPort(strings.Trim(f.bind, "[]"), f.listen)
}

func (f portForward) to() string { return net.JoinHostPort(strings.Trim(f.host, "[]"), f.port) }
