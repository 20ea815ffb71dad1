// Package wire holds the messages that neighbours in a cluster send to each
// other, and how they are written as bytes. Fields are numbered: a number is
// never used twice for different things, and what a node does not know it
// skips, so that versions of the program understand each other.
//
// A frame is 4 bytes of length (big endian) and one message; a message is its
// number (varint) and a CBOR map of numbered fields. Vectors and UIDs are byte
// strings inside it. CBOR is fxamacker's, because it holds its limits on
// hostile input itself.
package wire
