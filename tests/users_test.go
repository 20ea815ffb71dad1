package tests

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

type userAnswer struct {
	Name, Password string
	CreatedAt      string `json:"created_at"`
	UpdatedAt      string `json:"updated_at"`
}

const usersPath, mePath = "/api/v1/user/", "/api/v1/user/me/"

// logsIn reports whether the credentials are taken.
func logsIn(c fish.Client, name, password string) bool {
	return c.As(name, password).Call(fish.Call{Path: mePath}).Status == 200
}

// testUsers is contract 10: passwords given and generated, by the admin and by
// the users themselves.
func testUsers(t *testing.T, w *world) {
	name := fresh("user")
	generated := regexp.MustCompile(`^[a-km-zA-HJ-NP-Z1-9]{64}$`)
	first := fish.Post[userAnswer](w.admin, usersPath, fmt.Sprintf(`{"name":%q}`, name))
	if !generated.MatchString(first.Password) || !logsIn(w.nobody, name, first.Password) {
		t.Errorf("no password given: %+v, want one of 64 that works", first)
	}
	user := w.nobody.As(name, first.Password)
	second := fish.Post[userAnswer](user, usersPath, fmt.Sprintf(`{"name":%q,"password":"chosen: ü\""}`, name))
	if second.Password != "" || second.CreatedAt != first.CreatedAt || second.UpdatedAt <= first.UpdatedAt {
		t.Errorf("password chosen: %+v after %+v", second, first)
	}
	if !logsIn(w.nobody, name, `chosen: ü"`) || logsIn(w.nobody, name, first.Password) {
		t.Error("the new password does not work, or the old one still does")
	}
	third := fish.Post[userAnswer](w.admin, usersPath, fmt.Sprintf(`{"name":%q,"password":""}`, name))
	if !generated.MatchString(third.Password) || third.Password == first.Password {
		t.Errorf("an empty password on update: %+v, want a new one", third)
	}
	if logsIn(w.nobody, name, `chosen: ü"`) {
		t.Error("the replaced password still works")
	}
	user = w.nobody.As(name, third.Password)
	app := user.CreateApplication(w.vars["nowhere"], `{}`)
	want(t, "remove", w.admin.Request("DELETE", usersPath+name, nil), 200, `{"message":"User removed"}`)
	if logsIn(w.nobody, name, third.Password) {
		t.Error("a removed user logs in")
	}
	again := fish.Post[userAnswer](w.admin, usersPath, fmt.Sprintf(`{"name":%q}`, name))
	if got := w.nobody.As(name, again.Password).State(app); got.Status != "NEW" {
		t.Errorf("the application of a recreated user is %+v", got)
	}
	want(t, "empty name", w.admin.Request("POST", usersPath, []byte(`{"name":""}`)), 400, "name")
	want(t, "no body", w.admin.Request("POST", usersPath, nil), 400, "name")
	text := string(w.admin.Request("GET", usersPath, nil).Body)
	if !strings.HasPrefix(text, `[{"created_at":`) || !strings.Contains(text, `"name":"`+name+`"`) || strings.Contains(text, `Argon2`) {
		t.Errorf("users are %s", text)
	}
}

// testOddNames: there is no rule for names but that they are not empty
// (contract 10), so what can be created can be shown and removed as well.
func testOddNames(t *testing.T, w *world) {
	for _, name := range []string{
		"a/b", "a b", "ü", "a%b", "a?b", "a#b", "..", ".", "a+b", "%2F", `"`, "'", "a;b", "a&b=c", "a\\b", "a\tb", strings.Repeat("n", 200), "日本",
	} {
		body := fmt.Sprintf(`{"name":%s,"password":"x"}`, quoted(name))
		want(t, "create "+name, w.admin.Request("POST", usersPath, []byte(body)), 200, "")
		path := usersPath + strings.ReplaceAll(url.PathEscape(name), "+", "%2B")
		want(t, "show "+name, w.admin.Request("GET", path, nil), 200, `"name":`+quoted(name))
		want(t, "remove "+name, w.admin.Request("DELETE", path, nil), 200, "")
		want(t, "show removed "+name, w.admin.Request("GET", path, nil), 404, "")
	}
}

// TestAdminPasswordIsKept: a later start neither makes nor tells a new one.
func TestAdminPasswordIsKept(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	want(t, "change", n.Request("POST", usersPath, []byte(`{"name":"admin","password":"mine"}`)), 200, `"password":""`)
	old := n.Client
	n.AdminPassword = "mine"
	n.Restart()
	if _, stderr := n.Lines(); len(stderr) != 0 {
		t.Errorf("a start with an admin prints %q", stderr)
	}
	if !logsIn(n.Client, "admin", "mine") || logsIn(n.Client, "admin", old.Password) {
		t.Error("the new password does not work after a restart, or the first one does")
	}
	want(t, "remove admin", n.Request("DELETE", usersPath+"admin", nil), 400, "admin")
}
