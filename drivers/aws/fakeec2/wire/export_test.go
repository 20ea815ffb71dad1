package wire

import "time"

// FiltersOf shows the filters of an action to tests.
func FiltersOf(action string) []string { return filtersOf(action) }

// Role is what AssumeRole gives.
type Role struct{ KeyID, Token string }

// AssumeRole gives a test the credentials of a role.
func AssumeRole(h *Handler, lifetime time.Duration) Role {
	reply := h.grant(caller{"arn:aws:iam::777:role/fish", "test"}, lifetime)
	return Role{reply.KeyID, reply.Token}
}
