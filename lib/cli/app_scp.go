package cli

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

// appSCP runs scp from or to an environment.
func appSCP(s *shell) *cobra.Command {
	f := &sshFlags{}
	var recursive, preserve, quiet, legacy bool
	c := &cobra.Command{
		Use: "scp UID SOURCE... TARGET", Short: "Copy files from or to the environment of an application",
		Long: `Copy files from or to the environment of an application through the SSH proxy, by your own scp. Paths that begin with a
colon are the environment's, relative to the home of the user there, and may have wildcards, which are to be quoted here; a
local name that begins with one is written ./:name. Either the target or all sources are the environment's.

ssh reads none of your config files, as with 'app ssh'. The exit code is scp's.`,
		Example: `  aquarium-fish app scp UID :/var/log/build.log .
  aquarium-fish app scp UID ':logs/*.xml' :core.1234 results/
  aquarium-fish app scp UID -r src tools :/work/`,
		Args: cobra.MinimumNArgs(3), ValidArgsFunction: s.completeAppAndFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			options := chosen(map[string]bool{"-r": recursive, "-p": preserve, "-q": quiet, "-O": legacy})
			return s.scp(cmd, f, args, append(options, f.arguments()...))
		},
	}
	f.register(c)
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "folders with all that is in them")
	c.Flags().BoolVarP(&preserve, "preserve", "p", false, "keep times and modes")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	c.Flags().BoolVarP(&legacy, "legacy", "O", false, "use the old protocol of scp, for environments without sftp")
	return c
}

// completeAppAndFiles completes the UID of an Application, then names of local files.
func (s *shell) completeAppAndFiles(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return s.completeApps(cmd, args, word)
}

// scp copies from or to the application that comes first of the arguments.
func (s *shell) scp(cmd *cobra.Command, f *sshFlags, args, options []string) error {
	runs, err := s.copies(args[1:])
	if err != nil {
		return err
	}
	program, err := s.opensshProgram("scp")
	if err != nil {
		return err
	}
	e, err := s.environment(cmd, f, args[0])
	if err != nil {
		return err
	}
	var failed error
	for _, paths := range runs { // as scp does: what can be copied is
		err := e.enter(cmd.Context(), func(config string) error {
			line := append(append([]string{"-F", config}, options...), "--")
			for _, p := range paths {
				line = append(line, e.scpPath(p))
			}
			return s.runProgram(cmd.Context(), program, line)
		})
		if err != nil && cmd.Context().Err() != nil {
			return err
		}
		failed = cmp.Or(failed, err)
	}
	return failed
}

// copies are the runs of scp that paths take: what goes to the environment goes over one connection, but for each source
// over there scp makes one, and credentials are good for one.
func (s *shell) copies(paths []string) ([][]string, error) {
	sources, target := paths[:len(paths)-1], paths[len(paths)-1]
	for _, p := range paths {
		if p == "" {
			return nil, usagef("a path is empty")
		}
	}
	for _, p := range sources {
		if isRemote(p) == isRemote(target) {
			return nil, usagef("%q and %q are on the same side: paths of the environment begin with a colon, such as :/var/log/build.log", p, target)
		}
	}
	if isRemote(target) {
		return [][]string{paths}, nil
	}
	if info, err := os.Stat(s.path(target)); len(sources) > 1 && (err != nil || !info.IsDir()) {
		return nil, usagef("%q is no folder: several files can only be copied into one", target)
	}
	var runs [][]string
	for _, p := range sources {
		runs = append(runs, []string{p, target})
	}
	return runs, nil
}

// isRemote reports whether a path is the environment's.
func isRemote(path string) bool { return strings.HasPrefix(path, ":") }

// scpPath is a path as scp takes it.
func (e *environment) scpPath(path string) string {
	if isRemote(path) {
		return e.host() + path
	}
	// What stands before a colon would be a host to it. Windows has none in names, but drives that scp knows there.
	if runtime.GOOS != "windows" && !filepath.IsAbs(path) {
		return "./" + path
	}
	return path
}
