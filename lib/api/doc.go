// Package api is the REST API of a node: handlers over the server that is
// generated from openapi.yaml, one file per noun. A handler is thin: it checks
// who may, turns the request into the model's words, asks the store, and turns
// the answer back.
//
// Around the handlers, in the order in which a request meets them: exchange.go
// (request id, panics, form of the answer), api.go (which prefix is whose;
// credentials before routing), guard.go (bodies, and requests that a browser
// sends from elsewhere), failure.go (errors to statuses). All of it is held to
// the contract of the v1 API: routes, statuses, texts and JSON do not change.
package api
