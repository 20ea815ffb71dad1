package main

import "time"

// plan says how long and how much is measured. Every figure is the median of
// reps repetitions, which take turns with what they are compared with.
type plan struct {
	reps int

	window     time.Duration // of one repetition under steady load
	hashWindow time.Duration // of one repetition at a hash per request
	hashers    int           // connections meanwhile
	copies     int           // users with one application each, for a hash per request

	guessRate    int // wrong passwords per second
	rightClients int
	guessWindow  time.Duration // how long the clients work once they are in

	pace      time.Duration // between two applications of the polling clients
	paceTime  time.Duration // of one repetition
	livesTime time.Duration
	livesWarm time.Duration // before memory counts

	history     int           // finished applications
	historyTime time.Duration // of one repetition

	pollTime time.Duration // at the pace of agents
	logTime  time.Duration // as fast as the node answers: 100 samples for each second of its CPU
	labels   int
	lists    int

	idle   time.Duration
	settle time.Duration // before idle counts

	changes   int           // made on one node of three, one after the other
	farmTime  time.Duration // of one repetition of lives on three nodes
	missed    int           // rows that a node lacks when it finds the others again
	ownPause  time.Duration // between two of its own lives meanwhile
	ownBefore time.Duration // for which they are measured before, to compare

	socksBytes int64 // through the SOCKS proxy, in one turn
	sshBytes   int64 // through the SSH proxy, of one repetition in one direction
	sshKeys    int   // that are pressed
	sshIdle    int   // sessions in which nothing happens

	linkBytes int64 // through either proxy over a link of 1 Gbit/s, likewise

	dockerTurns int // of one container each of the node and of the engine's client
}

// fullPlan takes some twenty minutes on two cores, of which cluster and rejoin take five, ssh and link two.
func fullPlan() plan {
	return plan{
		reps: 3, window: 2 * time.Second, hashWindow: 3 * time.Second, copies: 2000,
		hashers:   8, // the budget of hash memory, which holds four hashes, is always used
		guessRate: 1000, rightClients: 300, guessWindow: 4 * time.Second,
		pace: 50 * time.Millisecond, paceTime: 6 * time.Second,
		livesTime: time.Minute, livesWarm: 15 * time.Second,
		history: 1_000_000, historyTime: 2 * time.Second,
		pollTime: 10 * time.Second, logTime: 45 * time.Second, labels: 3000, lists: 50,
		idle: 10 * time.Second, settle: 3 * time.Second,
		changes: 300, farmTime: 15 * time.Second, missed: 1_000_000, ownPause: 100 * time.Millisecond, ownBefore: 10 * time.Second,
		socksBytes: 512 << 20,
		sshBytes:   512 << 20, sshKeys: 500, sshIdle: sshIdle, linkBytes: 256 << 20,
		dockerTurns: 60,
	}
}

// quickPlan takes some four minutes: enough to see a change, not to prove
// a goal about a minute of lives or a million applications.
func quickPlan() plan {
	p := fullPlan()
	p.window, p.hashWindow, p.copies = 400*time.Millisecond, 400*time.Millisecond, 500
	p.guessWindow, p.paceTime = time.Second, 1500*time.Millisecond
	p.livesTime, p.livesWarm = 6*time.Second, 2*time.Second
	p.history, p.historyTime = 20_000, 500*time.Millisecond
	p.pollTime, p.logTime, p.lists = 5*time.Second, 4*time.Second, 10
	p.idle, p.settle = 3*time.Second, time.Second
	p.changes, p.farmTime, p.missed, p.ownBefore = 50, 4*time.Second, 20_000, 3*time.Second
	p.socksBytes = 128 << 20
	p.sshBytes, p.sshKeys, p.linkBytes = 128<<20, 200, 128<<20
	p.dockerTurns = 15
	return p
}

// smokePlan runs everything once, to see that it runs.
func smokePlan() plan {
	return plan{
		reps: 1, window: 50 * time.Millisecond, hashWindow: 10 * time.Millisecond, hashers: 2, copies: 50,
		guessRate: 50, rightClients: 10, guessWindow: 300 * time.Millisecond,
		pace: 50 * time.Millisecond, paceTime: 150 * time.Millisecond,
		livesTime: 600 * time.Millisecond, livesWarm: 300 * time.Millisecond,
		history: 300, historyTime: 100 * time.Millisecond,
		pollTime: 200 * time.Millisecond, logTime: 1500 * time.Millisecond, labels: 50, lists: 2,
		idle: 200 * time.Millisecond, settle: 100 * time.Millisecond,
		changes: 3, farmTime: 600 * time.Millisecond, missed: 300, ownPause: 50 * time.Millisecond, ownBefore: 300 * time.Millisecond,
		socksBytes: 1 << 20,
		sshBytes:   1 << 20, sshKeys: 5, sshIdle: 3, linkBytes: 1 << 20,
		dockerTurns: 2,
	}
}
