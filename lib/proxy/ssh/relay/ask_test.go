package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

// deaf opens a channel on which both sides ask for more than they ever answer.
// What is returned ends what is left of the two.
func (r *rig) deaf() (stop func()) {
	near, nearRequests, far, farRequests := r.channel("direct-tcpip")
	for _, ch := range []ssh.Channel{near, far} {
		go func() { _, _ = ch.SendRequest("answer me", true, nil) }()
		go func() {
			for range 200 {
				if _, err := ch.SendRequest("and me", false, nil); err != nil {
					return
				}
			}
		}()
	}
	return func() {
		go ssh.DiscardRequests(nearRequests)
		go ssh.DiscardRequests(farRequests)
		_ = r.client.Close()
		_ = r.target.Close()
	}
}

// Two sides that never answer each other keep nobody from ending them.
func TestSidesThatNeverAnswerAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.deaf()()
		synctest.Wait()
		r.relay.Cut()
		<-r.ended
	})
}

func TestAnswersAreNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := newRig(t, Options{}, far{})
		defer r.deaf()()
		<-r.ended
		if took := time.Since(began); took < answerTime || took > answerTime+time.Minute {
			t.Errorf("ended after %v, want %v", took, answerTime)
		}
	})
}
