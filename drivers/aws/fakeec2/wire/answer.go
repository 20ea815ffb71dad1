package wire

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strconv"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// answer is what goes over the wire.
type answer struct {
	status      int
	contentType string
	body        []byte
	code        string // of an error
}

func (a answer) write(w http.ResponseWriter) {
	a.head(w)
	_, _ = w.Write(a.body) // the client may have gone
}

func (a answer) head(w http.ResponseWriter) {
	if a.contentType != "" {
		w.Header().Set("Content-Type", a.contentType)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
}

// renderer is how a service words its answers.
type renderer interface {
	reply(action, id string, reply any) answer
	failure(id string, status int, e *cloud.Error) answer
	words() words
}

// words are a service's codes for problems that all services have.
type words struct {
	missing       string // a parameter that is not there
	unknownAction string
	unsigned      string // no signature
	unknownKey    string // an access key id that it does not know
	badSignature  string
	expired       string // the credentials of a role
}

// renderEC2 words the EC2 query protocol.
type renderEC2 struct{}

const (
	xmlType      = "text/xml;charset=UTF-8"
	namespaceEC2 = "http://ec2.amazonaws.com/doc/" + versionEC2 + "/"
	namespaceSTS = "https://sts.amazonaws.com/doc/" + versionSTS + "/"
)

func (renderEC2) words() words {
	return words{"MissingParameter", "InvalidAction", "AuthFailure", "AuthFailure", "SignatureDoesNotMatch", "RequestExpired"}
}

// head is in every answer of EC2.
type head struct {
	RequestID string `xml:"requestId"`
}

func (h *head) identify(id string) { h.RequestID = id }

// identified is an answer of EC2; a pointer to a struct that embeds head is one.
type identified interface{ identify(id string) }

func (renderEC2) reply(action, id string, reply any) answer {
	reply.(identified).identify(id)
	var b document
	b.element(reply, action+"Response", namespaceEC2)
	return answer{status: http.StatusOK, contentType: xmlType, body: b.bytes()}
}

func (renderEC2) failure(id string, status int, e *cloud.Error) answer {
	var body struct {
		Code      string `xml:"Errors>Error>Code"`
		Message   string `xml:"Errors>Error>Message"`
		RequestID string `xml:"RequestID"`
	}
	body.Code, body.Message, body.RequestID = e.Code, e.Message, id
	var b document
	b.element(body, "Response", "")
	return answer{status, xmlType, b.bytes(), e.Code}
}

// renderSTS words the older query protocol.
type renderSTS struct{}

func (renderSTS) words() words {
	return words{"ValidationError", "InvalidAction", "MissingAuthenticationToken", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"}
}

type metadataSTS struct {
	RequestID string `xml:"RequestId"`
}

func (renderSTS) reply(action, id string, reply any) answer {
	var b document
	name := xml.Name{Local: action + "Response"}
	b.token(xml.StartElement{Name: name, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespaceSTS}}})
	b.element(reply, action+"Result", "")
	b.element(metadataSTS{id}, "ResponseMetadata", "")
	b.token(xml.EndElement{Name: name})
	return answer{status: http.StatusOK, contentType: "text/xml", body: b.bytes()}
}

func (renderSTS) failure(id string, status int, e *cloud.Error) answer {
	var body struct {
		Type      string `xml:"Error>Type"`
		Code      string `xml:"Error>Code"`
		Message   string `xml:"Error>Message"`
		RequestID string `xml:"RequestId"`
	}
	body.Type = "Sender"
	if status >= http.StatusInternalServerError {
		body.Type = "Receiver"
	}
	body.Code, body.Message, body.RequestID = e.Code, e.Message, id
	var b document
	b.element(body, "ErrorResponse", namespaceSTS)
	return answer{status, "text/xml", b.bytes(), e.Code}
}

// renderJSON words the JSON protocol 1.1.
type renderJSON struct{}

const jsonType = "application/x-amz-json-1.1"

func (renderJSON) words() words {
	return words{"ValidationException", "UnknownOperationException", "MissingAuthenticationTokenException",
		"UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}
}

func (renderJSON) reply(_, _ string, reply any) answer {
	body, err := json.Marshal(reply)
	if err != nil {
		panic(err) // a mistake in the types of this package
	}
	return answer{status: http.StatusOK, contentType: jsonType, body: body}
}

func (renderJSON) failure(_ string, status int, e *cloud.Error) answer {
	body, err := json.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
	if err != nil {
		panic(err) // of two strings it can not fail
	}
	return answer{status, jsonType, body, e.Code}
}

// set is a list in EC2's XML.
type set[T any] struct {
	Items []T `xml:"item"`
}

// setOf makes the list of what items look like.
func setOf[S, T any](list []S, look func(S) T) set[T] {
	var s set[T]
	for _, item := range list {
		s.Items = append(s.Items, look(item))
	}
	return s
}

type tagItem struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func tagSet(tags cloud.Tags) set[tagItem] {
	return setOf(sortedKeys(tags), func(key string) tagItem { return tagItem{key, tags[key]} })
}

// stamp is a time as EC2 writes it; empty, and so left out, if there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
