package sshproxy

import (
	"fmt"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// noQuestions is what x/crypto says of a server that offers to ask for the
// password and then does not, as OpenSSH without PAM: to a reader it is noise.
const noQuestions = "unexpected message type 51 (expected 60)"

// notLetIn is the refusal for a handshake that failed. Before a host key was
// shown nobody spoke of a login: what answers is no SSH server, or one that is
// about to stop or not yet there.
func notLetIn(err error, keyShown bool, login model.Authentication) *Refusal {
	text := "what answers at the port of the environment does not speak SSH with the node: is it the port that the authentication of the label names, and does its SSH server run"
	if keyShown {
		text = fmt.Sprintf("the environment does not let the node in as %q with the authentication of its label, which has %s: the log of its SSH server says why",
			plain(login.Username), shownTo(login))
	}
	if said := err.Error(); !strings.HasSuffix(said, noQuestions) {
		text += ": " + plain(said)
	}
	return &Refusal{Reason: ReasonOther, Text: text}
}

// shownTo tells by what the node logs in, and nothing of it.
func shownTo(login model.Authentication) string {
	switch {
	case login.Key != "" && login.Password != "":
		return "a key and a password"
	case login.Key != "":
		return "a key"
	case login.Password != "":
		return "a password"
	}
	return "neither password nor key"
}
