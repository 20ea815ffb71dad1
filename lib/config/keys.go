package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Key is what a user is told about one key of the file.
type Key struct {
	Name    string
	Default string // as it is written in the file; empty where Words says it
	Words   string // what the default is, where the machine or another key decides
	Meaning string
}

// Keys lists every key in the order of [Config]. The README's table is made from it.
func Keys() []Key {
	return keysOf(reflect.ValueOf(Default()), "")
}

// keysOf lists the keys of a struct; those of one inside of it are named with
// a dot.
func keysOf(defaults reflect.Value, prefix string) []Key {
	var keys []Key
	for i := range defaults.NumField() {
		name := prefix + defaults.Type().Field(i).Tag.Get("yaml")
		if field := defaults.Field(i); field.Kind() == reflect.Struct {
			keys = append(keys, keysOf(field, name+".")...)
			continue
		}
		k := Key{Name: name, Words: derived(name), Meaning: meanings()[name]}
		if k.Words == "" {
			k.Default = defaultText(defaults.Field(i).Interface())
		}
		if k.Words == "" && k.Default == "" {
			k.Words = "none"
		}
		keys = append(keys, k)
	}
	return keys
}

// Table renders Keys as a table of Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, k := range Keys() {
		text := k.Words
		if text == "" {
			text = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, text, k.Meaning)
	}
	return b.String()
}

// derived says what Load makes of a key that is not given; empty if Default says it.
func derived(name string) string {
	return map[string]string{
		"tls_key":          "`<node_name>.key`",
		"tls_crt":          "`<node_name>.crt`",
		"tls_ca_crt":       "`ca.crt`",
		"node_name":        "host name",
		"node_identifiers": "facts of the host",
		"ssh_key":          "`<node_name>_id_ecdsa`",
		"audit_file":       "`<node_name>_audit.log`",
		"drivers":          "every driver",
	}[name]
}

func defaultText(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return durationText(v)
	case yamlconf.Size:
		return v.String()
	case []string:
		return strings.Join(v, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// durationText writes a duration with its largest whole unit.
func durationText(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d > 0 && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprint(int64(d)) // 0
}

// meanings are for users: what a key does, in a line. The fields of Config say more to those who read the code.
func meanings() map[string]string {
	return map[string]string{
		"directory":                     "folder of keys, certificates and the database",
		"api_address":                   "where the REST API listens; port 0 picks a free one",
		"proxy_socks_address":           "where the SOCKS5 proxy listens, which also takes HTTP CONNECT; a taken port is a warning, port 0 picks a free one",
		"proxy_socks_handshake_timeout": "how long a client of the SOCKS proxy may take to say what it wants",
		"proxy_socks_dial_timeout":      "how long a service may take to be resolved and connected to",
		"proxy_socks_idle_timeout":      "how long a connection through the proxy may carry nothing either way",
		"proxy_socks_max_connections":   "most open connections of one environment",
		"proxy_socks_rate":              "new connections of one environment per second; more wait their turn",
		"proxy_socks_max_unidentified":  "most connections whose environment is not known yet: those of this host and of others each",

		"proxy_ssh_address":         "where the SSH proxy listens; port 0 picks a free one",
		"proxy_ssh_access_lifetime": "how long credentials for the SSH proxy wait for their one use; from 10s to 24h",
		"proxy_ssh_max_sessions":    "most SSH sessions through this node, half of them of one user, and to its own environments",
		"proxy_ssh_grace":           "how long an SSH session goes on after its environment is given back, which stays for it and keeps its room; 0 = it is cut at once",
		"proxy_ssh_recording_size":  "where the recording of one terminal is full, which ends its session",
		"proxy_ssh_recordings_size": "how much all recordings take together in `ssh_recordings` below `directory`; the oldest go",
		"proxy_ssh_recordings_keep": "how long recordings are kept; 0 = for ever",
		"node_address":              "how others reach this node; names the database folder, stands in the certificate",
		"cpu_limit":                 "most threads that run Go code at once; 0 = no limit",
		"mem_target":                "soft memory limit of the Go runtime; 0 = none",
		"cluster_join":              "addresses of other nodes of the cluster; with it a missing CA is an error, none is made",
		"cluster_max_links":         "how many other nodes this one is connected to at most; at least 2",
		"cluster_link_bytes":        "how much of the database a connection to another node carries per second at most, before compression",
		"cluster_proxy":             "SOCKS5 proxy by which other nodes are reached, such as `socks5://host:1080`; none = `HTTPS_PROXY`. `NO_PROXY` counts too",
		"tls_key":                   "the node's private key, relative to `directory`",
		"tls_crt":                   "the node's certificate, relative to `directory`",
		"tls_ca_crt":                "the cluster CA, relative to `directory`; its key lies beside it as `.key`",
		"node_name":                 "name of the node, unique in its cluster",
		"node_location":             "the Location that the node is at",
		"node_identifiers":          "what node filters match; a list replaces `FishName:`, `HostName:`, `OS:`, `OSVersion:`, `OSPlatform:`, `OSFamily:`, `Arch:`",
		"ssh_key":                   "host key of the SSH proxy, relative to `directory`",
		"default_resource_lifetime": "how long a Resource lives whose label says nothing; 0 = until it is deallocated",
		"drivers":                   "list of `name` (`<driver>` or `<driver>/<instance>`) and `cfg` (the driver's own keys)",
		"images_prefetch":           "fetch the images of each label's newest version that this node could run, before anybody asks for it",
		"meta_address":              "an address for the metadata API alone; none = on `api_address`",
		"auth_hash_memory":          "memory that password hashes may take at once; one takes 64 MB and runs in any case",
		"retention":                 "how long a finished Application stays in the database; 0 = for ever",
		"max_db_size":               "size past which the oldest finished Applications go before their time; 0 = no limit",
		"allocate_timeout":          "how long a driver may take to allocate before it is undone and ends in ERROR; fetching its images does not count",
		"task_timeout":              "how long the tasks of one deallocation may take together",
		"starvation_after":          "how long an Application waits before capacity is kept free for it; 0 = never",
		"vote_timeout":              "how long an election waits for the votes of other nodes; at most 25s",
		"election.safety":           "`strict`: what a silent node was to run waits for it; `available`: others go on after 5m, and it may run twice",
		"api_max_connections":       "most open connections; past it the longest idle one is closed, or the new one refused",
		"api_header_timeout":        "how long a client may take for the handshake and for the headers of a request",
		"api_read_timeout":          "how long a client may take to send a whole request",
		"api_write_timeout":         "how long a request may take until its answer is sent, and a client for each 32 KB of a list",
		"api_idle_timeout":          "how long a connection stays open without a request",
		"api_max_header_size":       "most bytes of headers of a request",
		"tls_names":                 "DNS names and IP addresses that the certificate names besides; added ones are signed with the same key, where the CA key is",
		"audit_file":                "who did what, as one JSON object per line, relative to `directory`; a file of its own for each node",
		"audit_file_size":           "where that file is full: it is put aside, and another one begins",
		"audit_file_keep":           "how many full audit files stay",
		"log_file":                  "file of the log and the access log, relative to `directory`; standard output then has the log alone",
		"log_file_size":             "size past which `log_file` is rotated to `.1`, `.2` and so on",
		"log_file_keep":             "how many rotated files stay",
	}
}
