// Package apiv1 is the Go side of openapi.yaml: the v1 objects, which marshal
// with exactly the keys and the key order that v1 clients rely on, a chi router
// (HandlerWithOptions) and a strict server (NewStrictHandlerWithOptions) whose
// handlers take a decoded request and return a response object or an error.
//
// The generated response objects write `application/json` without a charset
// and know nothing of `pretty`. A server that needs both writes JSON itself in
// a StrictMiddlewareFunc, which sees the response object before it is written:
// it marshals the object and returns a nil response, upon which the generated
// code writes nothing more. A list that is too long for one buffer is a type of
// the server's own with the Visit method of its operation.
//
// Raw JSON fields are json.RawMessage: an empty one does not marshal and null
// is not an object, so a server fills in `{}` before it answers.
package apiv1
