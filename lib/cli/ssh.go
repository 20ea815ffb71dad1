package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// sshFlags are those of the commands that run the user's own OpenSSH.
type sshFlags struct {
	options []string
	wait    bool
	timeout time.Duration
	verbose bool
}

func (f *sshFlags) register(c *cobra.Command) {
	set := c.Flags()
	// These commands have no objects to print, and who knows ssh expects its -o: the form of output leaves the letter.
	set.String("output", outputTable, "")
	_ = set.MarkHidden("output") // it was declared in the line before
	set.StringArrayVarP(&f.options, "option", "o", nil, "option for ssh as in ssh_config, such as Compression=yes; may be repeated, wins over what this command sets")
	set.BoolVarP(&f.wait, "wait", "w", false, "wait until the environment is there")
	set.DurationVar(&f.timeout, "timeout", defaultWait, "how long to wait; 0 for as long as it takes")
	set.BoolVarP(&f.verbose, "verbose", "v", false, "tell on stderr which way is taken and which host keys are expected")
}

// arguments are the options as ssh, scp and sftp take them.
func (f *sshFlags) arguments() []string {
	var args []string
	for _, o := range f.options {
		args = append(args, "-o", o)
	}
	return args
}

// chosen are the flags of a program that are wanted, in an order of their own.
func chosen(wanted map[string]bool) []string {
	var flags []string
	for flag, on := range wanted {
		if on {
			flags = append(flags, flag)
		}
	}
	slices.Sort(flags)
	return flags
}

// environment is what somebody logs in to.
type environment struct {
	shell    *shell
	api      client.ClientWithResponsesInterface
	app      apiv1.UID
	resource apiv1.UID
	// proxy is the SSH proxy of the node that answers: credentials are good at each.
	proxy apiv1.NodeSSH
}

// environment finds the environment of an Application and the way to it.
func (s *shell) environment(cmd *cobra.Command, f *sshFlags, app string) (*environment, error) {
	ctx := cmd.Context()
	api, uid, err := s.apiFor(ctx, "an application", app)
	if err != nil {
		return nil, err
	}
	if f.wait {
		if err := s.waitAllocated(ctx, api, uid, f.timeout); err != nil {
			return nil, err
		}
	}
	r, err := resourceAt(ctx, api, uid)
	if err != nil {
		return nil, err
	}
	if r.Authentication == nil {
		return nil, fmt.Errorf("the environment of application %s has no login: the definition of its label says no `authentication`", uid)
	}
	proxy, err := result(api.NodeThisSSHGetWithResponse(ctx))
	if err != nil {
		return nil, err
	}
	t, err := s.resolve()
	if err != nil {
		return nil, err
	}
	proxy.Address = proxyFrom(proxy.Address, t.Address)
	e := &environment{shell: s, api: api, app: uid, resource: r.UID, proxy: *proxy}
	if f.verbose {
		err = e.explain(ctx)
	}
	return e, err
}

// proxyFrom is where this machine finds the proxy of the node that it asked at the API's address. A node that nobody told
// how others reach it takes itself for 127.0.0.1; who has reached it elsewhere knows better.
func proxyFrom(proxy, api string) string {
	_, port, err := net.SplitHostPort(proxy)
	if err != nil || !isLoopback(proxy) || isLoopback(api) {
		return proxy
	}
	host, _, _ := net.SplitHostPort(api) // normal, so there is one
	return net.JoinHostPort(host, port)
}

// explain tells which way is taken and which keys are expected.
func (e *environment) explain(ctx context.Context) error {
	state, err := result(e.api.ResourceSSHGetWithResponse(ctx, e.resource))
	if err != nil {
		return err
	}
	e.shell.note("SSH proxy %s, host key %s", printable(e.proxy.Address), printable(e.proxy.Fingerprint))
	expected := "is not known yet: the one that it shows now is expected from then on"
	if state.Fingerprint != "" {
		expected = printable(state.Fingerprint)
	}
	e.shell.note("environment %s, host key %s", e.resource, expected)
	return nil
}

// enter asks for one-time credentials and does something with a config for ssh in which the environment is the host of
// the Application's UID. Files with the key are gone when it returns.
func (e *environment) enter(ctx context.Context, do func(config string) error) (err error) {
	access, err := result(e.api.ResourceAccessGetWithResponse(ctx, e.resource))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(e.shell.TempDir, "aquarium-fish-ssh-") // 0700
	if err != nil {
		return fmt.Errorf("make private folder: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); removeErr != nil {
			err = cmp.Or(err, fmt.Errorf("remove private folder: %w", removeErr))
		}
	}()
	files := loginFiles{dir: dir, host: e.host(), proxy: e.proxy, username: access.Username, key: access.Key}
	config, err := files.write()
	if err != nil {
		return err
	}
	return do(config)
}

// host is what ssh knows the environment by.
func (e *environment) host() string { return e.app.String() }

// loginFiles are the private files of one login.
type loginFiles struct {
	dir, host     string
	proxy         apiv1.NodeSSH
	username, key string
}

// write makes the files and returns the path of the config.
func (l loginFiles) write() (config string, err error) {
	text, err := l.config()
	if err != nil {
		return "", err
	}
	hostKey, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(l.proxy.HostKey))
	if err != nil || len(rest) > 0 {
		return "", fmt.Errorf("the node tells no host key of its SSH proxy, but %q", firstLine(l.proxy.HostKey))
	}
	config = filepath.Join(l.dir, "config")
	for path, text := range map[string]string{
		config: text, l.file("key"): l.key, l.file("known_hosts"): l.host + " " + string(ssh.MarshalAuthorizedKey(hostKey)),
	} {
		if err := os.WriteFile(path, []byte(text), modeOwn); err != nil {
			return "", fmt.Errorf("write private file: %w", err)
		}
	}
	return config, nil
}

func (l loginFiles) file(name string) string { return filepath.Join(l.dir, name) }

// config is the whole of what ssh is told: it reads no other file. What comes from the node is checked, as a line of
// this file may run programs.
func (l loginFiles) config() (string, error) {
	host, port, err := net.SplitHostPort(l.proxy.Address)
	if err != nil || !isPort(port) || host == "" || strings.ContainsFunc(host, notOfHost) {
		return "", fmt.Errorf("the node tells no address of its SSH proxy, but %q", printable(l.proxy.Address))
	}
	if l.username == "" || strings.ContainsFunc(l.username, notOfUser) {
		return "", fmt.Errorf("ssh can not be told the user name %q", printable(l.username))
	}
	keyFile, err := quotedPath(l.file("key"))
	if err != nil {
		return "", err
	}
	known, err := quotedPath(l.file("known_hosts"))
	if err != nil {
		return "", err
	}
	lines := []string{
		"HostName " + strings.ReplaceAll(host, "%", "%%"), "Port " + port, `User "` + l.username + `"`,
		"IdentityFile " + keyFile, "IdentitiesOnly yes", "PreferredAuthentications publickey",
		// The host key came over TLS: nothing is asked, and nobody else is trusted.
		"HostKeyAlias " + l.host, "UserKnownHostsFile " + known, "GlobalKnownHostsFile " + known,
		"StrictHostKeyChecking yes", "CheckHostIP no", "UpdateHostKeys no",
		// A proxy that is gone is noticed within a minute, and nothing in a build hangs for ever.
		"ConnectTimeout 30", "ServerAliveInterval 15", "ServerAliveCountMax 3",
	}
	return "Host " + l.host + "\n  " + strings.Join(lines, "\n  ") + "\n", nil
}

// notOfHost reports whether a rune is in no host name or IP address.
func notOfHost(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:%", r)
}

// notOfUser reports whether a rune can not stand in a quoted user name of ssh_config, or means something there to some
// version of OpenSSH.
func notOfUser(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`"\%$`, r) }

// quotedPath writes a path into a line of ssh_config. On Windows, too, ssh takes slashes.
func quotedPath(path string) (string, error) {
	if strings.ContainsFunc(path, func(r rune) bool { return unicode.IsControl(r) || r == '"' || r == '$' }) {
		return "", fmt.Errorf("ssh can not be told the path %q: set another folder for temporary files", printable(path))
	}
	return `"` + strings.ReplaceAll(filepath.ToSlash(path), "%", "%%") + `"`, nil
}
