// Package docker runs the real binary with the docker driver against a real
// engine of its own: containers that tell what they find, and what is left of
// them when a node or its engine is killed at any moment. It runs where
// package dockerd does.
package docker
