package overlay

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// babbler is a Dialer whose member answers with a header that has no end.
type babbler struct{ ended chan struct{} }

func (b babbler) Dial(context.Context, model.UID) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer close(b.ended)
		_, _ = far.Read(make([]byte, 4<<10))
		_, _ = far.Write([]byte("HTTP/1.1 101 Switching Protocols\r\n"))
		for line := []byte("A: " + strings.Repeat("a", 1000) + "\r\n"); ; {
			if _, err := far.Write(line); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return near, nil
}

func TestUpgradeBoundsTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := babbler{make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		conn, _, err := NewClient(b).Upgrade(ctx, uidB, Envelope{}, Request{Method: http.MethodPost, Path: "/"}, "p")
		if err == nil {
			_ = conn.Close()
			t.Fatal("a header without an end is an answer")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("refused after %v, want that after %d bytes", took, maxAnswerHeader)
		}
		<-b.ended
	})
}
