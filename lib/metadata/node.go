package metadata

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// NodePrefix starts the names that the node itself sets in an environment, and
// nobody else: see Reserved.
const NodePrefix = "AQUARIUM_FISH_"

// The names that an environment may find under NodePrefix.
const (
	// NameApplicationUID is the application that the environment is of.
	NameApplicationUID = NodePrefix + "APPLICATION_UID"
	// NameMetadataURL is where the environment asks for its metadata.
	NameMetadataURL = NodePrefix + "METADATA_URL"
	// NameCA is a file with the certificate to trust there.
	NameCA = NodePrefix + "CA"
	// NameSOCKSProxy is the node's proxy as the URL of a SOCKS5 proxy that looks
	// names up itself: socks5h://[user:password@]host:port.
	NameSOCKSProxy = NodePrefix + "SOCKS_PROXY"
	// NameHTTPProxy is the same proxy, for tools that know HTTP CONNECT alone:
	// http://[user:password@]host:port.
	NameHTTPProxy = NodePrefix + "HTTP_PROXY"
)

// Reserved reports whether the key makes a name under NodePrefix. What an
// application or a label has there reaches neither an environment nor a
// Resource, so that what an environment finds there is the node's word. Cases
// are not told apart, as some systems and shells do not either.
func Reserved(key string) bool {
	return strings.HasPrefix(strings.ToUpper(Name(key)), NodePrefix)
}

// Public is the metadata, a JSON object, without its reserved keys. All others
// stay as they are, byte for byte and in their order.
func Public(metadata json.RawMessage) json.RawMessage { return withNode(metadata, nil) }

// withNode is Public with the node's own names behind all others, sorted. What
// is no JSON object stays as it is: it has no keys.
func withNode(metadata json.RawMessage, node map[string]string) json.RawMessage {
	members, reserved, ok := readMembers(metadata)
	if !ok || !reserved && len(node) == 0 {
		return metadata
	}
	for _, name := range slices.Sorted(maps.Keys(node)) {
		key, _ := json.Marshal(name) // a string always marshals
		value, _ := json.Marshal(node[name])
		members = append(members, member{key, value})
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(m.key)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// member is a key of a JSON object and its value, as they were written.
type member struct{ key, value json.RawMessage }

// readMembers reads a JSON object in its order, but for reserved keys, and says
// whether there were any. Nothing at all is the empty object. ok is false for
// what is none.
func readMembers(raw json.RawMessage) (members []member, reserved, ok bool) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, false, true
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, false, false
	}
	for dec.More() {
		start := dec.InputOffset()
		token, err := dec.Token()
		key, isKey := token.(string)
		if err != nil || !isKey {
			return nil, false, false
		}
		m := member{key: bytes.TrimLeft(raw[start:dec.InputOffset()], ", \t\r\n")}
		if err := dec.Decode(&m.value); err != nil {
			return nil, false, false
		}
		if Reserved(key) {
			reserved = true
			continue
		}
		members = append(members, m)
	}
	return members, reserved, true
}
