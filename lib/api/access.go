package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// needResource returns an error unless the Resource is here and the caller's.
func (h *handlers) needResource(ctx context.Context, uid model.UID) error {
	_, e, ok := h.Store.Resource(uid)
	if !ok {
		return h.resourceAbsent(uid)
	}
	return needOwner(ctx, e)
}

// errNoSSH is the answer of a node without an SSH proxy.
func errNoSSH() error { return badRequest("SSH proxy is not available on this node") }

// ResourceAccessGet makes one-time credentials for the SSH proxy. That the
// environment has no login is not asked: clients get credentials in any case,
// and who connects is told (contract 22).
func (h *handlers) ResourceAccessGet(
	ctx context.Context, r apiv1.ResourceAccessGetRequestObject,
) (apiv1.ResourceAccessGetResponseObject, error) {
	if err := h.needResource(ctx, r.UID); err != nil {
		return nil, err
	}
	if h.SSH == nil {
		return nil, errNoSSH()
	}
	password := crypt.RandomPassword()
	private, public, err := crypt.NewSSHLogin()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(password))
	made, err := h.Store.CreateAccess(ctx, model.ResourceAccess{
		ResourceUID: r.UID, UserName: callerOf(ctx).Name, Digest: digest[:], PublicKey: public,
		ExpiresAt: time.Now().Add(h.AccessLifetime),
	})
	switch {
	case errors.Is(err, store.ErrNotFound): // it went meanwhile
		return nil, h.resourceAbsent(r.UID)
	case errors.Is(err, store.ErrTooMany):
		return nil, badRequest("Unable to create access: %v", store.ErrTooMany)
	case err != nil:
		return nil, fmt.Errorf("store credentials: %w", err)
	}
	return apiv1.ResourceAccessGet200JSONResponse{
		UID: made.UID, Address: h.SSH.Address(), CreatedAt: made.CreatedAt, Key: private, Password: password,
		ResourceUID: made.ResourceUID, Username: made.UserName,
	}, nil
}

// ResourceSSHGet shows who got into a Resource.
func (h *handlers) ResourceSSHGet(
	ctx context.Context, r apiv1.ResourceSSHGetRequestObject,
) (apiv1.ResourceSSHGetResponseObject, error) {
	if err := h.needResource(ctx, r.UID); err != nil {
		return nil, err
	}
	pin, _ := h.Store.HostKey(r.UID)
	view := apiv1.ResourceSSH{HostKey: authorizedKey(pin), Fingerprint: crypt.SSHFingerprint(pin), Uses: []apiv1.ResourceSSHUse{}}
	names := map[model.UID]string{}
	for _, m := range h.Cluster.Members() {
		names[m.UID] = m.Name
	}
	for _, u := range h.Store.AccessUses(r.UID) {
		view.Uses = append(view.Uses, apiv1.ResourceSSHUse{
			AccessUID: u.AccessUID, Address: u.Client, NodeUID: u.EntryUID, NodeName: names[u.EntryUID], SessionUID: u.SessionUID,
			UsedAt: u.UsedAt, Username: u.UserName,
		})
	}
	return apiv1.ResourceSSHGet200JSONResponse(view), nil
}

// NodeThisSSHGet shows where the SSH proxy of this node is, to everybody: the
// host key is what keeps a user from logging in elsewhere.
func (h *handlers) NodeThisSSHGet(
	context.Context, apiv1.NodeThisSSHGetRequestObject,
) (apiv1.NodeThisSSHGetResponseObject, error) {
	if h.SSH == nil {
		return nil, errNoSSH()
	}
	key := h.SSH.HostKey()
	return apiv1.NodeThisSSHGet200JSONResponse{
		Address: h.SSH.Address(), HostKey: authorizedKey(key), Fingerprint: crypt.SSHFingerprint(key),
	}, nil
}

// MemberSSHGet shows where the SSH proxy of a member is, to everybody.
func (h *handlers) MemberSSHGet(_ context.Context, r apiv1.MemberSSHGetRequestObject) (apiv1.MemberSSHGetResponseObject, error) {
	return nil, &memberWanted{ref: r.Node, budget: orderBudget}
}

// authorizedKey is a key in the form of authorized_keys, without a line end;
// empty for none. It takes keys of every type: the type is the first string of
// the wire form (RFC 4253, 6.6), and nothing else of it has to be understood.
func authorizedKey(wire []byte) string {
	kind := keyType(wire)
	if kind == "" {
		return ""
	}
	return kind + " " + base64.StdEncoding.EncodeToString(wire)
}

// keyType is the first string of a key in wire form; empty if there is none that
// can be written into a line.
func keyType(wire []byte) string {
	if len(wire) < 4 {
		return ""
	}
	length := uint64(binary.BigEndian.Uint32(wire))
	if length > uint64(len(wire)-4) {
		return ""
	}
	kind := string(wire[4 : 4+length])
	for _, r := range kind {
		if r <= ' ' || r > '~' {
			return ""
		}
	}
	return kind
}
