// Package sim is a network in memory for tests: links that take time, can be
// cut in one direction or both, and die as those of a killed process do. All
// messages pass through the codec. It is made for testing/synctest.
package sim
