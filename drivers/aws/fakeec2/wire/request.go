package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// The services, by the prefix of their actions in policies.
const (
	serviceEC2    = "ec2"
	serviceSTS    = "sts"
	serviceKMS    = "kms"
	serviceQuotas = "servicequotas"
)

// The versions of the protocols.
const (
	versionEC2 = "2016-11-15"
	versionSTS = "2011-06-15"
)

// request is what came over the wire.
type request struct {
	service string
	action  string
	values  map[string]string
	raw     *http.Request // for its signature
	body    []byte
	keyID   string
	problem *cloud.Error // it can not be read; the service is known all the same
}

// read reads a request. All services share one address, as their requests
// differ: those of JSON name their target in a header, and the version of a form
// tells EC2 from STS.
func read(body io.Reader, r *http.Request) request {
	q := request{service: serviceEC2, raw: r, keyID: credentialOf(r).keyID}
	if r.Method != http.MethodPost {
		q.problem = cloud.NewError("MethodNotAllowed", "this server takes POST alone, not %s", r.Method)
		return q
	}
	var err error
	if q.body, err = io.ReadAll(body); err != nil {
		q.problem = cloud.NewError("InvalidRequest", "the body can not be read: %v", err)
		return q
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		q.readJSON(target)
	} else {
		q.readForm(r.Header.Get("Content-Type"))
	}
	return q
}

func (q *request) readJSON(target string) {
	prefix, action, _ := strings.Cut(target, ".")
	services := map[string]string{"TrentService": serviceKMS, "ServiceQuotasV20190624": serviceQuotas}
	q.service, q.action = services[prefix], action
	if q.service == "" {
		q.service = serviceKMS // for an answer in JSON
		q.problem = cloud.NewError("UnknownOperationException", "no service %q", prefix)
		return
	}
	var input map[string]any
	if err := json.Unmarshal(q.body, &input); err != nil {
		q.problem = cloud.NewError("SerializationException", "the body is no JSON object: %v", err)
		return
	}
	q.values = map[string]string{}
	for name, value := range input {
		switch value.(type) {
		case string, float64, bool:
			q.values[name] = fmt.Sprint(value)
		default: // is refused as unknown
			q.values[name+".1"] = fmt.Sprint(value)
		}
	}
}

func (q *request) readForm(contentType string) {
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != "application/x-www-form-urlencoded" {
		q.problem = cloud.NewError("InvalidRequest", "the body has to be a form, and is %q", contentType)
		return
	}
	form, err := url.ParseQuery(string(q.body))
	if err != nil {
		q.problem = cloud.NewError("InvalidRequest", "the body is no form: %v", err)
		return
	}
	q.action = form.Get("Action")
	switch form.Get("Version") {
	case versionSTS:
		q.service = serviceSTS
	case versionEC2:
	default:
		q.problem = cloud.NewError("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", form.Get("Version"))
	}
	if q.action == "" && q.problem == nil {
		q.problem = cloud.NewError("MissingAction", "The request must contain an action")
	}
	q.values = map[string]string{}
	for name, values := range form {
		if len(values) > 1 {
			q.problem = cloud.NewError("InvalidParameterCombination", "the parameter %s is there %d times", name, len(values))
		}
		if name != "Action" && name != "Version" {
			q.values[name] = values[0]
		}
	}
}
