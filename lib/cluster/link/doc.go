// Package link is one connection between two neighbours of a cluster: TLS 1.3
// on the API's port under the ALPN name "aquarium/1", a hello of both sides,
// and then streams of three kinds over it: control messages, rows, and relays
// that carry other nodes' connections.
//
// A Transport dials, takes what the API's listener hands over, and knows all
// links; who may become a neighbour is decided by its caller. DESIGN.md tells
// the order of the handshake and what a stranger can cost.
package link
