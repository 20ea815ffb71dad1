//go:build linux

package cluster

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	// loadVariable says how long the load lasts, such as "5m".
	loadVariable = "CLUSTER_LOAD"
	// loadTime is for every run, loadKill the pause from one kill to the next
	// in it; a longer load has 30 s.
	loadTime, loadKill = 30 * time.Second, 6 * time.Second
	longKill           = 30 * time.Second
	// loadMemory is by how many bytes memory may grow from the middle third of
	// the time to the last one. In a short load that is how long a node was up.
	loadMemory, longMemory = 128 << 20, 32 << 20
	// loadRate is in applications/s, over all nodes.
	loadRate = 50
	// loadOpen and loadPatience are for a machine on which nodes are so slow
	// that the rest of the load would wait for minutes.
	loadOpen, loadPatience = 500, 5 * time.Minute
)

// TestLoad: three nodes under load, one of which is killed again and again.
// Every application ends, none is executed twice, and neither memory nor files
// grow with time.
func TestLoad(t *testing.T) {
	needs.All(t, "takes a minute or more")
	bear(t, 3)
}

// TestLoadAlone: the same with one node, which is its own reader.
func TestLoadAlone(t *testing.T) {
	needs.All(t, "takes a minute or more")
	bear(t, 1)
}

// bear has so many nodes bear the load.
func bear(t *testing.T, nodes int) {
	t.Helper()
	lasts, every, memory := loadTime, loadKill, int64(loadMemory)
	if text := os.Getenv(loadVariable); text != "" {
		given, err := time.ParseDuration(text)
		if err != nil || given < loadTime {
			t.Fatalf("%s=%q, want a duration of %v and more", loadVariable, text, loadTime)
		}
		lasts, every, memory = given, longKill, longMemory
	}
	// What has ended goes soon, so that what the files keep is bounded.
	f := farm.Start(t, farm.Options{Topology: farm.Full(nodes), Config: "retention: 20s\n"})
	f.Together(joinTime)
	s := &stage{Farm: f, t: t}
	s.makeLabel(f.All())

	var running sync.WaitGroup
	var samples *farm.Samples
	sampling, stop := context.WithTimeout(t.Context(), lasts) // what comes after is less, and would hide what grew
	defer stop()
	running.Go(func() { samples = f.Sample(sampling, lasts/60) })
	var clients []fish.Client
	for node := range nodes {
		clients = append(clients, f.Admin(node))
	}
	var result *farm.LoadResult
	loading := make(chan struct{})
	go func() {
		defer close(loading)
		result = farm.RunLoad(t.Context(), farm.LoadOptions{
			Create: clients, Read: turned(clients, 2), Release: turned(clients, 1),
			Label: s.label, Rate: loadRate, For: lasts, RecallEvery: 11, Patience: loadPatience, MaxOpen: loadOpen,
		})
	}()
	t.Logf("%d kills", s.killInTurn(lasts, every))
	<-loading
	running.Wait()
	s.judge(route{silent: true, unsure: true}, result)
	t.Logf("%d asked for without an answer", result.ReleaseUnsure(f.Admin(0)))
	f.Verify(restTime)
	t.Log(samples)
	if err := samples.Flat(memory); err != nil {
		t.Error(err)
	}
}

// killInTurn kills one node after the other while the load is asked for. Each has the whole pause to work, however long
// it took to start.
func (s *stage) killInTurn(lasts, every time.Duration) (kills int) {
	for over := time.Now().Add(lasts); ; kills++ {
		if time.Until(over) < every {
			return kills
		}
		s.last(every)
		m := s.Members[kills%len(s.Members)]
		m.Kill()
		m.Start()
	}
}

// turned is the list with its first n at its end, so that who creates, who
// reads and who releases an application are three.
func turned(clients []fish.Client, n int) []fish.Client {
	n %= len(clients)
	return slices.Concat(clients[n:], clients[:n])
}
