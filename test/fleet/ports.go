package fleet

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is a TCP port on 127.0.0.1, held for a server that does not run yet. The
// socket is bound and never listens: no other program is given the port, also
// while its server restarts, but the server shares it (SO_REUSEPORT).
type port struct {
	number int
	socket int
}

// reservePort holds a free port, or the one that is asked for.
func reservePort(number int) (_ *port, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reserving a port on 127.0.0.1: %w", err)
		}
	}()
	// No child may inherit the socket: it would hold the port for ever.
	syscall.ForkLock.RLock()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(socket)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	p := &port{number: number, socket: socket}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	addr, err := unix.Getsockname(socket)
	if err != nil {
		return nil, err
	}
	p.number = addr.(*unix.SockaddrInet4).Port
	return p, nil
}

func (p *port) release() { _ = unix.Close(p.socket) }
