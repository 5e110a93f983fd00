package proxy

import (
	"net"
	"sync"
	"time"
)

// gate is a listener that can break all its connections, and then makes none
// for a while.
type gate struct {
	net.Listener

	mu    sync.Mutex
	open  map[*connection]bool
	until time.Time
}

func newGate(l net.Listener) *gate { return &gate{Listener: l, open: map[*connection]bool{}} }

// Accept implements net.Listener. While the gate is shut, whoever connects is
// cut off before a word is said.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &connection{Conn: conn, gate: g}
		if g.admit(c) {
			return c, nil
		}
		_ = conn.Close() // the client learns nothing from it either way
	}
}

func (g *gate) admit(c *connection) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.until) {
		return false
	}
	g.open[c] = true
	return true
}

// shut breaks all connections, and lets none in for that long.
func (g *gate) shut(long time.Duration) {
	g.mu.Lock()
	g.until = time.Now().Add(long)
	open := g.open
	g.open = map[*connection]bool{}
	g.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // it is broken on purpose
	}
}

// lift lets connections in again.
func (g *gate) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Time{}
}

type connection struct {
	net.Conn
	gate *gate
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.open, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
