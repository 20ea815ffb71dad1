package replica

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The bounds of one-time credentials and their uses. Every node has those of all
// environments in memory, so they are less than what a row may have.
const (
	// maxDigest is the length of a SHA-256.
	maxDigest = 32
	// maxPublicKey bounds a key in the wire form of SSH: one of RSA with 16384
	// bits, the most that OpenSSH makes, takes 2 KiB, a certificate some more.
	maxPublicKey = 16 << 10
	// maxName bounds the name of a user, and an address.
	maxName = 4 << 10
)

type wireAccess struct {
	UID         model.UID `json:"uid"`
	Resource    model.UID `json:"res"`
	Application model.UID `json:"app"`
	User        string    `json:"user"`
	Digest      []byte    `json:"digest"`
	Key         []byte    `json:"key"`
	Created     nanos     `json:"created"`
	Expires     nanos     `json:"expires"`
	HLC         model.HLC `json:"hlc"`
}

func (w wireAccess) identified() bool {
	return w.UID != model.NilUID && w.Resource != model.NilUID && w.Application != model.NilUID
}

func (w wireAccess) bounded() error {
	return atMost("resource access", part{"user", len(w.User), maxName}, part{"digest", len(w.Digest), maxDigest}, part{"key", len(w.Key), maxPublicKey})
}

// EncodeResourceAccess returns the body of a resource access' row. ErrTooLarge if
// a part is larger than it may be.
func EncodeResourceAccess(a model.ResourceAccess) ([]byte, error) {
	w := wireAccess{
		UID: a.UID, Resource: a.ResourceUID, Application: a.ApplicationUID, User: a.UserName, Digest: a.Digest, Key: a.PublicKey,
		Created: toNanos(a.CreatedAt), Expires: toNanos(a.ExpiresAt), HLC: a.HLC,
	}
	if err := w.bounded(); err != nil {
		return nil, err
	}
	return encode("resource access", w)
}

// DecodeResourceAccess reads the body of a resource access' row. ErrTooLarge as
// EncodeResourceAccess.
func DecodeResourceAccess(body []byte) (model.ResourceAccess, error) {
	w, err := decode[wireAccess]("resource access", body)
	if err == nil {
		err = w.bounded()
	}
	if err != nil {
		return model.ResourceAccess{}, err
	}
	return model.ResourceAccess{
		UID: w.UID, ResourceUID: w.Resource, ApplicationUID: w.Application, UserName: w.User, Digest: w.Digest, PublicKey: w.Key,
		CreatedAt: w.Created.time(), ExpiresAt: w.Expires.time(), HLC: w.HLC,
	}, nil
}

type wireUse struct {
	Access      model.UID `json:"access"`
	Resource    model.UID `json:"res"`
	Application model.UID `json:"app"`
	Session     model.UID `json:"session"`
	Entry       model.UID `json:"entry"`
	User        string    `json:"user"`
	Client      string    `json:"client"`
	HostKey     []byte    `json:"hostkey"`
	Used        nanos     `json:"used"`
	HLC         model.HLC `json:"hlc"`
}

func (w wireUse) identified() bool {
	return w.Access != model.NilUID && w.Resource != model.NilUID && w.Application != model.NilUID
}

func (w wireUse) bounded() error {
	return atMost("access use", part{"user", len(w.User), maxName}, part{"client", len(w.Client), maxName}, part{"hostkey", len(w.HostKey), maxPublicKey})
}

// EncodeAccessUse returns the body of an access use's row. ErrTooLarge if a part
// is larger than it may be.
func EncodeAccessUse(u model.AccessUse) ([]byte, error) {
	w := wireUse{
		Access: u.AccessUID, Resource: u.ResourceUID, Application: u.ApplicationUID, Session: u.SessionUID, Entry: u.EntryUID,
		User: u.UserName, Client: u.Client, HostKey: u.HostKey, Used: toNanos(u.UsedAt), HLC: u.HLC,
	}
	if err := w.bounded(); err != nil {
		return nil, err
	}
	return encode("access use", w)
}

// DecodeAccessUse reads the body of an access use's row. ErrTooLarge as
// EncodeAccessUse.
func DecodeAccessUse(body []byte) (model.AccessUse, error) {
	w, err := decode[wireUse]("access use", body)
	if err == nil {
		err = w.bounded()
	}
	if err != nil {
		return model.AccessUse{}, err
	}
	return model.AccessUse{
		AccessUID: w.Access, ResourceUID: w.Resource, ApplicationUID: w.Application, SessionUID: w.Session, EntryUID: w.Entry,
		UserName: w.User, Client: w.Client, HostKey: w.HostKey, UsedAt: w.Used.time(), HLC: w.HLC,
	}, nil
}

// part is one of a noun, with its length and the most it may have, in bytes.
type part struct {
	name         string
	length, most int
}

// atMost refuses a noun with a part that is too long.
func atMost(noun string, parts ...part) error {
	for _, p := range parts {
		if p.length > p.most {
			return fmt.Errorf("%s: %s has %d bytes of at most %d: %w", noun, p.name, p.length, p.most, ErrTooLarge)
		}
	}
	return nil
}
