package tests

import (
	"fmt"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestCapacity: local instances share what the node has, a remote one has its
// own, a limit of 0 is none, and what does not fit blocks nobody (contract 13,
// 27.10, 27.11).
func TestCapacity(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: `drivers:
- {name: test/a, cfg: {cpu_limit: 4, ram_limit: 40}}
- {name: test/b, cfg: {cpu_limit: 4, ram_limit: 40}}
- {name: test/half, cfg: {cpu_limit: 100}}
- {name: test/far, cfg: {is_remote: true, cpu_limit: 2, ram_limit: 2}}
`})
	ask := func(driver string, cpu, ram int) string {
		return n.CreateApplication(n.CreateLabel(fmt.Sprintf(
			`{"name":%q,"definitions":[{"driver":%q,"resources":{"cpu":%d,"ram":%d}}]}`, fresh("c"), driver, cpu, ram)), `{}`)
	}
	first := ask("test/a", 3, 2)
	n.WaitStatus(first, "ALLOCATED")
	large, tooLarge := ask("test/b", 2, 2), ask("test/a", 5, 1)
	unlimited := ask("test/half", 1, 4000)
	n.WaitStatus(unlimited, "ALLOCATED")
	far, farther := ask("test/far", 2, 2), ask("test/far", 2, 2)
	n.WaitStatus(far, "ALLOCATED")
	full := ask("test/b", 1, 1) // 3 + 1 + 1 cpus of 4, and more memory than there is
	n.Deallocate(unlimited)
	n.WaitStatus(full, "ALLOCATED") // before `large`, which is older
	for name, app := range map[string]string{"large": large, "too large": tooLarge, "second remote": farther} {
		if got := n.State(app); got.Status != "NEW" {
			t.Errorf("%s is %+v, want NEW", name, got)
		}
	}
	n.Deallocate(first)
	n.WaitStatus(large, "ALLOCATED")
	n.Deallocate(far)
	n.WaitStatus(farther, "ALLOCATED")
	if got := n.Deallocate(tooLarge); got.Status != "RECALLED" {
		t.Errorf("what can never fit is given up: %+v", got)
	}
}

// TestSecondDefinition: the first definition that fits is taken, and the
// Resource says which (contract 12).
func TestSecondDefinition(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- {name: test/small, cfg: {cpu_limit: 1, ram_limit: 1}}\n- {name: test/large, cfg: {is_remote: true}}\n"})
	label := n.CreateLabel(`{"name":"two","definitions":[{"driver":"test/small","resources":{"cpu":1,"ram":1}},{"driver":"test/large","resources":{"cpu":1,"ram":1}}]}`)
	for index := range 2 {
		app := n.CreateApplication(label, `{}`)
		n.WaitStatus(app, "ALLOCATED")
		want(t, "resource", n.Request("GET", applicationsPath+app+"/resource", nil), 200, fmt.Sprintf(`"definition_index":%d,`, index))
	}
}
