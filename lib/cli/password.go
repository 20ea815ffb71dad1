package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// password finds the password of the target's user: from the environment, the file of --password-file, the context's
// file, what login stored, or from the user. It is never an argument: those are seen by everybody on the machine.
func (s *shell) password(ctx context.Context, t target) (string, error) {
	if p := s.Env(envPassword); p != "" && s.target.passwordFile == "" {
		return p, nil
	}
	if file := cmp.Or(s.target.passwordFile, t.PasswordFile); file != "" {
		return readPassword(s.path(file))
	}
	if s.ConfigDir != "" {
		p, err := readPassword(s.storedPassword(t))
		if !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	if s.ReadSecret == nil {
		return "", usagef("no password for user %q of %s: run 'aquarium-fish login', or give it in %s or --password-file FILE",
			t.User, t.Address, envPassword)
	}
	return s.askPassword(ctx, fmt.Sprintf("Password of %s at %s: ", t.User, t.Address))
}

// askPassword asks the user on the terminal.
func (s *shell) askPassword(ctx context.Context, prompt string) (string, error) {
	if s.ReadSecret == nil {
		return "", usagef("no terminal to ask for the password on")
	}
	p, err := s.ReadSecret(ctx, prompt)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if p == "" {
		return "", usagef("the password is empty")
	}
	return p, nil
}

// storedPassword is the file that login keeps the password of the target's user in.
func (s *shell) storedPassword(t target) string {
	return filepath.Join(s.ConfigDir, "passwords", url.PathEscape(t.Address), "user-"+url.PathEscape(t.User))
}

// readPassword reads a file that nobody but its owner may read.
func readPassword(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", &Failure{CodeUsage, fmt.Errorf("read password: %w", err)}
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	const others = 0o077 // Windows has no such modes
	if info.Mode().Perm()&others != 0 && runtime.GOOS != "windows" {
		return "", usagef("others may read the password in %s (mode %#o): run 'chmod 600 %s'", file, info.Mode().Perm(), file)
	}
	text, err := readSmall(f, file)
	if err != nil {
		return "", &Failure{CodeUsage, fmt.Errorf("read password: %w", err)}
	}
	p := trimLine(string(text))
	if p == "" {
		return "", usagef("the password file %s is empty", file)
	}
	return p, nil
}

// readSmall reads all of a small file or stream.
func readSmall(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSmallFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSmallFile {
		return nil, errTooLarge(name)
	}
	return text, nil
}

// trimLine cuts the end of the line that editors leave behind a password.
func trimLine(text string) string {
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
}
