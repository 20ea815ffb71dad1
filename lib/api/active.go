package api

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// maxEndedWithin bounds how far back a client can ask for what ended: nobody who follows the applications looks less often.
const maxEndedWithin = time.Hour

type activeList struct{ list[*model.Entry] }

// VisitApplicationActiveListResponse implements the generated answer.
func (l activeList) VisitApplicationActiveListResponse(w http.ResponseWriter) error {
	return l.write(w)
}

// ApplicationActiveList lists what is not over of the caller's applications, all for the admin, with their states.
func (h *handlers) ApplicationActiveList(
	ctx context.Context, r apiv1.ApplicationActiveListRequestObject,
) (apiv1.ApplicationActiveListResponseObject, error) {
	var since time.Time
	if seconds := r.Params.EndedWithin; seconds != nil {
		if *seconds < 1 || *seconds > int(maxEndedWithin.Seconds()) {
			return nil, badRequest("ended_within can't be %d: want a number of seconds from 1 to %d", *seconds, int(maxEndedWithin.Seconds()))
		}
		since = time.Now().Add(-time.Duration(*seconds) * time.Second)
	}
	entries, err := h.Store.Live(ctx, query(ctx, nil).Caller, since)
	if err != nil {
		return nil, err
	}
	return activeList{newList(h, "application", values(entries), h.toActive)}, nil
}

func (h *handlers) toActive(e *model.Entry) apiv1.ActiveApplication {
	s := e.Fold.Current
	a := apiv1.ActiveApplication{Application: toApplication(e.Application), State: apiv1.ApplicationState{
		UID: s.UID, ApplicationUID: s.ApplicationUID, CreatedAt: s.CreatedAt, Description: s.Description,
		Status: apiv1.ApplicationStatus(s.Status),
	}}
	if l, ok := h.Store.Label(e.Application.LabelUID); ok {
		a.LabelName, a.LabelVersion = l.Name, l.Version
	}
	return a
}

// values lists what is there already.
func values[T any](elements []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, e := range elements {
			if !yield(e, nil) {
				return
			}
		}
	}
}
