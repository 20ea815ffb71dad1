// Package openapi holds openapi.yaml, the one source of the REST and metadata
// APIs. Two packages are generated from it and committed: apiv1 with the types,
// the router and the strict server, and client with the Go client. After a
// change of the specification run
//
//	go generate ./openapi/...
//
// The generator reads the specification through generate.overlay.yaml, which
// leaves out what is there for readers only; its version is pinned in
// tools/go.mod, apart from the dependencies of the product.
package openapi

import _ "embed"

// A string, so that nobody can change what every other caller reads.
//
//go:embed openapi.yaml
var spec string

// Spec returns the OpenAPI 3.0.3 specification as YAML, byte for byte the
// committed file. The caller owns the slice.
func Spec() []byte { return []byte(spec) }
