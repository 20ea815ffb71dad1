// Package native runs the real binary with the native driver: real processes,
// which real users run where the test is root, and what is left of them. What
// it looks at is how Linux shows processes.
package native
