package cli

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
)

// contextCommand is the noun of contexts, which are the user's own: no node is asked.
func contextCommand(s *shell) *cobra.Command {
	c := s.noun("context", "Keep several farms apart: address, user and CA of each",
		contextAdd(s), contextUse(s), contextList(s), contextCurrent(s), contextRemove(s))
	c.Aliases = []string{"ctx"}
	return c
}

// contextName is what a context may be called, so that it can be typed.
const contextName = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`

func contextAdd(s *shell) *cobra.Command {
	var use, replace bool
	c := &cobra.Command{
		Use: "add NAME --address HOST:PORT --ca FILE [--user NAME]", Args: cobra.ExactArgs(1), DisableFlagsInUseLine: true,
		Short: "Add a farm, and pin the CA that signed its nodes' certificates",
		Long: `Add a farm. The CA is copied from FILE, the ca.crt of a node's folder, and only certificates that it signed are trusted.
Without --ca those that the system trusts are, or for a node on this machine the one in ./fish_data. The first context
becomes the current one. 'aquarium-fish login' stores the password beside it, or --password-file names a file.`,
		Example: "  aquarium-fish context add lab --address fish1.lab:8001 --ca ca.crt --user alice\n  aquarium-fish login",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := s.newFarm(args[0])
			if err != nil {
				return err
			}
			return s.addFarm(f, use, replace)
		},
	}
	c.Flags().BoolVar(&use, "use", false, "make it the current one")
	c.Flags().BoolVar(&replace, "replace", false, "replace the context of this name")
	return c
}

// newFarm makes a context of the flags. The context in use has no part in it.
func (s *shell) newFarm(name string) (farm, error) {
	if !regexp.MustCompile(contextName).MatchString(name) {
		return farm{}, usagef("bad name of a context %q: want letters, digits, dots, dashes and underscores", name)
	}
	if s.target.address == "" {
		return farm{}, usagef("--address HOST:PORT of a node's API is missing")
	}
	address, err := normalAddress(s.target.address)
	if err != nil {
		return farm{}, err
	}
	ca, err := s.trusted(address, farm{})
	if err != nil {
		return farm{}, err
	}
	f := farm{Name: name, Address: address, User: cmp.Or(s.target.user, defaultUser), CA: string(ca)}
	if s.target.passwordFile != "" {
		f.PasswordFile = s.path(s.target.passwordFile)
		if _, err := readPassword(f.PasswordFile); err != nil {
			return farm{}, err
		}
	}
	return f, nil
}

func (s *shell) addFarm(f farm, use, replace bool) error {
	all, err := s.loadContexts()
	if err != nil {
		return err
	}
	if _, exists := all.find(f.Name); exists && !replace {
		return usagef("there is a context %q already: use --replace, or another name", f.Name)
	}
	all.Farms = append(slices.DeleteFunc(all.Farms, func(o farm) bool { return o.Name == f.Name }), f)
	if use || all.Current == "" {
		all.Current = f.Name
	}
	if err := s.saveContexts(all); err != nil {
		return err
	}
	if f.CA == "" {
		s.note("no --ca: the certificates that the system trusts are trusted")
	}
	s.note("context %s added; the current one is %s", f.Name, all.Current)
	return nil
}

func contextUse(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Args: cobra.ExactArgs(1), ValidArgsFunction: s.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := s.loadContexts()
			if err != nil {
				return err
			}
			if _, ok := all.find(args[0]); !ok {
				return notFoundf("there is no context %q: 'aquarium-fish context list' shows those there are", args[0])
			}
			all.Current = args[0]
			return s.saveContexts(all)
		},
	}
}

// farmRow is a context as json and yaml show it.
type farmRow struct {
	Name         string `json:"name"`
	Current      bool   `json:"current"`
	Address      string `json:"address"`
	User         string `json:"user"`
	PasswordFile string `json:"password_file,omitempty"`
	CAPinned     bool   `json:"ca_pinned"`
}

func contextList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the contexts; * is the current one", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := s.loadContexts()
			if err != nil {
				return err
			}
			rows := []farmRow{}
			v := view{Header: []string{"", "NAME", "ADDRESS", "USER", "CA"}, Empty: "no contexts: 'aquarium-fish context add' makes one"}
			for _, f := range all.Farms {
				r := farmRow{f.Name, f.Name == all.Current, f.Address, f.User, f.PasswordFile, f.CA != ""}
				rows = append(rows, r)
				v.Names = append(v.Names, r.Name)
				v.Rows = append(v.Rows, []string{mark(r.Current), r.Name, r.Address, r.User, caWord(r.CAPinned)})
			}
			v.Data = rows
			return s.print(v)
		},
	}
}

func mark(current bool) string {
	if current {
		return "*"
	}
	return " "
}

func caWord(pinned bool) string {
	if pinned {
		return "pinned"
	}
	return "system"
}

func contextCurrent(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "current", Short: "Show which node a command would ask, and as whom", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t, err := s.resolve()
			if err != nil {
				return err
			}
			row := farmRow{t.Context, t.Context != "", t.Address, t.User, t.PasswordFile, t.CA != nil}
			return s.print(view{Data: row, Names: []string{row.Name}, Rows: [][]string{
				{"Context", row.Name}, {"Address", row.Address}, {"User", row.User}, {"CA", caWord(row.CAPinned)},
			}})
		},
	}
}

func contextRemove(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Aliases: []string{"remove", "delete"}, Args: cobra.ExactArgs(1), ValidArgsFunction: s.completeContexts,
		Short: "Remove a context, and the stored password if no other one uses it",
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := s.loadContexts()
			if err != nil {
				return err
			}
			f, ok := all.find(args[0])
			if !ok {
				return notFoundf("there is no context %q: 'aquarium-fish context list' shows those there are", args[0])
			}
			all.Farms = slices.DeleteFunc(all.Farms, func(o farm) bool { return o.Name == f.Name })
			if all.Current == f.Name {
				all.Current = ""
				s.note("no context is the current one now: 'aquarium-fish context use' chooses one")
			}
			if err := s.saveContexts(all); err != nil {
				return err
			}
			if slices.ContainsFunc(all.Farms, func(o farm) bool { return o.Address == f.Address && o.User == f.User }) {
				return nil
			}
			t := target{Address: f.Address, User: cmp.Or(f.User, defaultUser)}
			if _, err := s.removeStored(t); err != nil {
				return err
			}
			_ = os.Remove(filepath.Dir(s.storedPassword(t))) // if it is empty now
			return nil
		},
	}
}
