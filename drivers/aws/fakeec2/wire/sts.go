package wire

import (
	"context"
	"strings"
	"time"
)

func (h *Handler) stsActions() map[string]action {
	return map[string]action{"GetCallerIdentity": h.getCallerIdentity, "AssumeRole": h.assumeRole}
}

func (h *Handler) getCallerIdentity(form) run {
	type reply struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string `xml:"Account"`
	}
	return func(ctx context.Context) (any, error) {
		who, err := h.backend.Identity(ctx)
		if err != nil {
			return nil, err
		}
		if as := callerOf(ctx); as.role != "" {
			who.ARN, who.Account = as.arn(), as.account()
		}
		return reply{who.ARN, userID(who.ARN), who.Account}, nil
	}
}

// account is the one that the role belongs to.
func (c caller) account() string {
	return strings.Split(c.role, ":")[4] // assumeRole has looked
}

// arn is the name of who has a role.
func (c caller) arn() string {
	return "arn:aws:sts::" + c.account() + ":assumed-role/" + c.role[strings.LastIndex(c.role, "/")+1:] + "/" + c.session
}

// userID has the form of AWS's ids of principals, which mean nothing.
func userID(arn string) string {
	return "AIDA" + strings.ToUpper(arn[strings.LastIndexAny(arn, ":/")+1:])
}

// The lifetimes of the credentials of a role, in seconds.
const (
	roleLeast   = 15 * 60
	roleDefault = 60 * 60
	roleMost    = 12 * 60 * 60
)

func (h *Handler) assumeRole(f form) run {
	who := caller{f.required("RoleArn"), f.required("RoleSessionName")}
	if parts := strings.SplitN(who.role, ":", 6); len(parts) != 6 || parts[2] != "iam" || !strings.HasPrefix(parts[5], "role/") {
		f.fail("ValidationError", "%s is invalid", who.role)
	}
	f.text("ExternalId") // a condition of the role's trust, of which nothing is known here
	seconds := roleDefault
	if f.has("DurationSeconds") {
		seconds = f.number("DurationSeconds")
	}
	if seconds < roleLeast || seconds > roleMost {
		f.fail("ValidationError", "DurationSeconds has to be from %d to %d", roleLeast, roleMost)
	}
	return func(context.Context) (any, error) {
		return h.grant(who, time.Duration(seconds)*time.Second), nil
	}
}

type assumeReply struct {
	KeyID      string `xml:"Credentials>AccessKeyId"`
	Secret     string `xml:"Credentials>SecretAccessKey"`
	Token      string `xml:"Credentials>SessionToken"`
	Expiration string `xml:"Credentials>Expiration"`
	RoleID     string `xml:"AssumedRoleUser>AssumedRoleId"`
	ARN        string `xml:"AssumedRoleUser>Arn"`
}

func (h *Handler) grant(who caller, lifetime time.Duration) assumeReply {
	keyID, s := h.roles.assume(who, h.opts.Now().Add(lifetime))
	return assumeReply{keyID, s.secret, s.token, s.expires.UTC().Format(time.RFC3339), "AROA" + keyID[4:] + ":" + who.session, who.arn()}
}
