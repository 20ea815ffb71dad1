package awscli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// simulation is one `aws simulate`.
type simulation struct {
	sh     Shell
	stdin  io.Reader
	stdout io.Writer

	trace, format string
	pools         string
	pool          simulate.Pool
	prices        map[string]string
	seed          uint64
	output, svg   string

	sweep bool
	grid  simulate.Grid

	generate bool
	workload trace.Workload
	start    string
}

const simulateHelp = `Compute what a pool of dedicated hosts would have cost for jobs that are known,
and how long they would have waited. The pool decides as it does in a node; AWS
is imitated on paper. Nothing is asked over the network.

The trace has a line for each job:
  csv     startTime,endTime,executionTime,jobName,stageName in seconds, and if known
          label, zone, arch, pool; endTime is not used
  swf     the Standard Workload Format
  github  jobs of GitHub's API as JSON, one in a line
It may be compressed with gzip; "-" is standard input.

One pool is described by flags. For several, --pools names a YAML file:
  prices: {mac2.metal: 0.65}
  dedicated_pool:
    m2: {type: mac2.metal, zones: [a, b], max: 40, scrubbing_delay: 2m, match: {label: "*macos*"}}
with the keys of the driver's configuration, and those of the flags below with _
for -. A job goes to the first pool, by name, that it matches (pool, label, arch,
name, stage). Flags say what a pool does not.

Times that vary are given as 90m, as a range 40m-110m, or as @FILE with a measured
time in each line. Without --price the built-in, indicative prices are used.`

// simulateCommand is `aws simulate`.
func simulateCommand(sh Shell) *cobra.Command {
	s := &simulation{sh: sh, pool: simulate.Default(), workload: trace.Example()}
	s.start = s.workload.Start.Format(time.DateOnly)
	c := &cobra.Command{
		Use:   "simulate {--trace FILE | --generate}",
		Short: "Compute what a pool of dedicated hosts would cost, and how long jobs would wait", Long: simulateHelp,
		Example: `  aquarium-fish aws simulate --trace jobs.csv --max 40 --scrubbing-delay 2m --svg hosts.svg
  aquarium-fish aws simulate --trace jobs.csv --sweep --wait-p95 15m
  aquarium-fish aws simulate --generate --days 28 --jobs 3400 > jobs.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.stdin, s.stdout = cmd.InOrStdin(), cmd.OutOrStdout()
			ctx := cmd.Context()
			if ctx == nil {
				ctx = context.Background()
			}
			return s.run(ctx)
		},
	}
	s.flags(c)
	return c
}

func (s *simulation) flags(c *cobra.Command) {
	f, p := c.Flags(), &s.pool
	f.SortFlags = false
	f.StringVar(&s.trace, "trace", "", `file of the jobs; "-" is standard input`)
	f.StringVar(&s.format, "format", string(trace.Auto), "form of the trace: auto, csv, swf or github")
	f.StringVar(&s.pools, "pools", "", "YAML file of pools and prices")
	f.StringVarP(&s.output, "output", "o", "table", "table, json or csv")
	f.StringVar(&s.svg, "svg", "", "file for a chart of hosts, paid and pending over time")
	f.StringVar(&p.Type, "type", p.Type, "type of the hosts")
	f.StringSliceVar(&p.Zones, "zones", p.Zones, "zones in which hosts are allocated, best first")
	f.IntVar(&p.Max, "max", p.Max, "most hosts at once")
	f.DurationVar(&p.ScrubbingDelay, "scrubbing-delay", p.ScrubbingDelay, "how long a host idles before it is scrubbed; 0: never")
	f.DurationVar(&p.MinAge, "release-delay", p.MinAge, "how old a host gets before it is released when idle; 24h or more for Macs")
	f.DurationVar(&p.PendingToAvailable, "pending-to-available-delay", p.PendingToAvailable, "how long a scrubbed host is left alone")
	f.DurationVar(&p.Patience, "patience", p.Patience, "how long a job waits for a scrubbed host before one more is allocated")
	f.Var(spreadFlag{&p.Boot}, "boot", "from the launch of an instance until its job runs")
	f.Var(spreadFlag{&p.Scrub}, "scrub", "how long a host is scrubbed, and not paid for")
	f.DurationVar(&p.Shutdown, "shutdown", p.Shutdown, "from the end of an instance until its host is scrubbed")
	f.DurationVar(&p.Notice, "notice", p.Notice, "from a change at AWS until the pool sees it")
	f.IntVar(&p.Quota, "quota", 0, "the account's limit of hosts; 0: none")
	f.DurationVar(&p.QuotaLag, "quota-lag", p.QuotaLag, "how long a released host counts for the quota")
	f.StringToIntVar(&p.Capacity, "capacity", nil, "hosts that a zone has, such as a=10; else enough")
	f.StringToStringVar(&s.prices, "price", nil, "USD per hour of a type, such as mac2.metal=0.65")
	f.Uint64Var(&s.seed, "seed", 1, "what is random comes again with the same number")
	f.BoolVar(&s.sweep, "sweep", false, "try many settings, and tell the cheapest that keeps --wait-p95")
	f.DurationVar(&s.grid.WaitP95, "wait-p95", 15*time.Minute, "sweep: how long 95 % of the jobs may wait for a host")
	f.IntSliceVar(&s.grid.Max, "sweep-max", nil, "sweep: values of --max (default: twelve around what is needed)")
	f.DurationSliceVar(&s.grid.ScrubbingDelay, "sweep-delays",
		[]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute}, "sweep: values of --scrubbing-delay")
	f.DurationSliceVar(&s.grid.Patience, "sweep-patience", []time.Duration{0, 5 * time.Minute, 10 * time.Minute}, "sweep: values of --patience")
	f.BoolVar(&s.generate, "generate", false, "write a made-up trace: days and weeks, Poisson arrivals, log-normal runs")
	f.StringVar(&s.start, "start", s.start, "generate: the first day, in UTC")
	f.IntVar(&s.workload.Days, "days", s.workload.Days, "generate: how many days")
	f.Float64Var(&s.workload.Jobs, "jobs", s.workload.Jobs, "generate: how many jobs, about")
	f.DurationVar(&s.workload.Mean, "mean", s.workload.Mean, "generate: how long a job runs, on average")
	for name, words := range map[string][]cobra.Completion{
		"output": {"table", "json", "csv"}, "format": {"auto", "csv", "swf", "github"},
	} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // it is there
	}
	c.MarkFlagsMutuallyExclusive("trace", "generate")
	c.MarkFlagsMutuallyExclusive("sweep", "generate")
	c.MarkFlagsMutuallyExclusive("sweep", "svg")
	c.MarkFlagsOneRequired("trace", "generate")
}

func (s *simulation) run(ctx context.Context) error {
	if s.generate {
		return s.make()
	}
	switch s.output {
	case "table", "json":
	case "csv":
		if s.sweep {
			return s.sh.Usage("a sweep has no csv: want -o table or json")
		}
	default:
		return s.sh.Usage("unknown output %q: want table, json or csv", s.output)
	}
	setup, err := s.setup()
	if err != nil {
		return err
	}
	jobs, err := trace.Open(s.trace, s.stdin, trace.Format(s.format))
	if err != nil {
		return err
	}
	if s.sweep {
		swept, err := simulate.Sweep(ctx, setup, jobs, s.grid)
		if err != nil {
			return err
		}
		return s.write(map[string]func(io.Writer) error{"table": swept.WriteTable, "json": swept.WriteJSON}[s.output])
	}
	report, err := simulate.Run(ctx, setup, jobs)
	if err != nil {
		return err
	}
	if err := s.draw(report); err != nil {
		return err
	}
	return s.write(map[string]func(io.Writer) error{"table": report.WriteTable, "json": report.WriteJSON, "csv": report.WriteCSV}[s.output])
}

// write writes to standard output at once: half a result looks like one.
func (s *simulation) write(form func(io.Writer) error) error {
	var b bytes.Buffer
	if err := form(&b); err != nil {
		return err
	}
	if _, err := s.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// draw writes the chart, if one is wanted.
func (s *simulation) draw(r *simulate.Report) error {
	if s.svg == "" {
		return nil
	}
	var b bytes.Buffer
	if err := r.WriteSVG(&b); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Clean(s.svg), b.Bytes(), 0o644); err != nil { //nolint:gosec // a picture for all to see
		return fmt.Errorf("write chart: %w", err)
	}
	return nil
}

// make writes a trace.
func (s *simulation) make() error {
	start, err := time.Parse(time.DateOnly, s.start)
	if err != nil {
		return s.sh.Usage("start: got %q, want a day such as 2026-03-02", s.start)
	}
	s.workload.Start, s.workload.Seed = start, s.seed
	made, err := trace.Generate(s.workload)
	if err != nil {
		return s.sh.Usage("%w", err)
	}
	return s.write(func(w io.Writer) error { return trace.WriteCSV(w, made.Jobs) })
}

// setup is what the flags and the file say.
func (s *simulation) setup() (simulate.Setup, error) {
	own := map[string]float64{}
	for name, text := range s.prices {
		usd, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return simulate.Setup{}, s.sh.Usage("price: got %s=%s, want USD per hour such as mac2.metal=0.65", name, text)
		}
		own[name] = usd
	}
	if s.pools != "" {
		setup, warnings, err := simulate.ReadSetup(s.pools, s.pool, own)
		for _, w := range warnings {
			s.sh.Note("Warning: %s", w)
		}
		setup.Seed = s.seed
		return setup, err
	}
	table, err := price.New(own)
	if err != nil {
		return simulate.Setup{}, s.sh.Usage("price: %w", err)
	}
	setup := simulate.Setup{Pools: []simulate.Pool{s.pool}, Prices: table, Seed: s.seed}
	if err := setup.Validate(); err != nil {
		return simulate.Setup{}, s.sh.Usage("%w", err)
	}
	return setup, nil
}

// spreadFlag is a time that varies, as a flag.
type spreadFlag struct{ to *simulate.Spread }

// Set reads it.
func (f spreadFlag) Set(text string) error { return f.to.UnmarshalText([]byte(text)) }

// String is the current value.
func (f spreadFlag) String() string {
	if f.to == nil {
		return ""
	}
	return f.to.String()
}

// Type names the value in the usage.
func (f spreadFlag) Type() string { return "time" }
