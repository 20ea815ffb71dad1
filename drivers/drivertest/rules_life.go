package drivertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

func limitsAreConstant(b *bench) {
	first := b.driver.Limits()
	b.allocateNew()
	if diff := cmp.Diff(first, b.driver.Limits()); diff != "" {
		b.Errorf("Limits() changed with an allocation (-before +after):\n%s", diff)
	}
	b.restart()
	if diff := cmp.Diff(first, b.driver.Limits()); diff != "" {
		b.Errorf("Limits() changed with a restart (-before +after):\n%s", diff)
	}
}

func validateTells(b *bench) {
	if err := b.driver.Validate(b.h.Definition); err != nil {
		b.Errorf("Validate() of the harness's definition = %v, want nil", err)
	}
	for what, options := range b.h.Malformed {
		def := b.h.Definition
		def.Options = options
		if err := b.driver.Validate(def); err == nil {
			b.Errorf("Validate() of malformed options (%s) %s = nil, want an error", what, options)
		}
	}
	def := b.h.Definition
	def.Options = json.RawMessage(`["not", "an", "object"]`)
	if err := b.driver.Validate(def); err == nil {
		b.Errorf("Validate() of options %s = nil, want an error", def.Options)
	}
	if namer, ok := b.driver.(drivers.OptionNamer); ok {
		for _, name := range namer.OptionNames() {
			def.Options = json.RawMessage(fmt.Sprintf(`{%q: {"no": ["such", "value"]}}`, name))
			if err := b.driver.Validate(def); err == nil || !strings.Contains(err.Error(), name) {
				b.Errorf("Validate() of options %s = %v, want an error that names the option: OptionNames() has it", def.Options, err)
			}
		}
	}
}

// capacityAnswers asks often: a node asks at every vote.
func capacityAnswers(b *bench) {
	const asks, most = 1000, 5 * time.Second
	holder, hasDisks := b.driver.(drivers.DiskHolder)
	start := time.Now()
	for range asks {
		n, err := b.driver.Capacity(b.h.Definition)
		if err != nil || n < 1 {
			b.Fatalf("Capacity() = %d, %v, want at least 1 with nothing allocated", n, err)
		}
		if !hasDisks {
			continue
		}
		room, err := holder.DiskRoom()
		if err != nil || room.Total > 0 && room.Free > room.Total {
			b.Fatalf("DiskRoom() = %+v, %v, want no more free than there is", room, err)
		}
		if gb, on := holder.DiskNeed(b.h.Definition); gb > drivers.SizeOf(b.h.Definition.Resources.Disks) || on == "" {
			b.Fatalf("DiskNeed() = %d GB on %q, want at most what is asked for, and where", gb, on)
		}
	}
	if took := time.Since(start); took > most {
		b.Errorf("Capacity() took %v, want less than %v", took/asks, most/asks)
	}
}

func neverExisted(b *bench) {
	req := b.request()
	for _, ref := range []drivers.Ref{reference(req, ""), {Token: req.Token}} {
		b.remove(ref)
		b.remove(ref)
	}
}

func oneLife(b *bench) {
	before := b.count()
	req := b.request()
	env := b.allocate(req)
	ref := reference(req, env.Identifier)
	b.wantRunning(ref, env)
	b.wantCount("while an environment runs", fmt.Sprintf("more than the %d before", before),
		func(n int) bool { return n > before })
	b.remove(ref)
	if _, ok := b.listed(req.Token); ok {
		b.Errorf("List() still names %s after Deallocate", name(ref))
	}
	b.wantCountOf(before, "after Deallocate")
}

func allocateTwice(b *bench) {
	req := b.request()
	first := b.allocate(req)
	before := b.steady()
	second := b.allocate(req)
	if diff := cmp.Diff(first, second); diff != "" {
		b.Errorf("a second Allocate with one token gave another environment (-first +second):\n%s", diff)
	}
	b.wantCount("after a second Allocate with one token", fmt.Sprintf("at most the %d of the first", before),
		func(n int) bool { return n <= before })
	b.wantListedOnce(req.Token)
}

func allocateAtOnce(b *bench) {
	const calls = 4
	req := b.request()
	var envs [calls]drivers.Environment
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			ctx, cancel := b.call()
			defer cancel()
			env, err := b.driver.Allocate(ctx, req)
			if err != nil {
				b.Errorf("Allocate() beside another with the same token = %v", err)
			}
			envs[i] = env
		})
	}
	wg.Wait()
	want := b.allocate(req)
	for _, got := range envs {
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("concurrent Allocates with one token gave different environments (-one +other):\n%s", diff)
		}
	}
	b.wantListedOnce(req.Token)
}

func (b *bench) wantListedOnce(token string) {
	b.Helper()
	n := 0
	for _, ref := range b.list() {
		if ref.Token == token {
			n++
		}
	}
	if n != 1 {
		b.Errorf("List() names token %s %d times, want once", token, n)
	}
}

func identifiersDiffer(b *bench) {
	const calls = 8
	var wg sync.WaitGroup
	var envs [calls]drivers.Environment
	for i := range calls {
		req := b.request()
		wg.Go(func() {
			ctx, cancel := b.call()
			defer cancel()
			var err error
			if envs[i], err = b.driver.Allocate(ctx, req); err != nil {
				b.Errorf("Allocate() beside others = %v", err)
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, env := range envs {
		if seen[env.Identifier] {
			b.Errorf("identifier %q was given to two tokens", env.Identifier)
		}
		seen[env.Identifier] = true
	}
	if n := len(b.list()); n != calls {
		b.Errorf("List() names %d environments, want %d", n, calls)
	}
}

func deallocateTwice(b *bench) {
	ref, _ := b.allocateNew()
	b.remove(ref)
	b.remove(ref)
	b.restart()
	b.remove(ref)
}

func byTokenAlone(b *bench) {
	full, env := b.allocateNew()
	lost := full
	lost.Identifier = ""
	b.wantRunning(lost, env)
	b.remove(lost)
	b.wantAbsent(full)
}

func byIdentifierAlone(b *bench) {
	full, env := b.allocateNew()
	adopted := full
	adopted.Token = ""
	b.wantRunning(adopted, env)
	b.remove(adopted)
	b.remove(adopted)
	b.wantAbsent(full)
}

func onlyOne(b *bench) {
	first, _ := b.allocateNew()
	second, env := b.allocateNew()
	b.remove(first)
	b.wantRunning(second, env)
	b.remove(first) // again, and by less
	b.remove(drivers.Ref{Token: first.Token})
	b.remove(drivers.Ref{Identifier: first.Identifier, Definition: first.Definition})
	b.wantRunning(second, env)
}

func listNamesAll(b *bench) {
	known := make(map[string]string)
	for range 3 {
		ref, env := b.allocateNew()
		known[ref.Token] = env.Identifier
	}
	for token, identifier := range known {
		ref, ok := b.listed(token)
		if !ok {
			b.Errorf("List() does not name token %s, which runs", token)
			continue
		}
		if ref.Identifier != identifier {
			b.Errorf("List() names token %s with identifier %q, want %q", token, ref.Identifier, identifier)
		}
		if err := b.deallocate(ref); err != nil {
			b.Errorf("Deallocate() of what List() gave = %v, want nil", err)
		}
		b.wantAbsent(drivers.Ref{Token: token, Definition: b.h.Definition})
	}
}

func reopenFinds(b *bench) {
	req := b.request()
	env := b.allocate(req)
	b.restart()
	b.wantRunning(reference(req, env.Identifier), env)
	b.wantRunning(reference(req, ""), env)
	b.wantListedOnce(req.Token)
	req.MetadataURL, req.Proxy = strings.Replace(req.MetadataURL, ":8001", ":8002", 1), metadata.Proxy{} // ports of the new process
	if diff := cmp.Diff(env, b.allocate(req)); diff != "" {
		b.Errorf("Allocate with a known token after a restart gave another environment (-before +after):\n%s", diff)
	}
	b.wantListedOnce(req.Token)
	b.restart()
	b.remove(reference(req, ""))
}
