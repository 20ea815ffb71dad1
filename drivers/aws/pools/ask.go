package pools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// What a pool's owner is asked. Each is idempotent by its token.
const (
	opWant     = "want"     // a host for the token
	opLaunched = "launched" // how the launch on it ended
	opCancel   = "cancel"   // nothing of the token is on any host, nor will be
	opRoom     = "room"     // how many more can be served
	opView     = "view"     // the pool as people see it
	opDrain    = "drain"    // begin or end draining
)

// question is what another node asks. Unknown fields are passed over: it may be newer.
type question struct {
	Op       string   `json:"op"`
	Token    string   `json:"token,omitempty"`
	Zones    []string `json:"zones,omitempty"`
	Instance string   `json:"instance,omitempty"`
	Failure  *failure `json:"failure,omitempty"`
	Off      bool     `json:"off,omitempty"`
}

// answer is what the owner answers.
type answer struct {
	// Waiting: there is no host yet; to ask again keeps the place in the queue.
	Waiting bool   `json:"waiting,omitempty"`
	Why     string `json:"why,omitempty"` // of that, for people
	Host    string `json:"host,omitempty"`
	Zone    string `json:"zone,omitempty"`
	// Room is how many more can be served wherever, and Rooms what of that is
	// where; nil: the owner is of a version that does not say.
	Room  int        `json:"room,omitempty"`
	Rooms *pool.Room `json:"rooms,omitempty"`
	View  *view.Pool `json:"view,omitempty"`
}

// failure is how a launch failed, between nodes.
type failure struct {
	Code    string     `json:"code,omitempty"`
	Kind    cloud.Kind `json:"kind"`
	Message string     `json:"message"`
	Unsure  bool       `json:"unsure"`
}

func failureOf(err error) *failure {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return &failure{e.Code, e.Kind, e.Message, e.Unsure}
	}
	return &failure{Message: err.Error(), Unsure: true}
}

func (f *failure) err() error {
	if f == nil {
		return nil
	}
	return &cloud.Error{Code: f.Code, Kind: f.Kind, Message: f.Message, Unsure: f.Unsure}
}

// The times of questions.
const (
	// answerWithin is how long an owner looks for a host before it answers that
	// there is none yet. It is well below drivers.AnswerTimeout.
	answerWithin = 8 * time.Second
	// placeKept is how long the place in the queue is kept for who does not ask
	// again, and so wants none any more: longer than a question may take.
	placeKept = drivers.AskTimeout + 2*answerWithin
	// askRoomEvery is how often an owner is asked how much room there is, and
	// roomFor how long the answer counts.
	askRoomEvery = 5 * time.Second
	roomFor      = 3 * askRoomEvery
)

// codeNotOwner is the code of a refusal by who does not own the pool.
const codeNotOwner = "not-owner"

// ask asks who owns the pool, which may be this node. Its errors are those of
// the way, refusals, and errMoved.
func (k *keeper) ask(ctx context.Context, q question) (a answer, err error) {
	if k.mine() {
		a, err = k.reply(ctx, q)
	} else {
		a, err = k.askOwner(ctx, q)
	}
	if refused, ok := errors.AsType[*drivers.AskRefusedError](err); ok && refused.Code == codeNotOwner {
		return answer{}, errMoved
	}
	return a, err
}

// askOwner asks another node.
func (k *keeper) askOwner(ctx context.Context, q question) (answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	text, err := k.opts.Ask(ctx, k.pool.Thing, body)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return answer{}, fmt.Errorf("read the answer of the pool's owner: %w", err)
	}
	return a, nil
}

// Answer implements drivers.Answerer, for the things of the pools.
func (p *Pools) Answer(ctx context.Context, _ model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	var q question
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, drivers.RefuseAsk("malformed", "not a question to a pool: %v", err)
	}
	for _, k := range p.named {
		if k.pool.Thing != thing {
			continue
		}
		a, err := k.reply(ctx, q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	}
	return nil, drivers.RefuseAsk("unknown", "%s is no pool of this instance", thing)
}

// reply answers a question about the pool, as its owner.
func (k *keeper) reply(ctx context.Context, q question) (answer, error) {
	if !k.mine() {
		return answer{}, drivers.RefuseAsk(codeNotOwner, "this node does not own the pool")
	}
	switch q.Op {
	case opWant:
		return k.replyHost(ctx, q)
	case opLaunched:
		return answer{}, k.note(ctx, pool.Launched{Token: q.Token, Instance: q.Instance, Err: q.Failure.err()})
	case opCancel:
		return answer{}, k.note(ctx, pool.Cancel{Token: q.Token})
	case opRoom:
		room := k.room()
		return answer{Room: room.For(nil), Rooms: &room}, nil
	case opView:
		return k.show(), nil
	case opDrain:
		if err := k.tell(ctx, pool.Drain{On: !q.Off}); err != nil {
			return answer{}, err
		}
		return k.show(), nil
	}
	return answer{}, drivers.RefuseAsk("unknown", "%q is nothing that a pool of this version is asked", q.Op)
}

// replyHost looks for a host as long as who asks may be kept waiting.
func (k *keeper) replyHost(ctx context.Context, q question) (answer, error) {
	if q.Token == "" {
		return answer{}, drivers.RefuseAsk("malformed", "a question for a host needs a token")
	}
	short, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	g, err := k.want(short, pool.Want{Token: q.Token, Zones: q.Zones, Until: time.Now().Add(placeKept)})
	refused, isRefusal := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return answer{Host: g.Host, Zone: g.Zone}, nil
	case errors.Is(err, errMoved):
		return answer{}, drivers.RefuseAsk(codeNotOwner, "this node does not own the pool any more")
	case isRefusal:
		return answer{}, drivers.RefuseAsk("refused", "%s", refused.reason)
	case ctx.Err() == nil && short.Err() != nil:
		return answer{Waiting: true, Why: k.room().Trouble(q.Zones)}, nil
	}
	return answer{}, err
}

// away is what the owner said of its room.
type away struct {
	room pool.Room
	err  error
	at   time.Time
}

// askForRoom asks the owner how much room there is, unless that is asked just
// now or was a moment ago.
func (k *keeper) askForRoom(ctx context.Context) {
	last := k.away.Load()
	if last != nil && time.Since(last.at) < askRoomEvery || !k.asking.CompareAndSwap(false, true) {
		return
	}
	k.actions.Go(func() {
		defer k.asking.Store(false)
		ctx, cancel := context.WithTimeout(ctx, roomFor)
		defer cancel()
		a, err := k.askOwner(ctx, question{Op: opRoom})
		now := away{k.roomOf(a), err, time.Now()}
		k.away.Store(&now)
		if last == nil {
			last = &away{}
		}
		if err == nil && now.room.Grew(last.room) && k.opts.HasRoom != nil {
			k.opts.HasRoom()
		}
	})
}

// roomOf is the room that an owner told of. One of an older version says only
// how much there is: it may be in all zones that this node knows of.
func (k *keeper) roomOf(a answer) pool.Room {
	if a.Rooms != nil {
		return *a.Rooms
	}
	return pool.Room{New: a.Room, Zones: k.pool.Zones, Why: "its owner has no room"}
}

// free is how many more machines the pool can take now in one of the zones, or
// in any if there are none.
func (k *keeper) free(zones []string, now time.Time) (int, error) {
	room, err := k.lastRoom(now)
	if err != nil {
		return 0, fmt.Errorf("pool %s: %w", k.pool.Name, err)
	}
	if n := room.For(zones); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("pool %s: %s", k.pool.Name, room.Trouble(zones))
}

// lastRoom is the room that is known of.
func (k *keeper) lastRoom(now time.Time) (pool.Room, error) {
	if k.mine() {
		return k.room(), nil
	}
	a := k.away.Load()
	switch {
	case a == nil:
		return pool.Room{}, errors.New("its owner was not asked yet")
	case a.err != nil:
		return pool.Room{}, a.err
	case now.Sub(a.at) > roomFor:
		return pool.Room{}, errors.New("its owner does not answer")
	}
	return a.room, nil
}
