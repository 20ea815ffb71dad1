package enrol

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// tokens draws tokens as they are made.
func tokens(t *rapid.T) Token {
	fill := func(to []byte) { copy(to, rapid.SliceOfN(rapid.Byte(), len(to), len(to)).Draw(t, "bytes")) }
	var k Token
	fill(k.Secret[:])
	fill(k.Issuer[:])
	fill(k.CA[:])
	k.Name = rapid.StringMatching(`[a-z0-9.-]{0,20}[a-z0-9]`).Draw(t, "name")
	k.Addresses = rapid.SliceOfN(rapid.StringMatching(`[a-z0-9.]{1,30}:[0-9]{1,5}|\[[0-9a-f:]{2,20}\]:[0-9]{1,5}`), 1, maxAddresses).Draw(t, "addresses")
	return k
}

// A token survives being printed, broken into lines and copied.
func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := tokens(t)
		text, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(text)).Draw(t, "break")
		got, err := ParseToken(" " + text[:at] + rapid.SampledFrom([]string{"", "\n", "\r\n  ", "\t"}).Draw(t, "space") + text[at:] + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(letters, r) }) {
			t.Errorf("%q is not one word that shells leave alone", text)
		}
	})
}

// Any slip of a letter, any loss and any swap is told, and the message does not have the token.
func TestTokenTypos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := tokens(t).Encode()
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(len(TokenPrefix), len(text)-1).Draw(t, "at")
		var wrong string
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			wrong = text[:at] + string(rapid.SampledFrom([]rune(letters+"äO0+/=.")).Draw(t, "letter")) + text[at+1:]
		case 1:
			wrong = text[:at] + text[at+1:]
		case 2:
			wrong = text[:at]
		case 3:
			wrong = text[:at] + text[at:at+1] + text[at:]
		}
		got, err := ParseToken(wrong)
		if wrong != text && err == nil {
			t.Fatalf("%q was taken for %q: %#v", wrong, text, got.Addresses)
		}
		if err != nil && strings.Contains(err.Error(), wrong[len(TokenPrefix):min(len(wrong), len(TokenPrefix)+12)]) && len(wrong) > len(TokenPrefix)+12 {
			t.Errorf("error shows the token: %v", err)
		}
	})
}

// Whatever is given, nothing but an error comes of it, and what is read is written the same.
func FuzzParseToken(f *testing.F) {
	text, err := Token{Name: "b", Addresses: []string{"a:1"}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("")
	f.Add(TokenPrefix)
	f.Add(TokenPrefix + strings.Repeat("A", 200))
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		_, want, _ := strings.Cut(strings.Join(strings.Fields(text), ""), TokenPrefix)
		if again, err := token.Encode(); err != nil || again != TokenPrefix+want {
			t.Errorf("%q is written as %q, %v", text, again, err)
		}
	})
}

// Who copies copies the whole table that the token is printed in.
func TestTokenInItsTable(t *testing.T) {
	text, err := Token{Name: "b", Addresses: []string{"a:1"}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseToken("Name     b\nExpires  2026-11-22 12:51:28\nToken    " + text + "\n")
	if err != nil || got.Name != "b" {
		t.Errorf("ParseToken = %v, %v", got, err)
	}
}

func TestTokensThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"": "there is no token", " \n": "there is no token", "hunter2": "begins with fishjoin1_", TokenPrefix: "not as it was printed",
	} {
		if _, err := ParseToken(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseToken(%q): %v, want %q", text, err, want)
		}
	}
	for _, bad := range []Token{
		{Name: "b"}, {Name: "", Addresses: []string{"a:1"}}, {Name: strings.Repeat("x", 256), Addresses: []string{"a:1"}},
		{Name: "b", Addresses: make([]string, maxAddresses+1)},
	} {
		if text, err := bad.Encode(); err == nil {
			t.Errorf("%v was written as %q", bad.Addresses, text)
		}
	}
}

// A token that is logged or printed by accident tells nothing.
func TestSecretsHideThemselves(t *testing.T) {
	token := Token{Secret: NewSecret(), Issuer: model.UID{1}, Name: "b", Addresses: []string{"a:1"}}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "token", token, "secret", token.Secret)
	printed := log.String() + fmt.Sprintf("%v %+v %#v %s %x|%v %+v %#v %s", token, token, token, token, token.Name, token.Secret, token.Secret, token.Secret, token.Secret)
	for _, form := range []string{fmt.Sprintf("%x", token.Secret[:]), fmt.Sprintf("%v", token.Secret[:]), fmt.Sprintf("%d", token.Secret[0:4])} {
		if strings.Contains(printed, strings.Trim(form, "[]")) {
			t.Errorf("the secret %s is in %s", form, printed)
		}
	}
	if !strings.Contains(printed, "(secret)") || !strings.Contains(printed, "(token for b)") {
		t.Errorf("printed %s", printed)
	}
}
