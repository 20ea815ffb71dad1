//go:build !linux && !darwin

package link

import "net"

// limitUnsent does nothing: the system has no such bound.
func limitUnsent(net.Conn) {}
