// Package docker runs the real binary with the docker driver against a real
// engine of its own: containers that tell what they find, and what is left of
// them when a node or its engine is killed at any moment. It runs where
// package dockerd does.
//
// TestKillCampaign prints its seed; FISH_DOCKER_SEED repeats the plan (not the
// interleaving), FISH_DOCKER_ROUNDS sets the number of rounds, and FISH_LONG=1
// means 100.
package docker
