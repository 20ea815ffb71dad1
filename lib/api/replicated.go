package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

const (
	// replicaBudget is how long an answer is held back for a second node to
	// have the change: it takes one push and one advert.
	replicaBudget    = 300 * time.Millisecond
	replicaHeader    = "Aquarium-Replicated"
	replicaParameter = "replicated"
)

var errReplicaValue = errors.New("replicated has to be 1 or 0, and there once")

// wantsReplica reports whether the client asks for an answer after a second
// node has its change.
func wantsReplica(query url.Values) (bool, error) {
	values, ok := query[replicaParameter]
	if !ok {
		return false, nil
	}
	want, err := strconv.ParseBool(values[0])
	if err != nil || len(values) > 1 {
		return false, errReplicaValue
	}
	return want, nil
}

// replicas stands around every handler: where the client asks for it, what was
// changed is waited for on a second node. The answer is the same without.
func (h *handlers) replicas(next apiv1.StrictHandlerFunc, _ string) apiv1.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		response, err := next(ctx, w, r, request)
		if e := exchangeOf(ctx); err == nil && e.replicated && stores(request) {
			bounded, cancel := context.WithTimeout(ctx, replicaBudget)
			defer cancel()
			done := h.Cluster.Replicated(bounded) == nil
			e.Header().Set(replicaHeader, strconv.FormatBool(done))
		}
		return response, err
	}
}

// stores reports whether a request changes what all nodes have.
func stores(request any) bool {
	switch request.(type) {
	case apiv1.NodeThisMaintenanceRequestObject, apiv1.NodeThisDrainSetRequestObject, apiv1.NodeThisProfilingGetRequestObject:
		return false
	}
	_, ok := deedOf(request, nil)
	return ok
}
