package enrol

import (
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// JoinPath is where a token is redeemed. It is no part of the v1 API: no credentials but the token's secret count there.
const JoinPath = "/cluster/v1/join"

// scheme is how the secret is shown, in the header Authorization: there it is known before the body is read, and is in
// no log.
const scheme = "FishJoin "

// issuerHeader names the node that gave out the token, by its UID.
const issuerHeader = "Fish-Issuer"

// Bounds of the exchange in bytes. A request for a certificate fits many times over; what is beyond it are the names of
// what a node with data of its own would bring along: maxNames of them, each of which is looked for.
const (
	maxRequestBody = 2 << 20
	maxAnswerBody  = 4 << 20
	maxNames       = 20_000
)

// JoinRequest is sent to JoinPath.
type JoinRequest struct {
	Address string `json:"address"` // host:port where others reach the node
	Request []byte `json:"request"` // for a certificate, with the node's name: PKCS #10, DER
	// DryRun checks everything and redeems nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Users and Labels are names that the node would like to bring along.
	Users  []string `json:"users,omitempty"`
	Labels []string `json:"labels,omitempty"`
}

// JoinAnswer is what a redeemed token gives.
type JoinAnswer struct {
	Certificate string   `json:"certificate"` // PEM, with its chain; empty after a dry run
	CAs         string   `json:"cas"`         // PEM, the oldest first
	Cluster     string   `json:"cluster"`     // UID in hex
	Addresses   []string `json:"addresses"`   // where members are reached: for cluster_join
	// Admin is the hash of the admin's password, absent after a dry run. A member gets to know all users in any case; with
	// this one it does not begin with an admin of its own, who would be newer than the cluster's and replace that.
	Admin *model.PasswordHash `json:"admin,omitempty"`
	// TakenUsers and TakenLabels are those of the request that the cluster has already.
	TakenUsers  []string `json:"taken_users,omitempty"`
	TakenLabels []string `json:"taken_labels,omitempty"`
}

// Refusal is why a token was not redeemed, in words for the one who tried.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Code names the reason of a Refusal for programs.
type Code string

// The reasons.
const (
	CodeUnknown   Code = "unknown"   // no such invitation here
	CodeElsewhere Code = "elsewhere" // another node gave it out
	CodeExpired   Code = "expired"
	CodeUsed      Code = "used"       // redeemed, with another key
	CodeRevoked   Code = "revoked"    // somebody took it back
	CodeClock     Code = "clock"      // the node's clock went back
	CodeName      Code = "name"       // it is for another name
	CodeNameTaken Code = "name_taken" // a member with another key has the name
	CodeRetired   Code = "retired"    // the key was retired
	CodeRequest   Code = "request"    // the request can not be read, or asks for what is not given
	CodeNoSigner  Code = "no_signer"  // the CA's key is not here any more
	CodeBusy      Code = "busy"       // too many at once
	CodeFailed    Code = "failed"     // the node's fault
)

// status is the HTTP status that a reason is told with.
func (c Code) status() int {
	switch c {
	case CodeUnknown, CodeExpired, CodeUsed, CodeRevoked, CodeClock, CodeRetired:
		return http.StatusForbidden
	case CodeElsewhere:
		return http.StatusMisdirectedRequest
	case CodeName, CodeNameTaken:
		return http.StatusConflict
	case CodeRequest:
		return http.StatusBadRequest
	case CodeNoSigner:
		return http.StatusServiceUnavailable
	case CodeBusy:
		return http.StatusTooManyRequests
	case CodeFailed:
	}
	return http.StatusInternalServerError
}
