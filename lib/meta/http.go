package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Answers that clients know by their text (contract 17), and ours.
const (
	unknownCaller = "Client IP was not found in the node Resources"
	unknownToken  = "this metadata address is not valid: use it from the node's own host, while the application is ALLOCATED"
	busy          = "too many requests wait for their environment, ask again in a moment"
	stopping      = "the node is stopping, ask again in a moment"
)

// ServeHTTP answers one request below Root.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	path, below := strings.CutPrefix(r.URL.Path, Root)
	if !below || r.Method != http.MethodGet {
		fail(w, http.StatusNotFound, "Not Found")
		return
	}
	token, hasToken := "", false
	if rest, ok := strings.CutPrefix(path, "token/"); ok {
		token, path, hasToken = strings.Cut(rest, "/")
	}
	key, isData := strings.CutPrefix(path, "data/")
	switch {
	case !isData || strings.Contains(key, "/"):
		fail(w, http.StatusNotFound, "Not Found")
	case key != "":
		fail(w, http.StatusNotFound, "TODO: Not implemented") // byte for byte as contract 17 has it
	default:
		h.serveData(w, r, token, hasToken)
	}
}

func (h *Handler) serveData(w http.ResponseWriter, r *http.Request, token string, hasToken bool) {
	from, ok := caller.ParseAddress(r.RemoteAddr)
	if !ok {
		h.Logger.Error("metadata caller has no address", "address", r.RemoteAddr)
		fail(w, http.StatusUnauthorized, unknownCaller)
		return
	}
	var entry *model.Entry
	var err error
	if hasToken {
		entry, err = h.Callers.ByToken(r.Context(), from, token)
	} else {
		entry, err = h.Callers.ByAddress(r.Context(), from)
	}
	if err != nil {
		h.refuse(w, err)
		return
	}
	h.render(w, r.URL.RawQuery, entry, h.proxyNames(r, entry, hasToken))
}

// proxyNames tell the environment where it reaches the node's proxy: one that
// shares this host's address has a token, another one is told the address at
// which it has just reached us. Nobody is told the metadata address: who reads
// this knows it.
func (h *Handler) proxyNames(r *http.Request, entry *model.Entry, sharesHost bool) map[string]string {
	a, _ := entry.Allocation(entry.Fold.Allocated.Epoch) // without one there is no credential
	proxy := metadata.NewProxy(h.Proxy, a.ProxyCredential)
	if sharesHost {
		return proxy.Here()
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil {
		return nil
	}
	return proxy.At(local.AddrPort().Addr())
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, caller.ErrUnknown):
		fail(w, http.StatusUnauthorized, unknownCaller)
	case errors.Is(err, caller.ErrSecret):
		fail(w, http.StatusUnauthorized, unknownToken)
	case errors.Is(err, caller.ErrBusy):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, busy)
	case errors.Is(err, caller.ErrStopping):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, stopping)
	default:
		h.Logger.Error("metadata request failed", "error", err)
		fail(w, http.StatusInternalServerError, "Internal Server Error")
	}
}

// render answers with the environment's metadata, and with what the node says of
// itself (node).
func (h *Handler) render(w http.ResponseWriter, rawQuery string, entry *model.Entry, node map[string]string) {
	format, prefix, err := query(rawQuery)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	var label json.RawMessage
	if a, ok := entry.Allocation(entry.Fold.Allocated.Epoch); ok {
		label = a.LabelMetadata
	}
	body, dropped, err := metadata.Render(format, entry.Resource.Metadata, label, node, prefix)
	if err != nil {
		h.refuse(w, fmt.Errorf("render resource %s: %w", entry.Resource.UID, err))
		return
	}
	h.noteDropped(entry.Application.UID, dropped)
	contentType := "text/plain; charset=UTF-8"
	if format == metadata.JSON {
		contentType = "application/json; charset=UTF-8"
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body) // a caller that went away needs no answer
}

func (h *Handler) noteDropped(app model.UID, dropped []metadata.Drop) {
	for _, d := range dropped {
		if h.seldom.Due("dropped", app.String(), d.Key, d.Reason) {
			h.Logger.Warn("metadata key left out", "application", app, "key", d.Key, "reason", d.Reason)
		}
	}
}

func query(raw string) (format metadata.Format, prefix string, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", "", errors.New("the query is not valid: escape it as in a URL")
	}
	for _, name := range []string{"format", "prefix"} {
		if len(values[name]) > 1 {
			return "", "", fmt.Errorf("parameter %s: give it once", name)
		}
	}
	format, err = metadata.ParseFormat(values.Get("format"))
	return format, values.Get("prefix"), err
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // a caller that went away needs no answer
		Message string `json:"message"`
	}{message})
}
