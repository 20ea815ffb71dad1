// Package cli is the command line for people: subcommands of the node's binary that ask a node over its REST API, through
// the generated client, as curl would. It knows nothing of the node's inside.
//
// A verb is a function that returns a cobra command; its noun lists it. What a verb needs is in the shell that it gets:
// the connection (context file, environment, flags), the credentials, and the output (-o table, json, yaml, name).
// DESIGN.md has the rules.
package cli
