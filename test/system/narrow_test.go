package system_test

import (
	"context"
	"net"
	"syscall"
)

// narrow connects with the smallest receive buffer that the system gives, so that the other end has to wait for us to read.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		if err != nil {
			return err
		}
		return failed
	}}
	return d.DialContext(ctx, network, address)
}
