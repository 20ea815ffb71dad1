package sim

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// lockInput is who takes or gives up an application.
type lockInput struct {
	app     model.UID
	token   string
	release bool // the environment goes
	off     bool // with all that is known of it, so that another may run it
}

// ownership is an operation that ends now. Its own moment lies between: time
// stands still in a bubble while anything runs, so each gets a nanosecond of
// its own at its end.
func ownership(client int, called time.Time, in lockInput) porcupine.Operation {
	return porcupine.Operation{ClientId: client, Input: in, Call: called.UnixNano(), Output: nil, Return: time.Now().UnixNano() + 1}
}

// lockModel says that an application is owned once: by the token of the
// environment that runs it, and by none after it but where all that was known of
// that went with its machine, while it ran or later.
func lockModel() porcupine.Model {
	return porcupine.Model{
		Partition: partition(func(op porcupine.Operation) any { return op.Input.(lockInput).app }),
		Init:      func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			owner, in := state.(string), input.(lockInput)
			switch over := "over: " + in.token; {
			case in.off && in.release:
				return owner == in.token, ""
			case in.off:
				return owner == over, ""
			case in.release:
				return owner == in.token, over
			}
			return owner == "", in.token
		},
		DescribeOperation: func(input, _ any) string {
			in := input.(lockInput)
			return fmt.Sprintf("%s %s release %v off %v", in.app, in.token[:4], in.release, in.off)
		},
	}
}

// partition takes a history apart: what has another key is independent.
func partition(key func(porcupine.Operation) any) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[any][]porcupine.Operation{}
		for _, op := range history {
			byKey[key(op)] = append(byKey[key(op)], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	}
}
