package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/filter"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// names reads a list to the end, by what name says of its rows.
func names[T any](list iter.Seq2[T, error], name func(T) string) (got []string, err error) {
	got = []string{}
	for row, err := range list {
		if err != nil {
			return got, err
		}
		got = append(got, name(row))
	}
	return got, nil
}

func labelName(l model.Label) string { return l.Name }

var admin = Caller{Name: model.AdminName, Admin: true}

func filtered(c Caller, text string) Query { return Query{Caller: c, Filter: &text} }

func TestListLabelsFiltered(t *testing.T) {
	s := openStore(t, testOptions(t))
	for i, name := range []string{"b", "a", "a"} {
		_, err := s.CreateLabel(t.Context(), model.Label{
			Name: name, Version: i, Metadata: json.RawMessage(`{"n":12345678901234567890}`),
			Definitions: []model.LabelDefinition{{Driver: "secret", Options: json.RawMessage(`{}`)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	uid := s.Labels()[0].UID.String()
	user := Caller{Name: "u"}
	for _, tt := range []struct {
		name   string
		caller Caller
		filter string
		want   []string
	}{
		{"string", user, "name='a'", []string{"a", "a"}},
		{"double quotes are a string", user, `name="a" AND version=1`, []string{"a"}},
		{"qualified", user, "labels.name='b'", []string{"b"}},
		{"UID", user, "UID='" + strings.ToUpper(uid) + "'", []string{"b"}},
		{"list of UIDs", user, "uid IN ('" + uid + "')", []string{"b"}},
		{"JSON text as it was written", user, "metadata LIKE '%12345678901234567890%'", []string{"b", "a", "a"}},
		{"time", user, "created_at > '2020-01-01' AND created_at < '2200-01-01'", []string{"b", "a", "a"}},
		{"OR does not escape", user, "name='x' OR 1=1", []string{"b", "a", "a"}},
		{"definitions for an admin", admin, "definitions LIKE '%secret%'", []string{"b", "a", "a"}},
		{"definitions for nobody else", user, "definitions LIKE '%secret%'", []string{}},
		{"internal column is a string", user, "hlc > 0", []string{"b", "a", "a"}},
		{"statement", admin, "DROP TABLE labels", []string{}},
		{"subquery", admin, "name IN (SELECT name FROM users)", []string{}},
		{"empty", admin, "", []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := names(s.ListLabels(t.Context(), filtered(tt.caller, tt.filter)), labelName)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("filter %s (-want +got):\n%s", tt.filter, diff)
			}
		})
	}
	if _, err := names(s.ListLabels(t.Context(), filtered(admin, "name = ?")), labelName); !errors.Is(err, filter.ErrUnresolved) {
		t.Errorf("list with a placeholder = %v, want %v", err, filter.ErrUnresolved)
	}
}

func TestRejectedFilterIsLogged(t *testing.T) {
	o, log := testOptions(t), new(bytes.Buffer)
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	s := openStore(t, o)
	for _, text := range []string{"hash LIKE 'A%'", "salt IS NULL"} {
		log.Reset()
		got, err := names(s.ListUsers(t.Context(), filtered(admin, text)), func(u model.User) string { return u.Name })
		if err != nil || len(got) != 0 || strings.Count(log.String(), `msg="filter rejected"`) != 1 {
			t.Errorf("filter %s = %q, %v with log %q, want nothing and one warning", text, got, err, log)
		}
	}
}

// TestListApplicationsPages lists more than one page, to admin and owner.
func TestListApplicationsPages(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	var all, own []string
	var create []func() error
	for i := range pageSize*2 + 7 {
		owner := []string{"a", "b"}[i%2]
		create = append(create, func() error {
			_, err := s.CreateApplication(t.Context(), model.Application{LabelUID: label, OwnerName: owner})
			return err
		})
	}
	for len(create) > 0 {
		n := min(len(create), 150)
		if err := errors.Join(oneBatch(t, s, create[:n]...)...); err != nil {
			t.Fatal(err)
		}
		create = create[n:]
	}
	for _, e := range s.Open() {
		all = append(all, e.Application.UID.String())
		if e.Application.OwnerName == "a" {
			own = append(own, e.Application.UID.String())
		}
	}
	uid := func(a model.Application) string { return a.UID.String() }
	for _, tt := range []struct {
		name  string
		query Query
		want  []string
	}{
		{"admin", Query{Caller: admin}, all},
		{"owner", Query{Caller: Caller{Name: "a"}}, own},
		{"owner asks for more", filtered(Caller{Name: "a"}, "owner_name='b' OR 1=1"), own},
		{"stranger", Query{Caller: Caller{Name: "c"}}, []string{}},
		{"admin filters", filtered(admin, "owner_name='a'"), own},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := names(s.ListApplications(t.Context(), tt.query), uid)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestListTasksAndResources(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	var apps []model.UID
	for _, owner := range []string{"a", "b"} {
		app := newApplication(t, s, label, owner).Application.UID
		update(t, s, app, elected(app, 1))
		update(t, s, app, allocated(1))
		for _, task := range []string{"first", "second"} {
			update(t, s, app, model.Change{Tasks: []model.ApplicationTask{{Task: task + owner, When: "ALLOCATED"}}})
		}
		apps = append(apps, app)
	}
	tasks := func(q Query) func() ([]string, error) {
		q.Application = apps[0]
		return func() ([]string, error) {
			return names(s.ListTasks(t.Context(), q), func(t model.ApplicationTask) string { return t.Task })
		}
	}
	resources := func(q Query) func() ([]string, error) {
		return func() ([]string, error) {
			return names(s.ListResources(t.Context(), q), func(r model.Resource) string {
				return fmt.Sprint(r.ApplicationUID == apps[0], r.ApplicationUID == apps[1])
			})
		}
	}
	owner := Caller{Name: "a"}
	for _, tt := range []struct {
		name string
		list func() ([]string, error)
		want []string
	}{
		{"tasks", tasks(Query{Caller: owner}), []string{"firsta", "seconda"}},
		{"tasks filtered", tasks(filtered(owner, `"when"='ALLOCATED' OR task='secondb'`)), []string{"firsta", "seconda"}},
		{"tasks by result", tasks(filtered(owner, `result='{}' AND task LIKE 's%'`)), []string{"seconda"}},
		{"resources", resources(Query{Caller: admin}), []string{"true false", "false true"}},
		{"own resources", resources(Query{Caller: owner}), []string{"true false"}},
		{"resources filtered", resources(filtered(admin, "identifier='env-1' AND authentication LIKE '%u%'")), []string{"true false", "false true"}},
		{"own resources filtered", resources(filtered(owner, "ip_addr='127.0.0.1'")), []string{"true false"}},
		{"authentication is no oracle", resources(filtered(owner, "authentication LIKE '%p%'")), []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.list()
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	first, _ := s.Application(t.Context(), apps[0])
	task := first.Tasks[1]
	if got, e, err := s.Task(t.Context(), task.UID); err != nil || e != first || got.Task != "seconda" {
		t.Errorf("Task = %+v, %v, %v, want the second of the first application", got, e, err)
	}
	if _, _, err := s.Task(t.Context(), model.UID{7}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Task of an unknown UID = %v, want %v", err, ErrNotFound)
	}
	if got, err := names(s.ListTasks(t.Context(), Query{Application: model.UID{7}}), func(t model.ApplicationTask) string { return t.Task }); err != nil || len(got) != 0 {
		t.Errorf("tasks of an unknown application = %v, %v, want none", got, err)
	}
}

func TestListSmallNouns(t *testing.T) {
	s := openStore(t, testOptions(t))
	ctx := t.Context()
	for _, name := range []string{"z", "y"} {
		_, err := s.PutUser(ctx, name, func(*model.User) (model.User, error) {
			return model.User{Hash: model.PasswordHash{Algo: "Argon2id", Memory: 65536, Salt: []byte{0}, Hash: []byte{1, 2}}}, nil
		})
		_, err2 := s.PutLocation(ctx, model.Location{Name: name, Description: "d" + name})
		_, err3 := s.CreateServiceMapping(ctx, model.ServiceMapping{Service: name, Redirect: "r:1"})
		_, err4 := s.PutNode(ctx, model.Node{UID: s.uids.New(time.Now()), Name: name, Pubkey: []byte(name)})
		if err := errors.Join(err, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
	}
	lists := func(q Query) map[string]func() ([]string, error) {
		return map[string]func() ([]string, error){
			"users": func() ([]string, error) {
				return names(s.ListUsers(ctx, q), func(u model.User) string { return u.Name })
			},
			"locations": func() ([]string, error) {
				return names(s.ListLocations(ctx, q), func(l model.Location) string { return l.Name })
			},
			"nodes": func() ([]string, error) {
				return names(s.ListNodes(ctx, q), func(n model.Node) string { return n.Name })
			},
			"mappings": func() ([]string, error) {
				return names(s.ListServiceMappings(ctx, q), func(m model.ServiceMapping) string { return m.Service })
			},
		}
	}
	check := func(t *testing.T, q Query, want ...string) {
		for name, list := range lists(q) {
			got, err := list()
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
	}
	check(t, Query{Caller: admin}, "z", "y")
	check(t, filtered(admin, "created_at > '2020-01-01T00:00:00Z'"), "z", "y")
	s = reopen(t, s)
	check(t, Query{Caller: admin}, "z", "y")
	got, err := names(s.ListUsers(ctx, Query{Caller: Caller{Name: "y"}}), func(u model.User) string { return u.Name })
	if err != nil || len(got) != 1 || got[0] != "y" {
		t.Errorf("users shown to y = %v, %v, want y", got, err)
	}
}

func TestListVotes(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	app := newApplication(t, s, label, "u").Application.UID
	update(t, s, app, elected(app, 1))
	undecided := newApplication(t, s, label, "u").Application.UID
	none := elected(undecided, 1)
	none.States[0].Decision.Yes = nil
	update(t, s, undecided, none)
	open := []model.Vote{{UID: model.UID{5}, ApplicationUID: undecided, NodeUID: testNode, Round: 9, Available: -1, CreatedAt: time.Now().UTC()}}
	for _, tt := range []struct {
		name string
		q    Query
		want []string
	}{
		{"all", Query{Caller: admin}, []string{"3", "9"}},
		{"round", filtered(admin, "round = 3"), []string{"3"}},
		{"negative", filtered(admin, "available = -1"), []string{"9"}},
		{"application", filtered(admin, "application_uid='"+undecided.String()+"'"), []string{"9"}},
		{"node", filtered(admin, "votes.node_UID='"+testNode.String()+"'"), []string{"3", "9"}},
		{"time to the nanosecond", filtered(admin, "created_at = '2026-11-21 23:24:52.935066403+00:00'"), []string{"3"}},
		{"rejected", filtered(admin, "DROP TABLE users"), []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := names(s.ListVotes(t.Context(), tt.q, open), func(v model.Vote) string { return fmt.Sprint(v.Round) })
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	got, err := names(s.ListVotes(t.Context(), Query{}, nil), func(v model.Vote) string { return fmt.Sprint(v.Rand, v.CreatedAt.Nanosecond()) })
	if want := []string{"7 935066403"}; err != nil || !cmp.Equal(want, got) {
		t.Errorf("decided votes = %v, %v, want %v", got, err, want)
	}
}
