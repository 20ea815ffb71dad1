package docker

import (
	"errors"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/docker/engine"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/machine"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// settings is an instance's cfg: the keys of contract 29, then ours.
type settings struct {
	// DockerPath is known to configs of the original: it ran the docker command.
	DockerPath string `yaml:"docker_path"`

	IsRemote bool `yaml:"is_remote"`
	machine.Share
	images.Settings
	Registries []engine.Registry `yaml:"registries"`
	// TasksPath is where tasks put what they make. Default: tasks in the workspace.
	TasksPath string `yaml:"tasks_path"`

	// DockerHost is where the engine is: unix://, tcp:// or npipe://. Default:
	// DOCKER_HOST, then the sockets that are usual here.
	DockerHost string `yaml:"docker_host"`
	// The files of TLS, for an engine behind tcp://.
	TLSCACrt string `yaml:"tls_ca_crt"`
	TLSCrt   string `yaml:"tls_crt"`
	TLSKey   string `yaml:"tls_key"`

	// StopGrace is how long an environment may take to stop before it is killed.
	StopGrace time.Duration `yaml:"stop_grace"`
	// PidsLimit bounds the processes and threads of one environment.
	PidsLimit int64 `yaml:"pids_limit"`
	// OOMScoreAdj makes the kernel, short of memory, kill environments before
	// the node and the engine.
	OOMScoreAdj int `yaml:"oom_score_adj"`
	// LogSize bounds what the engine keeps of an environment's output.
	LogSize yamlconf.Size `yaml:"log_size"`
}

// defaults are big enough for a build, and small against the machine.
func defaults() settings {
	return settings{
		Settings:  images.Settings{ImagesPath: "fish_docker_images", WorkspacePath: "fish_docker_workspace"},
		StopGrace: 10 * time.Second, PidsLimit: 4096, OOMScoreAdj: 500, LogSize: 10 << 20,
	}
}

// readSettings reads an instance's cfg. Warnings are about unknown keys.
func readSettings(cfg []byte) (settings, []yamlconf.Problem, error) {
	s := defaults()
	doc, err := yamlconf.Parse(cfg)
	if err != nil {
		return settings{}, nil, err
	}
	if err := doc.Decode(&s); err != nil {
		return settings{}, nil, err
	}
	if err := errors.Join(s.Complete(doc), s.checkLimits(doc), s.checkHost(doc), s.checkRegistries(doc)); err != nil {
		return settings{}, nil, err
	}
	return s, doc.Warnings(), nil
}

// longestGrace keeps a release well below the time that a node gives it.
const longestGrace = time.Minute

func (s *settings) checkLimits(doc *yamlconf.Document) error {
	var errs []error
	if s.StopGrace < 0 || s.StopGrace > longestGrace {
		errs = append(errs, doc.Problem("stop_grace", "got %v, want 0s to %v", s.StopGrace, longestGrace))
	}
	if s.PidsLimit < 16 || s.PidsLimit > 1<<22 {
		errs = append(errs, doc.Problem("pids_limit", "got %d, want 16 to %d", s.PidsLimit, 1<<22))
	}
	if s.OOMScoreAdj < -1000 || s.OOMScoreAdj > 1000 {
		errs = append(errs, doc.Problem("oom_score_adj", "got %d, want -1000 to 1000", s.OOMScoreAdj))
	}
	if s.LogSize < 4096 || s.LogSize > 1<<40 {
		errs = append(errs, doc.Problem("log_size", "got %d bytes, want 4KB to 1TB", s.LogSize))
	}
	if _, err := (machine.Host{Cores: 1 << 20, RAM: 1 << 60}).Limits(s.share()); err != nil { // nonsense of any machine
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *settings) checkHost(doc *yamlconf.Document) error {
	var errs []error
	if s.DockerHost != "" {
		if err := checkAddress(s.DockerHost); err != nil { // there may be a password in it
			errs = append(errs, doc.Problem("docker_host", "%v", err))
		} else if s.withTLS() && !strings.HasPrefix(s.DockerHost, "tcp://") {
			errs = append(errs, doc.Problem("docker_host", "got %q, want tcp://… with the files of TLS", s.DockerHost))
		}
	}
	if (s.TLSCrt == "") != (s.TLSKey == "") {
		errs = append(errs, doc.Problem("tls_crt", "want both tls_crt and tls_key, or neither"))
	}
	return errors.Join(errs...)
}

func (s *settings) checkRegistries(doc *yamlconf.Document) error {
	var errs []error
	for i, r := range s.Registries {
		if r.Host == "" || strings.ContainsAny(r.Host, "/ ") {
			errs = append(errs, doc.Problem("registries", "entry %d: host %q: want the name of a registry, such as registry.example.org:5000", i, r.Host))
		}
	}
	return errors.Join(errs...)
}

// graceSeconds is what engines count a grace in: a started second is a whole one.
func (s *settings) graceSeconds() int { return int((s.StopGrace + time.Second - 1) / time.Second) }

func (s *settings) withTLS() bool { return s.TLSCACrt != "" || s.TLSCrt != "" || s.TLSKey != "" }

func (s *settings) share() machine.Share {
	share := s.Share
	share.Remote = s.IsRemote
	return share
}
