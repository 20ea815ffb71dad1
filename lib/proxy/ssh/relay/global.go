package relay

import "strings"

// globals relays the requests that one side makes about the connection, one
// after the other as their replies have no other order.
func (r *Relay) globals(from, to *end) {
	for req := range from.Requests {
		if isIdentity(req.Type) {
			_ = req.Reply(false, nil) // or it has ended
			continue
		}
		forward := isForward(req.Type)
		if forward {
			<-r.forwards
		}
		ok, payload, err := r.ask(req.WantReply, func() (bool, []byte, error) {
			return to.Conn.SendRequest(req.Type, req.WantReply, req.Payload)
		})
		_ = req.Reply(ok && err == nil, payload) // or it has ended
		if forward {
			r.forwards <- struct{}{}
		}
	}
}

// isIdentity reports whether a request is about the host keys of a server. Each
// side has to do with ours, not with the other's: a client that heard of those
// of the target would take them for the proxy's.
func isIdentity(request string) bool {
	return request == "hostkeys-00@openssh.com" || request == "hostkeys-prove-00@openssh.com"
}

// isForward reports whether channels may follow from a request at once.
func isForward(request string) bool {
	return request == "tcpip-forward" || strings.HasPrefix(request, "streamlocal-forward@")
}

// afterForwards waits until no answer to a request for a forward is on its way:
// it says what the channels belong to that follow.
func (r *Relay) afterForwards() {
	<-r.forwards
	r.forwards <- struct{}{}
}
