// Package aws tests the driver aws of the real binary, against the fake EC2
// over HTTP: what one in memory can not show, such as how the SDK, the node and
// the command line work together.
package aws
