package enrol

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStrangersFillNoLog: whoever tries tokens for a while, known ones that ended among them, leaves a few lines a minute.
func TestStrangersFillNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		token := i.invite(t, "b")
		if _, err := i.Revoke("b", "admin"); err != nil {
			t.Fatal(err)
		}
		q := newJoiner(t, "b").request(t)
		for range 1200 {
			_, _ = i.send(t, Token{Secret: NewSecret()}, JoinRequest{}) // each is refused
			_, _ = i.send(t, token, q)
			time.Sleep(time.Second)
		}
		const most = 20*10 + burst + 1
		if lines := strings.Count(i.log.String(), "does not know"); lines == 0 || lines > most {
			t.Errorf("%d lines about unknown tokens in 20 minutes, want some, at most %d", lines, most)
		}
		if len(i.events) == 0 || len(i.events) > most {
			t.Errorf("%d events of a token that was revoked in 20 minutes, want some, at most %d", len(i.events), most)
		}
	})
}

// TestNamesAreBounded: each name is looked for among all that the cluster has.
func TestNamesAreBounded(t *testing.T) {
	i, b := newIssuer(t), newJoiner(t, "b")
	token := i.invite(t, "b")
	q := b.request(t)
	q.DryRun, q.Labels = true, slices.Repeat([]string{"x:1"}, maxNames+1)
	if _, err := i.send(t, token, q); code(t, err) != CodeRequest {
		t.Errorf("too many names: %v", err)
	}
	q.Labels = q.Labels[1:]
	if _, err := i.send(t, token, q); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
}

// TestOneInvitationForAName: names differ by more than their case, as members' do.
func TestOneInvitationForAName(t *testing.T) {
	i := newIssuer(t)
	first := i.invite(t, "Mac-7")
	i.invite(t, "mac-7")
	if _, err := i.send(t, first, newJoiner(t, "Mac-7").request(t)); code(t, err) != CodeRevoked {
		t.Errorf("the first token is redeemed beside the second: %v", err)
	}
}

// TestJournalThatCanNotBeLookedFor is none that is absent: a node that starts would make a CA of its own.
func TestJournalThatCanNotBeLookedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Unfinished(file, "b"); err == nil {
		t.Error("Unfinished = nil")
	}
	if _, err := FindJournal(file, "b"); err == nil {
		t.Error("FindJournal = nil")
	}
}
