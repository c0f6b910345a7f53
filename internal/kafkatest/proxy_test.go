package kafkatest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo starts a proxy before a server that sends back what it gets.
func echo(t *testing.T) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	p, err := newProxy("127.0.0.1:0", l.Addr().String())
	must(t, err)
	t.Cleanup(func() {
		must(t, p.Close())
		must(t, l.Close())
		wg.Wait()
	})
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp4", p.Addr())
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// trip sends text, and waits until it is back.
func trip(c net.Conn, text string, patience time.Duration) error {
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	return back(c, text, patience)
}

func back(c net.Conn, text string, patience time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != text {
		return errors.New("got " + string(b))
	}
	return nil
}

func TestProxyDelay(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	must(t, trip(c, "a", time.Minute))
	p.Delay(Up, 100*time.Millisecond)
	p.Delay(Down, 100*time.Millisecond)
	began := time.Now()
	must(t, trip(c, "b", time.Minute))
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("there and back took %v, with 100ms of delay each way", took)
	}
}

// What is held arrives later, in order, in each direction.
func TestProxyHold(t *testing.T) {
	for w, name := range []string{Up: "up", Down: "down"} {
		t.Run(name, func(t *testing.T) {
			p := echo(t)
			c := dial(t, p)
			must(t, trip(c, "a", time.Minute))
			p.Hold(Way(w))
			if err := trip(c, "b", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("held, and: %v", err)
			}
			_, err := c.Write([]byte("c"))
			must(t, err)
			p.Heal()
			must(t, back(c, "bc", time.Minute))
		})
	}
}

func TestProxyCut(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	must(t, trip(c, "a", time.Minute))
	p.Cut()
	if err := trip(c, "b", time.Minute); err == nil {
		t.Fatal("the connection lives")
	}
	if c, err := net.Dial("tcp4", p.Addr()); err == nil {
		if err := trip(c, "c", time.Minute); err == nil {
			t.Error("a new connection lives")
		}
		_ = c.Close()
	}
	p.Heal()
	must(t, trip(dial(t, p), "d", time.Minute))
}

func TestProxyReset(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	must(t, trip(c, "a", time.Minute))
	p.Hold(Down) // what is held does not keep it
	p.Reset()
	if err := back(c, "a", time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		t.Errorf("want a reset, got %v", err)
	}
	p.Heal()
	must(t, trip(dial(t, p), "b", time.Minute))
}

// The client's end of the connection comes through to the node, behind what was sent.
func TestProxyEnds(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	_, err := c.Write([]byte("a"))
	must(t, err)
	must(t, back(c, "a", time.Minute))
	must(t, c.Close())
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		n := len(p.links)
		p.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal("the link stays")
		}
	}
}
