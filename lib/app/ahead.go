package app

import (
	"context"
	"fmt"
	"time"
)

// healthy is what others are told of this node's health, and why it takes nothing on.
func (m *member) healthy(context.Context) error {
	if err := m.state.sound(); err != nil {
		return err
	}
	by, held := m.store.Ahead()
	return outOfTime(by, held, func() bool { return len(m.Status().Links) > 0 })
}

// outOfTime is an error where others hold back what this node writes: nobody would ever hear what it does. A link is made
// only where the clocks of both ends agree, so with one it is not the time of day that is wrong now. A node alone minds
// nothing.
func outOfTime(by time.Duration, held bool, linked func() bool) error {
	if !held || !linked() {
		return nil
	}
	return fmt.Errorf("the clock of this machine was %s ahead when the node wrote, and the other nodes hold back what it writes until then: "+
		"drain the node and stop it, move the folder of its database aside, and start it; what the others have of it comes back",
		by.Round(time.Second))
}
