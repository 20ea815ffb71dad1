package app

import (
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/logging"
	"github.com/aquarium-fish/aquarium-fish/lib/meta"
)

// logged adds the access log, if there is a console for it.
func logged(opts Options, h http.Handler) http.Handler {
	if opts.Console == nil {
		return h
	}
	shown := shownParameters()
	uri := func(r *http.Request) string { return logging.MaskQuery(meta.RedactURI(r), shown) }
	return logging.NewAccessLog(opts.Console, uri).Wrap(h)
}

// shownParameters are the parameters of the specification, which the access log
// has with their values. None of them is a secret.
func shownParameters() map[string]bool {
	return map[string]bool{
		"filter": true, "ended_within": true, "pretty": true, "replicated": true, "format": true, "prefix": true,
		"enable": true, "shutdown": true, "shutdown_delay": true, "debug": true, "seconds": true,
		"since": true, "until": true, "user": true, "action": true, "object": true, "result": true, "limit": true, "cursor": true,
		"instance": true, "id": true,
	}
}
