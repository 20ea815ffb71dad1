// Package overlay carries HTTP between members of the cluster, over
// connections that lib/cluster has authenticated end to end, whatever the
// number of members in between. So it is plain HTTP/1.1 here: no TLS, no
// credentials.
//
// Members vouch for each other: beside a request travels an Envelope that says
// for which user it is asked. The asked member looks that user up among its
// own and applies its own rules. An Envelope is read only from requests that
// came in over a Listener of this package; the same headers from anywhere else
// mean nothing.
//
// A request is passed on once: who serves one that came over the overlay
// answers it itself. See DESIGN.md.
package overlay
