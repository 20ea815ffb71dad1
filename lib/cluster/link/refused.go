package link

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxReason is the longest text that travels with a refusal, in bytes: a line
// of a log. What is longer is cut.
const maxReason = 1024

// Refused is why there is no link, or no longer, in the words that both sides
// log.
type Refused struct {
	Code   wire.Code
	Text   string        // for people; says what to do
	Try    []wire.Member // of wire.CodeBusy: who may have room
	Remote bool          // the neighbour said it, not this node
	Node   model.UID     // of a dial: who is at the address, if it proved that
}

// Error implements error.
func (r *Refused) Error() string {
	if r.Remote {
		return fmt.Sprintf("refused by the neighbour: %s (code %d)", r.Text, r.Code)
	}
	return fmt.Sprintf("refused: %s (code %d)", r.Text, r.Code)
}

// refuse makes a refusal of this node's own.
func refuse(code wire.Code, format string, args ...any) *Refused {
	return &Refused{Code: code, Text: cutText(fmt.Sprintf(format, args...))}
}

// frame is the refusal as it is told to the neighbour.
func (r *Refused) frame() wire.Refuse {
	return wire.Refuse{Code: r.Code, Text: cutText(r.Text), Try: r.Try}
}

// told is a refusal that came from the neighbour.
func told(m wire.Refuse) *Refused {
	return &Refused{Code: m.Code, Text: cutText(m.Text), Try: m.Try, Remote: true}
}

// asRefused returns the refusal that err is or wraps, else one of the code for it.
func asRefused(err error, code wire.Code) *Refused {
	if r := (*Refused)(nil); errors.As(err, &r) {
		return r
	}
	return refuse(code, "%v", err)
}

// cutText makes a text fit a refusal: not too long, and UTF-8, which is all
// that a frame takes. A character that is cut in two would make the whole
// refusal unreadable.
func cutText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}
