package aws

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

// mostUserdata is EC2's bound of userdata in bytes, before it is encoded for
// the request.
const mostUserdata = 16 << 10

// renderUserdata is an environment's metadata as its machine reads it from EC2,
// nothing where the definition asks for none. Equal metadata gives equal bytes:
// a request that is repeated must not differ. So nothing of the node is in it,
// such as where its proxy listens, which is another after a restart, and which a
// machine in AWS hardly ever reaches. What is left out is told in the log by its
// key, never by its value.
func renderUserdata(o options, all, label json.RawMessage, log *slog.Logger) ([]byte, error) {
	if o.userdataFormat == "" {
		return nil, nil
	}
	text, dropped, err := metadata.Render(o.userdataFormat, all, label, nil, o.userdataPrefix)
	if err != nil {
		return nil, err
	}
	for _, drop := range dropped {
		log.Warn("metadata left out of the userdata", "key", drop.Key, "reason", drop.Reason)
	}
	if len(text) > mostUserdata {
		return nil, labelError{fmt.Errorf("the metadata makes %d bytes of userdata in the format %s, and EC2 takes %d: "+
			"let the machine ask the metadata API for it, or shorten it", len(text), o.userdataFormat, mostUserdata)}
	}
	return text, nil
}
