// Package policytest holds what the driver does against a policy of IAM, as far
// as policies of this project go: the examples are tried, and not only read.
package policytest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Policy is a document that allows; there are no denials in it.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement allows its actions on its resources under its conditions.
type Statement struct {
	Sid, Effect      string
	Action, Resource List
	// Condition is by operator, then by key.
	Condition map[string]map[string]List
}

// List is one text, or several.
type List []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *List) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = List{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// Parse reads a policy. A member that it does not know is an error.
func Parse(text []byte) (Policy, error) {
	var p Policy
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(&p)
	return p, err
}

// Actions are all that are allowed for anything.
func (p Policy) Actions() map[string]bool {
	all := map[string]bool{}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			all[action] = true
		}
	}
	return all
}

// Request is one action on one resource: AWS asks for each resource of a request.
type Request struct {
	Action   string // such as "ec2:RunInstances"
	Resource string // ARN
	// Keys are the condition keys of the request that have values.
	Keys map[string][]string
}

// Allows reports whether some statement allows the request.
func (p Policy) Allows(r Request) bool {
	return slices.ContainsFunc(p.Statement, func(s Statement) bool {
		return s.Effect == "Allow" && slices.Contains(s.Action, r.Action) && like(s.Resource, r.Resource) && s.met(r.Keys)
	})
}

func like(patterns []string, value string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return cloud.Match(p, value) })
}

// met reports whether all conditions are met. One that nobody wrote here is not.
func (s Statement) met(keys map[string][]string) bool {
	for operator, conditions := range s.Condition {
		for key, want := range conditions {
			if !holds(operator, want, keys[key]) {
				return false
			}
		}
	}
	return true
}

func holds(operator string, want, got []string) bool {
	operator, all := strings.CutPrefix(operator, "ForAllValues:")
	one := func(value string) bool {
		switch operator {
		case "StringEquals", "Bool":
			return slices.Contains(want, value)
		case "StringNotEquals":
			return !slices.Contains(want, value)
		case "StringLike":
			return like(want, value)
		}
		return false
	}
	switch {
	case operator == "Null":
		return slices.Contains(want, "true") == (len(got) == 0)
	case all:
		return !slices.ContainsFunc(got, func(v string) bool { return !one(v) })
	}
	return slices.ContainsFunc(got, one)
}
