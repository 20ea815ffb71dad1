package app

import (
	"io"
	"net/http"
)

// notFound answers every path that nobody serves (contract 5).
func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"message":"Not Found"}`+"\n") // a client that is gone needs no answer
}
