package app

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/restamp"
)

// healthy is what others are told of this node's health, and why it takes nothing on.
func (m *member) healthy(context.Context) error {
	if err := m.state.sound(); err != nil {
		return err
	}
	by, held := m.store.Ahead()
	return outOfTime(by, held, func() bool { return len(m.Status().Links) > 0 })
}

// outOfTime is an error where others hold back what this node writes: nobody would ever hear what it does. A node
// alone minds nothing.
func outOfTime(by time.Duration, held bool, linked func() bool) error {
	if !held || !linked() {
		return nil
	}
	return fmt.Errorf("the clock of this machine was %s ahead when the node wrote, or is behind now, and the other nodes hold back what it writes: "+
		"see that its clock is right (let NTP do it); once it agrees with those of all neighbours the node gives what it wrote the right time itself, "+
		"within a minute; if it does not its log says why: neighbours of an older version do not tell their time, upgrade one", by.Round(time.Second))
}

// timePath is where a member tells its time of day: 200, and Unix nanoseconds.
const timePath = "/cluster/v1/time"

// addRestamp has the node give what it wrote by a clock that was ahead the right time.
func (a *App) addRestamp(m *member) error {
	r, err := restamp.New(restamp.Options{
		Ahead: m.store.Ahead,
		Write: func(ctx context.Context) error {
			_, err := m.store.Restamp(ctx)
			if err == nil {
				m.Touch() // it is healthy again
			}
			return err
		},
		Neighbours: func() (nodes []model.UID) {
			for _, l := range m.Status().Links {
				nodes = append(nodes, l.Node)
			}
			return nodes
		},
		Ask: m.askTime, Now: time.Now, Logger: m.log.With("component", "restamp"),
	})
	if err != nil {
		return fmt.Errorf("make restamp: %w", err)
	}
	a.addPart("restamp", r.Run)
	return nil
}

// timeOfDay answers this node's time of day.
func (m *member) timeOfDay(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write(strconv.AppendInt(nil, time.Now().UnixNano(), 10)) // who is gone asks again
}

// askTime asks a member for its time of day.
func (m *member) askTime(ctx context.Context, node model.UID) (time.Time, error) {
	data, err := m.ask(ctx, node, timePath, "", nil)
	if err != nil {
		return time.Time{}, err
	}
	return readTime(data)
}

func readTime(data []byte) (time.Time, error) {
	nanos, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read time of day: %w", err)
	}
	return time.Unix(0, nanos), nil
}
