// Package model holds the nouns of Aquarium Fish and the pure rules over them:
// one file per noun with its type, its states and its validation. It does no
// I/O, keeps no state and imports nothing else of the project, so that every
// other package can speak the same words.
//
// Two conventions hold throughout. Times of day are time.Time in UTC and are
// for people; the order of facts is decided by HLC alone. And a type's doc
// names who may write it: every fact that starts or ends an execution has
// exactly one author, which is what lets nodes work without a quorum.
package model
