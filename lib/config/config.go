// Package config turns the YAML file and the command line into one checked struct. What it returns can be used as it
// is: addresses parse, numbers are in range, paths are joined, names are safe to use as file names.
package config

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Config is everything that can be set on a node. The `yaml` tags are the keys of the file; keys match
// case-insensitively. Defaults are those of [Default]; the first group is given by contract 2.
type Config struct {
	// Directory holds keys, certificates and the database. Default `fish_data`, relative to the working directory.
	Directory string `yaml:"directory"`
	// APIAddress is where the REST API listens. Default `0.0.0.0:8001`; port 0 picks a free port, an empty host is all
	// interfaces.
	APIAddress string `yaml:"api_address"`
	// ProxySOCKSAddress is where the SOCKS5 proxy listens. Default `0.0.0.0:1080`.
	ProxySOCKSAddress string `yaml:"proxy_socks_address"`
	// ProxySOCKSHandshakeTimeout is how long a client of the SOCKS proxy may take to say what it wants. Default 10s: it
	// takes a few round trips, and a client that says nothing is no reason to hold a connection.
	ProxySOCKSHandshakeTimeout time.Duration `yaml:"proxy_socks_handshake_timeout"`
	// ProxySOCKSDialTimeout is how long the name of a service may take to be resolved and its addresses to be connected to,
	// together. Default 10s: a SYN that was lost twice gets through in 7.
	ProxySOCKSDialTimeout time.Duration `yaml:"proxy_socks_dial_timeout"`
	// ProxySOCKSIdleTimeout is how long a connection through the proxy may carry nothing either way. Default 1h: tools keep
	// connections to a mirror for a whole build; peers that are gone are found by keep-alives within minutes.
	ProxySOCKSIdleTimeout time.Duration `yaml:"proxy_socks_idle_timeout"`
	// ProxySOCKSMaxConnections bounds the open connections of one environment. Default 512: what parallel builds with a
	// package manager each take, at some 25 KB and 6 file descriptors.
	ProxySOCKSMaxConnections uint32 `yaml:"proxy_socks_max_connections"`
	// ProxySOCKSRate is how many new connections an environment gets per second; those past it wait their turn.
	// Default 100: more than a package manager opens, and little work for the node.
	ProxySOCKSRate uint32 `yaml:"proxy_socks_rate"`
	// ProxySOCKSMaxUnidentified bounds the connections whose environment is not known yet, those of this host and those of
	// others each. Default 256: a burst of native environments fits, and strangers hold some MB at most.
	ProxySOCKSMaxUnidentified uint32 `yaml:"proxy_socks_max_unidentified"`
	// ProxySSHAddress is where the SSH proxy listens. Default `0.0.0.0:2022`; port 0 picks a free port.
	ProxySSHAddress string `yaml:"proxy_ssh_address"`
	// ProxySSHAccessLifetime is how long credentials for the SSH proxy wait for their one use. Default 10m: time to paste
	// them into a terminal, too little for what leaks with a log to be of use to anybody.
	ProxySSHAccessLifetime time.Duration `yaml:"proxy_ssh_access_lifetime"`
	// ProxySSHMaxSessions bounds the SSH sessions through this node, of which one user has half at most, and those to its own
	// environments. Default 1000: some
	// 200 MB while they are idle.
	ProxySSHMaxSessions uint32 `yaml:"proxy_ssh_max_sessions"`
	// ProxySSHGrace is how long an SSH session goes on after its environment is given back, which stays for it.
	// Default 10s: time to read the message that says so, and to save. 0 cuts it at once.
	ProxySSHGrace time.Duration `yaml:"proxy_ssh_grace"`
	// ProxySSHRecordingSize is where the recording of a terminal is full and its session is cut, in bytes; sessions are
	// recorded where a label asks for it. Default 100MB: days of typing, or an hour of a log that scrolls.
	ProxySSHRecordingSize yamlconf.Size `yaml:"proxy_ssh_recording_size"`
	// ProxySSHRecordingsSize is how much all recordings take together; the oldest go. Default 1GB.
	ProxySSHRecordingsSize yamlconf.Size `yaml:"proxy_ssh_recordings_size"`
	// ProxySSHRecordingsKeep is how long recordings are kept. 0 = for ever. Default 30d: what is looked into is looked into
	// within the month.
	ProxySSHRecordingsKeep time.Duration `yaml:"proxy_ssh_recordings_keep"`
	// NodeAddress is how others reach this node. It names the database folder and stands in the certificate.
	// Default `127.0.0.1:8001`.
	NodeAddress string `yaml:"node_address"`
	// CPULimit caps how many threads run Go code at once. Default 0 = no limit.
	CPULimit uint16 `yaml:"cpu_limit"`
	// MemTarget is the soft memory limit of the Go runtime in bytes. Default 0 = none.
	MemTarget yamlconf.Size `yaml:"mem_target"`
	// ClusterJoin lists addresses of other nodes of the cluster. With any, a missing CA is an error and none is made: it
	// would be another cluster's. Default: none.
	ClusterJoin []string `yaml:"cluster_join"`
	// ClusterMaxLinks is how many other nodes this one is connected to at most. Default 8: every node is then reached in
	// three steps in a cluster of a hundred.
	ClusterMaxLinks uint8 `yaml:"cluster_max_links"`
	// ClusterLinkBytes is how much of the database a connection to another node carries per second at most, in bytes before
	// compression. Default 8MB: a million rows in about a minute.
	ClusterLinkBytes yamlconf.Size `yaml:"cluster_link_bytes"`
	// ClusterProxy is the URL of a SOCKS5 proxy by which other nodes are reached, but for those in NO_PROXY.
	// Default: none, HTTPS_PROXY of the environment counts.
	ClusterProxy string `yaml:"cluster_proxy"`
	// TLSKey is the path of the node's private key. Default `<node_name>.key`, relative to Directory.
	TLSKey string `yaml:"tls_key"`
	// TLSCrt is the path of the node's certificate. Default `<node_name>.crt`, relative to Directory.
	TLSCrt string `yaml:"tls_crt"`
	// TLSCACrt is the path of the cluster CA's certificate; its key lies beside it with the extension `.key`.
	// Default `ca.crt`, relative to Directory.
	TLSCACrt string `yaml:"tls_ca_crt"`
	// NodeName is the name of the node, unique in its cluster. Default: the host name of the system.
	NodeName string `yaml:"node_name"`
	// NodeLocation names the Location that the node is at. Default: none.
	NodeLocation string `yaml:"node_location"`
	// NodeIdentifiers are what the node filters of labels match. A list given replaces the defaults: `FishName:`,
	// `HostName:`, `OS:`, `OSVersion:`, `OSPlatform:`, `OSFamily:`, `Arch:` (contract 13).
	NodeIdentifiers []string `yaml:"node_identifiers"`
	// SSHKey is the path of the SSH proxy's host key. Default `<node_name>_id_ecdsa`, relative to Directory.
	SSHKey string `yaml:"ssh_key"`
	// DefaultResourceLifetime is how long a Resource lives whose label says nothing. Default 0; 0 and less mean that it
	// lives until it is deallocated.
	DefaultResourceLifetime time.Duration `yaml:"default_resource_lifetime"`
	// Drivers are the configured driver instances. Default: none listed, which means one instance of every driver of
	// the binary, each with its own defaults.
	Drivers []DriverEntry `yaml:"drivers"`

	// ImagesPrefetch fetches the images of each label's newest version that this node could run, before anybody asks for
	// it. Default false: it takes disk and line for labels that other nodes may serve.
	ImagesPrefetch bool `yaml:"images_prefetch"`
	// MetaAddress binds the metadata API to an address of its own, apart from the REST API. Default: none, it is served
	// on APIAddress.
	MetaAddress string `yaml:"meta_address"`
	// AuthHashMemory is how much memory password hashes may take at once, in bytes. One takes 64 MB; one at a time runs
	// in any case. Default 256MB: four logins in parallel keep two to eight cores busy, more would only queue in memory.
	AuthHashMemory yamlconf.Size `yaml:"auth_hash_memory"`
	// Retention is how long a finished Application stays in the database. 0 = for ever. Default 7d: a failed build is
	// looked into within the week.
	Retention time.Duration `yaml:"retention"`
	// MaxDBSize drops the oldest finished Applications before their Retention when the database grows past it, in bytes.
	// Default 0 = no limit.
	MaxDBSize yamlconf.Size `yaml:"max_db_size"`
	// AllocateTimeout is how long a driver may take to allocate; after it what was made is released and the Application
	// ends in ERROR. The time in which images are fetched does not count. Default 30m: a cloud may take half of it.
	AllocateTimeout time.Duration `yaml:"allocate_timeout"`
	// TaskTimeout is how long all tasks of a deallocation may take together; what is not done then gets an error as its
	// result and the deallocation goes on. Default 1h: a full snapshot of a large disk.
	TaskTimeout time.Duration `yaml:"task_timeout"`
	// StarvationAfter is how long an Application may wait while younger, smaller ones are served; then capacity is kept
	// free for it. 0 = never. Default 10m: longer than most builds hold their agent.
	StarvationAfter time.Duration `yaml:"starvation_after"`
	// VoteTimeout is how long an election waits for the votes of other nodes. At most 30s, the length of a round.
	// Default 3s: many times a round trip to the other side of the world.
	VoteTimeout time.Duration `yaml:"vote_timeout"`

	// Election is how a cluster elects.
	Election Election `yaml:"election"`

	// AuditFile takes who did what: one JSON object per line, a file of its own for each node. Default
	// `<node_name>_audit.log`, relative to Directory.
	AuditFile string `yaml:"audit_file"`
	// AuditFileSize is where the audit file is full and another one begins, in bytes. Default 10MB: some 40,000 events.
	AuditFileSize yamlconf.Size `yaml:"audit_file_size"`
	// AuditFileKeep is how many full audit files stay; the oldest go. Default 9: with the open one 100 MB.
	AuditFileKeep uint16 `yaml:"audit_file_keep"`

	// APIMaxConnections bounds the open connections to the API. Past it the connection that has been idle for longest is
	// closed, and if none is idle the new one. Default 4096: at about 20 KB each they stay below 100 MB.
	APIMaxConnections uint32 `yaml:"api_max_connections"`
	// APIHeaderTimeout is how long a client may take for the TLS handshake, and for the headers of a request.
	// Default 10s: a slow client is no reason to hold a connection.
	APIHeaderTimeout time.Duration `yaml:"api_header_timeout"`
	// APIReadTimeout is how long a client may take to send a whole request, and once its credentials are checked the
	// body. Default 30s: a body has at most 64 KB.
	APIReadTimeout time.Duration `yaml:"api_read_timeout"`
	// APIWriteTimeout is how long a request may take from its headers until its answer is sent, and a client for every
	// 32 KB of a list; profiles set their own. Default 60s: far more than a line takes that a CI runs on.
	APIWriteTimeout time.Duration `yaml:"api_write_timeout"`
	// APIIdleTimeout is how long a connection stays open without a request. Default 3m: clients poll every 5 s to 60 s.
	APIIdleTimeout time.Duration `yaml:"api_idle_timeout"`
	// APIMaxHeaderSize bounds the headers of a request in bytes. Default 64KB, like its body.
	APIMaxHeaderSize yamlconf.Size `yaml:"api_max_header_size"`

	// TLSNames are DNS names and IP addresses that the node's certificate names besides NodeName and the host of
	// NodeAddress. Default: none.
	TLSNames []string `yaml:"tls_names"`
	// LogFile is where the log and the access log go, relative to Directory; standard output then has the log alone.
	// Default: none, both go to standard output.
	LogFile string `yaml:"log_file"`
	// LogFileSize is the size past which LogFile is rotated, in bytes. Default 100MB: a day of 300 polling agents.
	LogFileSize yamlconf.Size `yaml:"log_file_size"`
	// LogFileKeep is how many rotated files stay beside LogFile. Default 5: with it the log takes 600 MB at most.
	LogFileKeep uint16 `yaml:"log_file_keep"`
}

// Election are the keys below `election`.
type Election struct {
	// Safety is what is done about a node of which nothing is heard. Default strict: its Applications wait until it is
	// back or retired, and nothing is ever run twice. available: after 5 minutes others go on, and an Application runs
	// twice if that node lives, cut off, and had begun it.
	Safety string `yaml:"safety"`
}

// DriverEntry is one configured driver instance.
type DriverEntry struct {
	// Name is `<driver>` or `<driver>/<instance>`: the whole of it is what a label's definition names.
	Name string `yaml:"name"`
	// Cfg is the driver's own part as a JSON object, empty if not given. It keeps the line numbers of the file:
	// a driver that reads it with yamlconf.Parse names the right lines in its errors.
	Cfg yamlconf.Raw `yaml:"cfg"`
	// Line is where the entry stands in the file.
	Line int `yaml:"-"`
}

// Driver is the name of the provider: what stands before the slash.
func (e DriverEntry) Driver() string {
	driver, _, _ := strings.Cut(e.Name, "/")
	return driver
}

// JSON is Cfg in the type that encoding/json takes; `{}` if none was given.
func (e DriverEntry) JSON() json.RawMessage {
	if len(e.Cfg) == 0 {
		return json.RawMessage("{}")
	}
	return json.RawMessage(e.Cfg)
}

// Default returns the configuration of a node that is told nothing. What depends on the host or on other keys
// (NodeName, the key and certificate paths, NodeIdentifiers) is empty here and filled in by [Load].
func Default() Config {
	return Config{
		Directory:              "fish_data",
		APIAddress:             "0.0.0.0:8001",
		ProxySOCKSAddress:      "0.0.0.0:1080",
		ProxySSHAddress:        "0.0.0.0:2022",
		ProxySSHAccessLifetime: 10 * time.Minute,
		ProxySSHMaxSessions:    1000,
		ProxySSHGrace:          10 * time.Second,
		ProxySSHRecordingSize:  100 << 20,
		ProxySSHRecordingsSize: 1 << 30,
		ProxySSHRecordingsKeep: 30 * 24 * time.Hour,
		NodeAddress:            "127.0.0.1:8001",
		ClusterMaxLinks:        8,
		ClusterLinkBytes:       8 << 20,
		AuthHashMemory:         256 << 20,
		Retention:              7 * 24 * time.Hour,
		AllocateTimeout:        30 * time.Minute,
		TaskTimeout:            time.Hour,
		StarvationAfter:        10 * time.Minute,
		VoteTimeout:            3 * time.Second,
		Election:               Election{Safety: "strict"},
		AuditFileSize:          10 << 20,
		AuditFileKeep:          9,
		APIMaxConnections:      4096,
		APIHeaderTimeout:       10 * time.Second,
		APIReadTimeout:         30 * time.Second,
		APIWriteTimeout:        time.Minute,
		APIIdleTimeout:         3 * time.Minute,
		APIMaxHeaderSize:       64 << 10,
		LogFileSize:            100 << 20,
		LogFileKeep:            5,

		ProxySOCKSHandshakeTimeout: 10 * time.Second,
		ProxySOCKSDialTimeout:      10 * time.Second,
		ProxySOCKSIdleTimeout:      time.Hour,
		ProxySOCKSMaxConnections:   512,
		ProxySOCKSRate:             100,
		ProxySOCKSMaxUnidentified:  256,
	}
}
