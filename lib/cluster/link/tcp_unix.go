//go:build linux || darwin

package link

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how much the kernel takes that it can not send yet. Its own
// default is megabytes, which on a slow line a ping would wait behind until
// the neighbour counts as dead.
const unsent = 128 << 10

// limitUnsent bounds what waits in the kernel. Without it the link works too.
func limitUnsent(conn net.Conn) {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = c.NetConn()
	}
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}
