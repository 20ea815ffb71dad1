package enrol

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"unicode"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TokenPrefix begins every token, so that people and scanners of secrets know one when they see it.
const TokenPrefix = "fishjoin1_"

const (
	secretSize = 16 // 128 bits: nobody guesses it
	checkSize  = 4  // one typo in 4 billion is not noticed here, and then by the node
	// maxAddresses bounds a token: one that a user can still copy.
	maxAddresses = 8
	maxField     = 255 // one byte of length
)

// Secret is what makes a token worth something. It shows itself to nobody by accident.
type Secret [secretSize]byte

// NewSecret makes one.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // never fails (crypto/rand documents a crash instead)
	return s
}

// Hash is all that the node keeps of it. No salt and no slow hash: there is nothing to guess in 128 random bits.
func (s Secret) Hash() [sha256.Size]byte { return sha256.Sum256(s[:]) }

// String hides it.
func (s Secret) String() string { return "(secret)" }

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides it from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Token is an invitation as it is handed over.
type Token struct {
	Secret    Secret
	Issuer    model.UID         // the only node that redeems it
	CA        [sha256.Size]byte // crypt.KeyHash of the CA that signed the issuer's certificate
	Name      string            // of the node that is invited
	Addresses []string          // host:port of the issuer, the likeliest first
}

// String hides the secret: Encode shows it.
func (t Token) String() string { return "(token for " + t.Name + ")" }

// GoString hides the secret from %#v.
func (t Token) GoString() string { return t.String() }

// LogValue hides the secret from logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Encode writes the token as one word. The error says what can not be written.
func (t Token) Encode() (string, error) {
	if len(t.Addresses) == 0 || len(t.Addresses) > maxAddresses {
		return "", fmt.Errorf("encode token: %d addresses, want 1 to %d", len(t.Addresses), maxAddresses)
	}
	var b bytes.Buffer
	b.Write(t.Secret[:])
	b.Write(t.Issuer[:])
	b.Write(t.CA[:])
	for _, text := range append([]string{t.Name}, t.Addresses...) {
		if text == "" || len(text) > maxField {
			return "", fmt.Errorf("encode token: %q is empty or longer than %d bytes", text, maxField)
		}
		b.WriteByte(byte(len(text)))
		b.WriteString(text)
	}
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:checkSize])
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(b.Bytes()), nil
}

// errTypo is for what was not copied as it was printed.
var errTypo = errors.New("the token is not as it was printed: copy all of it, from " + TokenPrefix + " to its end, and nothing else")

// ParseToken reads what Encode wrote. Spaces and line breaks, as terminals put them into what is copied, are nothing, and so
// is what stands before it: the table that it was printed in. Errors never show the token.
func ParseToken(text string) (Token, error) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return Token{}, errors.New("there is no token: 'aquarium-fish cluster invite NAME' with a node of the cluster prints one")
	}
	_, rest, ok := strings.Cut(text, TokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("this is no token: one begins with %s", TokenPrefix)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(data) < checkSize {
		return Token{}, errTypo
	}
	body, check := data[:len(data)-checkSize], data[len(data)-checkSize:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:checkSize], check) {
		return Token{}, errTypo
	}
	return parseBody(body)
}

// parseBody reads what the checksum was made of: somebody may have made that of nonsense.
func parseBody(body []byte) (t Token, err error) {
	for _, field := range [][]byte{t.Secret[:], t.Issuer[:], t.CA[:]} {
		if len(body) < len(field) {
			return Token{}, errTypo
		}
		copy(field, body)
		body = body[len(field):]
	}
	var texts []string
	for len(body) > 0 {
		n := int(body[0])
		if n == 0 || len(body) < 1+n {
			return Token{}, errTypo
		}
		texts = append(texts, string(body[1:1+n]))
		body = body[1+n:]
	}
	if len(texts) < 2 || len(texts) > 1+maxAddresses {
		return Token{}, errTypo
	}
	t.Name, t.Addresses = texts[0], texts[1:]
	if err := model.CheckNodeName(t.Name); err != nil {
		return Token{}, errTypo
	}
	for _, a := range t.Addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return Token{}, errTypo
		}
	}
	return t, nil
}
