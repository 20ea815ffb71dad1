package aws

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestCrashMatrix kills the node at every call to EC2, before and after it was
// done, and at every write of an intent, and goes on in every way that a node
// may: with the same application, with its end, and without knowing of it; with
// its directory, and without it.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	for _, story := range stories() {
		for _, what := range []string{"allocate", "deallocate"} {
			t.Run(story.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				thens := thensOf(what)
				matrix{4 * len(thens), 2, func(way int) crash {
					return crash{story: story, what: what, do: kill, lost: way&1 != 0, sluggish: way&2 != 0, then: thens[way/4]}
				}}.run(t)
			})
		}
	}
}

// TestTroubleMatrix loses the reply of every call, and ends the context at
// every point, of a process that lives on.
func TestTroubleMatrix(t *testing.T) {
	t.Parallel()
	all := stories()
	if !needs.Long() {
		all = all[:2]
	}
	for _, story := range all {
		for _, do := range []damage{lose, recall} {
			for _, what := range []string{"allocate", "deallocate"} {
				t.Run(fmt.Sprintf("%s/%s/%s", story.name, do, what), func(t *testing.T) {
					t.Parallel()
					thens := thensOf(what)
					matrix{2 * len(thens), 1, func(way int) crash {
						return crash{story: story, what: what, do: do, sluggish: way&1 != 0, then: thens[way/2]}
					}}.run(t)
				})
			}
		}
	}
}

// thensOf are the ways in which a node may go on.
func thensOf(what string) []string {
	thens := []string{"deallocate", "reap"}
	if what == "allocate" {
		thens = append(thens, "allocate")
	}
	return thens
}

// matrix are the cases of one story: a damage at each point, in so many ways; by
// default in some of them where something changes.
type matrix struct {
	ways int
	some int
	of   func(way int) crash
}

func (m matrix) run(t *testing.T) {
	if needs.Long() {
		t.Logf("all %d cases", m.all(t))
	} else {
		t.Logf("%d cases", m.sample(t))
	}
}

// all does each point in each way.
func (m matrix) all(t *testing.T) (cases int) {
	for point := 1; ; point++ {
		reached := false
		for way := range m.ways {
			c := m.of(way)
			c.point, c.seed = point, uint64(point)
			where, _ := c.run(t)
			reached = reached || where != ""
			cases++
		}
		if !reached {
			return cases
		}
	}
}

// sample does each point at which something changes in some of the ways, and one
// of each kind at which it is only looked: the same ones each time.
func (m matrix) sample(t *testing.T) (cases int) {
	_, names := m.of(0).run(t) // without any damage
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(t.Name())) // it has no error
	draw := rand.New(rand.NewPCG(seed.Sum64(), 0))
	nth := map[string]int{}
	for _, name := range names {
		nth[name]++
		tries := m.some
		if looks(name) || testing.Short() {
			if tries = 1; nth[name] > 1 {
				continue
			}
		}
		reached := false
		for _, way := range draw.Perm(m.ways)[:tries] {
			reached = m.at(t, moment{name, nth[name]}, way) || reached
			cases++
		}
		// What is only looked at may be asked by the account's own goroutines, whenever that is due.
		if nth[name] == 1 && !reached && !looks(name) && !m.at(t, moment{name, 1}, 0) {
			t.Errorf("no case was %s", name)
		}
	}
	return cases
}

// at does one case, and reports whether its point came.
func (m matrix) at(t *testing.T, point moment, way int) bool {
	c := m.of(way)
	c.named = point
	where, _ := c.run(t)
	return where != ""
}

// looks reports whether nothing changes at a point.
func looks(name string) bool {
	return strings.Contains(name, "Describe") || strings.Contains(name, "List") || strings.Contains(name, "Get")
}
