package api

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// stateAnswer is an ApplicationState written by hand: clients poll it, so it
// is most of what a node answers. It points into an Entry, which never
// changes.
type stateAnswer model.ApplicationState

// VisitApplicationStateGetResponse implements the generated answer.
func (s *stateAnswer) VisitApplicationStateGetResponse(w http.ResponseWriter) error {
	return s.write(w)
}

// VisitApplicationDeallocateResponse implements the generated answer.
func (s *stateAnswer) VisitApplicationDeallocateResponse(w http.ResponseWriter) error {
	return s.write(w)
}

func (s *stateAnswer) write(w http.ResponseWriter) error {
	e := w.(*exchange) //nolint:forcetypeassert // ServeHTTP made it
	b := append(s.appendJSON(e.scratch[:0]), '\n')
	e.setJSON(len(b))
	_, err := e.Write(b)
	return err
}

// appendJSON appends what encoding/json makes of an apiv1.ApplicationState.
func (s *stateAnswer) appendJSON(b []byte) []byte {
	b = appendUID(append(b, `{"UID":"`...), s.UID)
	b = appendUID(append(b, `","application_UID":"`...), s.ApplicationUID)
	b = s.CreatedAt.AppendFormat(append(b, `","created_at":"`...), time.RFC3339Nano)
	b = appendText(append(b, `","description":`...), s.Description)
	b = appendText(append(b, `,"status":`...), string(s.Status))
	return append(b, '}')
}

func appendUID(b []byte, uid model.UID) []byte {
	b = append(hex.AppendEncode(b, uid[:4]), '-')
	b = append(hex.AppendEncode(b, uid[4:6]), '-')
	b = append(hex.AppendEncode(b, uid[6:8]), '-')
	b = append(hex.AppendEncode(b, uid[8:10]), '-')
	return hex.AppendEncode(b, uid[10:])
}

// appendText appends a JSON string; what is not plain ASCII goes through
// encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
