//go:build race

package store

// raceEnabled says that the race detector is on: SQLite is 20 times slower
// under it, so long tests run fewer rounds.
const raceEnabled = true
