package auth

import "time"

// Throttled is how long an address has to wait after too many failures with
// this name, or altogether; 0 is not at all. It is for doors that check
// credentials of their own: what fails there counts here, and the other way
// round.
func (a *Authenticator) Throttled(remote, name string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate.limits.wait(a.source(remote, name), time.Now())
}

// Failed counts a failure of such a door.
func (a *Authenticator) Failed(remote, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.limits.fail(a.source(remote, name), time.Now())
}
