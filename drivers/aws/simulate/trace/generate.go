package trace

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// Workload describes a made-up trace: people who push code by day, less at
// noon, little by night and at weekends.
type Workload struct {
	// Seed makes it another one; the same seed makes the same jobs.
	Seed uint64
	// Start is midnight of the first day.
	Start time.Time
	// Days is how long it goes on.
	Days int
	// Jobs is how many come, on average over many seeds.
	Jobs float64
	// Mean is how long a job runs on average; half of them run much shorter.
	Mean time.Duration
}

// Example is the workload of the documentation: four weeks from a Monday with
// some 3,400 jobs and 2,300 hours.
func Example() Workload {
	return Workload{
		Seed: 1, Start: time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC), Days: 28, Jobs: 3400, Mean: 41 * time.Minute,
	}
}

const (
	// spread is sigma of the logarithm of a job's run: half of the jobs take
	// less than 73 % of the mean, one in twenty more than 2.7 times of it.
	spread = 0.8
	// longestRun is where a CI system gives up on a job.
	longestRun = 6 * 3600
	weekend    = 0.15 // of a working day
)

// hours is how busy each hour of a working day is, in UTC.
func hours() [24]float64 {
	return [24]float64{
		0.2, 0.2, 0.2, 0.2, 0.2, 0.3, 0.6, 1.2, 2.2, 3.0, 3.2, 2.8,
		2.0, 2.6, 3.2, 3.2, 2.8, 2.0, 1.2, 0.8, 0.6, 0.5, 0.4, 0.3,
	}
}

// Generate makes the jobs of a workload. They arrive independently of each
// other (Poisson), and how long they run is log-normal.
func Generate(w Workload) (Trace, error) {
	if w.Days < 1 || w.Days > 3660 || w.Jobs <= 0 || w.Jobs > maxJobs/2 || w.Mean < time.Second || w.Mean > longestRun*time.Second {
		return Trace{}, errors.New("a workload has 1 to 3660 days, up to 10 million jobs and a mean run between 1s and 6h")
	}
	if last := w.Start.AddDate(0, 0, w.Days); w.Start.Unix() < 0 || last.Unix() > latest {
		return Trace{}, errors.New("a workload is of days from 1970 to 9999") // as no other could be read again
	}
	rate := rates(w)
	top := 0.0
	for _, r := range rate {
		top = max(top, r)
	}
	random := rand.New(rand.NewPCG(w.Seed, 0)) //nolint:gosec // it has to come again, not to surprise
	mu := math.Log(w.Mean.Seconds()) - spread*spread/2
	var jobs []Job
	end := float64(w.Days) * 86400
	for at := random.ExpFloat64() / top; at < end; at += random.ExpFloat64() / top {
		// Of arrivals at the highest rate as many are kept as the hour's rate is lower.
		if random.Float64()*top > rate[int(at)/3600] {
			continue
		}
		run := math.Exp(mu + spread*random.NormFloat64())
		jobs = append(jobs, Job{
			Arrival: w.Start.Unix() + int64(at), Run: int64(math.Round(min(max(run, 1), longestRun))), Name: "build", Stage: "test",
		})
	}
	if len(jobs) == 0 {
		return Trace{}, errors.New("the workload has no job: want more of them, or more days")
	}
	return Trace{Jobs: jobs}, nil
}

// rates is how many jobs come in a second, for each hour of the workload.
func rates(w Workload) []float64 {
	rate := make([]float64, w.Days*24)
	sum := 0.0
	day := hours()
	for i := range rate {
		at := w.Start.Add(time.Duration(i) * time.Hour).UTC()
		rate[i] = day[at.Hour()]
		if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
			rate[i] *= weekend
		}
		sum += rate[i] * 3600
	}
	for i := range rate {
		rate[i] *= w.Jobs / sum
	}
	return rate
}
