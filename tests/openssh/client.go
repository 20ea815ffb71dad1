//go:build linux

package openssh

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Login is how somebody comes in somewhere: with the key or with the password,
// whichever is set.
type Login struct {
	Address  string // host:port
	User     string
	KeyFile  string
	Password string
}

// Host is a name that a command line may use for a login.
type Host struct {
	Name string
	Login
	// Config are lines of ssh_config for it that win over those of this package.
	Config []string
}

// Client runs OpenSSH's programs. Its methods may be called by several
// goroutines.
type Client struct {
	dir     string
	configs atomic.Int64
}

// askpass answers all questions with what the environment says.
const askpass = "#!/bin/sh\nprintf '%s\\n' \"$OPENSSH_TEST_PASSWORD\"\n"

// NewClient makes a client with a home of its own in an existing folder. It
// trusts each server's key at first sight, and from then on no other.
func NewClient(dir string) (*Client, error) {
	if err := os.WriteFile(filepath.Join(dir, "askpass"), []byte(askpass), 0o700); err != nil {
		return nil, fmt.Errorf("make home of SSH client: %w", err)
	}
	return &Client{dir: dir}, nil
}

// Command is ssh, scp or sftp for the hosts, which its arguments name. At most
// one of them has a password.
func (c *Client) Command(ctx context.Context, hosts []Host, program string, args ...string) (*exec.Cmd, error) {
	var config strings.Builder
	password := ""
	for _, h := range hosts {
		lines, err := c.config(h)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&config, "Host %s\n  %s\n", h.Name, strings.Join(lines, "\n  "))
		password += h.Password
	}
	file := filepath.Join(c.dir, fmt.Sprintf("config%d", c.configs.Add(1)))
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		return nil, fmt.Errorf("write config of SSH client: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-F", file}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TERM=xterm", "LANG=C",
		"SSH_ASKPASS=" + filepath.Join(c.dir, "askpass"), "SSH_ASKPASS_REQUIRE=force", "OPENSSH_TEST_PASSWORD=" + password,
	}
	return cmd, nil
}

// config is the host's part of ssh_config, of which the first line of a key
// wins.
func (c *Client) config(h Host) ([]string, error) {
	host, port, err := net.SplitHostPort(h.Address)
	if err != nil {
		return nil, fmt.Errorf("address of SSH server: %w", err)
	}
	lines := append([]string{}, h.Config...)
	lines = append(lines, "HostName "+host, "Port "+port, "User "+h.User, "IdentityAgent none", "IdentitiesOnly yes",
		"UserKnownHostsFile "+filepath.Join(c.dir, "known_hosts"), "GlobalKnownHostsFile /dev/null",
		"StrictHostKeyChecking accept-new", "UpdateHostKeys no", "LogLevel ERROR", "NumberOfPasswordPrompts 1")
	if h.KeyFile != "" {
		return append(lines, "IdentityFile "+h.KeyFile, "PreferredAuthentications publickey"), nil
	}
	return append(lines, "PreferredAuthentications password", "PubkeyAuthentication no"), nil
}
