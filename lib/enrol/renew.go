package enrol

import (
	"context"
	"fmt"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// Renew signs a member's request (PKCS #10, DER) for a certificate for the key that it has proved by its present one,
// publicKey (PKIX DER), and returns the certificate file. It is for a node of the cluster that asks over a link: the
// certificate is for its own name and key, as the cluster knows them, and for no other. A Refusal is the member's mistake.
func (s *Service) Renew(ctx context.Context, publicKey, request []byte) ([]byte, error) {
	r, err := crypt.ParseRenewal(request, publicKey)
	if err != nil {
		return nil, &Refusal{CodeRequest, err.Error()}
	}
	members, err := s.admit(ctx, r)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(members, func(m Member) bool { return m.UID == r.UID() })
	if i < 0 {
		return nil, &Refusal{CodeRequest, "Unable to renew: this node does not know the key yet, or no more: wait until it has synced, or join again"}
	}
	if members[i].Name != r.Name {
		return nil, &Refusal{CodeName, fmt.Sprintf("Unable to renew: the key belongs to %s, the request is for %s", members[i].Name, r.Name)}
	}
	chain, err := s.Identity.Issue(r)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", r.Name, err)
	}
	s.Log.Info("member's certificate renewed", "member", r.Name)
	return chain, nil
}
