package vmx

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
)

// candidates is how many hardware addresses a token may take: the first is free
// but for one chance in four million per environment.
const candidates = 8

// names are the hardware addresses that a token may take, in order, as the 12
// hex digits that name its environment. VMware wants those that it did not
// choose itself to be in 00:50:56:00:00:00 to 00:50:56:3F:FF:FF.
func names(token string) []string {
	list := make([]string, candidates)
	for i := range list {
		sum := sha256.Sum256(append([]byte("vmx:"+strings.ToLower(token)), byte(i)))
		list[i] = fmt.Sprintf("005056%06x", binary.BigEndian.Uint32(sum[:])&0x3fffff)
	}
	return list
}

// namePattern is what they look like.
func namePattern() *regexp.Regexp { return regexp.MustCompile(`^005056[0-3][0-9a-f]{5}$`) }

// hwAddr writes a name as the hardware address that it stands for.
func hwAddr(name string) string {
	var octets []string
	for i := 0; i+2 <= len(name); i += 2 {
		octets = append(octets, name[i:i+2])
	}
	return strings.Join(octets, ":")
}
