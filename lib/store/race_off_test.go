//go:build !race

package store

// raceEnabled says that the race detector is on.
const raceEnabled = false
