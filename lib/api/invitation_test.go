package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
)

// fakeEnrolment takes down what it is asked, and answers with err, or as if all was well.
type fakeEnrolment struct {
	asked   enrol.Invite
	revoked [2]string
	err     error
}

func (f *fakeEnrolment) made() enrol.Invitation {
	at := time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC) // later than any test, and so not expired
	return enrol.Invitation{ID: "0badcafe", Name: "mac-7", Hash: []byte("hash-hidden"), By: "admin", CreatedAt: at.AddDate(-100, 0, 0), ExpiresAt: at}
}

func (f *fakeEnrolment) Invite(_ context.Context, in enrol.Invite) (enrol.Invited, error) {
	f.asked = in
	return enrol.Invited{Invitation: f.made(), Token: "fishjoin1_token"}, f.err
}

func (f *fakeEnrolment) Invitations() []enrol.Invitation {
	redeemed := f.made()
	redeemed.Key, redeemed.RedeemedAt, redeemed.Address = []byte("key-hidden"), redeemed.CreatedAt, "10.0.0.7:8001"
	return []enrol.Invitation{f.made(), redeemed}
}

func (f *fakeEnrolment) Revoke(ref, by string) ([]enrol.Invitation, error) {
	f.revoked = [2]string{ref, by}
	return f.Invitations()[:1], f.err
}

const invitations = "/api/v1/cluster/invitation/"

func TestInvitations(t *testing.T) {
	n := newNode(t)
	made := `"by":"admin","created_at":"2000-01-02T03:04:05Z","expires_at":"2100-01-02T03:04:05Z","id":"0badcafe","name":"mac-7"`
	for _, tt := range []struct {
		call
		status int
		want   string
	}{
		{call{user: "admin", method: "POST", path: invitations, body: `{"name":"mac-7","valid":"1h","renew":true,"addresses":["a:1"]}`}, 200, `{` + made + `,"status":"open","token":"fishjoin1_token"}`},
		{call{user: "admin", path: invitations}, 200, `[{` + made + `,"status":"open"},{"address":"10.0.0.7:8001",` + made + `,"redeemed_at":"2000-01-02T03:04:05Z","status":"redeemed"}]`},
		{call{user: "admin", method: "DELETE", path: invitations + "mac-7"}, 200, `[{` + made + `,"status":"open"}]`},
		{call{user: "admin", method: "POST", path: invitations, body: `{"name":"x","valid":"soon"}`}, 400, `{"message":"Unable to invite: valid is \"soon\", want a duration like 15m"}`},
		{call{user: "admin", method: "POST", path: invitations, body: `{"name":1}`}, 400, `{"message":"Wrong request body: name can't be a JSON number, it takes a text"}`},
		{call{user: "alice", method: "POST", path: invitations, body: `{"name":"x"}`}, 400, `{"message":"Only 'admin' user can invite nodes"}`},
		{call{user: "alice", path: invitations}, 400, `{"message":"Only 'admin' user can invite nodes"}`},
		{call{user: "alice", method: "DELETE", path: invitations + "x"}, 400, `{"message":"Only 'admin' user can invite nodes"}`},
		{call{path: invitations}, 401, `{"message":"Unauthorized"}`},
		{call{user: "admin", path: "/api/v1/cluster/invitation"}, 404, `{"message":"Not Found"}`},
	} {
		got := n.do(t, tt.call)
		if got.status != tt.status || got.body != tt.want+"\n" {
			t.Errorf("%s %s as %s = %d %s, want %d %s", tt.method, tt.path, tt.user, got.status, got.body, tt.status, tt.want)
		}
	}
	if want := (enrol.Invite{Name: "mac-7", By: "admin", Valid: time.Hour, Renew: true, Addresses: []string{"a:1"}}); !cmp.Equal(n.enrolment.asked, want) {
		t.Errorf("asked %+v, want %+v", n.enrolment.asked, want)
	}
	if want := [2]string{"mac-7", "admin"}; n.enrolment.revoked != want {
		t.Errorf("revoked %v, want %v", n.enrolment.revoked, want)
	}
}

func TestInvitationsThatAreRefused(t *testing.T) {
	n := newNode(t)
	for _, method := range []string{"POST", "DELETE"} {
		path, body := invitations, `{"name":"x"}`
		if method == "DELETE" {
			path, body = invitations+"x", ""
		}
		n.enrolment.err = &enrol.Refusal{Code: enrol.CodeName, Message: "Unable to: 100%"}
		if got := n.do(t, call{user: "admin", method: method, path: path, body: body}); got.status != 400 || got.body != `{"message":"Unable to: 100%"}`+"\n" {
			t.Errorf("%s that is refused: %d %s", method, got.status, got.body)
		}
		n.enrolment.err = errors.New("disk is full")
		if got := n.do(t, call{user: "admin", method: method, path: path, body: body}); got.status != 500 {
			t.Errorf("%s of a node that fails: %d %s", method, got.status, got.body)
		}
	}
}
