package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// overDirect is the goal of both proxies on a link of 1 Gbit/s: throughput, of
// that without them.
const overDirect = 0.95

// The goals of the SSH proxy.
const (
	sshOverHops   = 0.80 // throughput, of two hops of OpenSSH
	sshKeystroke  = 2 * time.Millisecond
	sshIdle       = 200 // sessions
	sshIdleMemory = 60  // MB that they take together
)

// sshAccess is a one-time login at the proxy.
type sshAccess struct{ Address, Key, Password, Username string }

// sshSite is a node that runs an environment with an SSH server.
type sshSite struct {
	bench    *bench
	node     *node
	api      *conn
	resource string
}

// newSSHSite allocates an environment; login is JSON that says how the node logs
// in there.
func (b *bench) newSSHSite(ctx context.Context, n *node, login string) (*sshSite, error) {
	api, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &sshSite{bench: b, node: n, api: api}
	label, err := api.create(s.admin(), "/api/v1/label/", fmt.Sprintf(
		`{"name":"ssh","version":1,"definitions":[{"driver":"test","authentication":%s,"resources":{"cpu":1,"ram":1,"lifetime":"1h"}}]}`, login))
	if err != nil {
		s.close()
		return nil, err
	}
	uid, err := life{api, s.admin(), label, eagerPause}.create(ctx)
	if err != nil {
		s.close()
		return nil, err
	}
	if s.resource, err = s.uidOf(uid); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sshSite) admin() user { return user{"admin", s.bench.adminPassword} }

func (s *sshSite) uidOf(application string) (string, error) {
	text, err := s.api.expect(get(s.admin(), "/api/v1/application/"+application+"/resource"))
	if err != nil {
		return "", err
	}
	var resource struct{ UID string }
	if err := json.Unmarshal(text, &resource); err != nil {
		return "", fmt.Errorf("read resource: %w", err)
	}
	return resource.UID, nil
}

// access asks for a login.
func (s *sshSite) access() (a sshAccess, err error) {
	text, err := s.api.expect(get(s.admin(), "/api/v1/resource/"+s.resource+"/access"))
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("read access: %w", err)
	}
	return a, nil
}

func (s *sshSite) close() { s.api.close() }
