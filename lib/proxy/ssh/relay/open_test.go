package relay

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

// silent is a connection on which nobody answers, as one of crypto/ssh is for a channel that it took in just after it
// had forgotten all others.
type silent struct {
	ssh.Conn
	ended chan struct{} // lets go of who asked, as the library does not
}

func (s silent) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	<-s.ended
	return nil, nil, errors.New("let go")
}

// TestOpenOnAnEndedConnection: nobody waits for an answer that will not come.
func TestOpenOnAnEndedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := silent{ended: make(chan struct{})}
		e := &end{Side: Side{Conn: conn}, over: make(chan struct{})}
		failed := make(chan error, 1)
		go func() {
			_, _, err := e.open("session", nil)
			failed <- err
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case err := <-failed:
			t.Fatalf("on a connection that lives: %v, want that the answer is waited for", err)
		default:
		}
		close(e.over)
		if err := <-failed; !errors.Is(err, errOver) {
			t.Errorf("%v, want %v", err, errOver)
		}
		if _, _, err := e.open("session", nil); !errors.Is(err, errOver) {
			t.Errorf("the next one: %v, want %v", err, errOver)
		}
		close(conn.ended)
	})
}
