package trace

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// gitHubJob is a job as GitHub's API shows it, with what is needed here.
type gitHubJob struct {
	Name       string   `json:"name"`
	Workflow   string   `json:"workflow_name"`
	Labels     []string `json:"labels"`
	Conclusion string   `json:"conclusion"`
	Created    string   `json:"created_at"`
	Started    string   `json:"started_at"`
	Completed  string   `json:"completed_at"`
	// Jobs are there where the line is a run of a workflow, or an answer of the API.
	Jobs []gitHubJob `json:"jobs"`
}

// readGitHub reads a job per line, or a list of them in the field "jobs". Who
// waited did so from created_at; between started_at and completed_at a machine
// was in use.
func (s *source) readGitHub() error {
	for more := true; more; more = s.next() {
		var j gitHubJob
		if err := json.Unmarshal([]byte(s.text), &j); err != nil {
			return s.fail("not a JSON object in one line: %v", jsonReason(err))
		}
		jobs := []gitHubJob{j}
		if j.Jobs != nil {
			jobs = j.Jobs
		}
		for _, one := range jobs {
			if err := s.gitHubJob(one); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonReason is an error without the names of our types.
func jsonReason(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return errors.New("field " + wrong.Field + " is a " + wrong.Value)
	}
	return err
}

func (s *source) gitHubJob(j gitHubJob) error {
	if j.Conclusion == "skipped" || j.Started == "" || j.Completed == "" {
		s.leftOut++ // it had no machine, or has it still
		return nil
	}
	var at [3]int64
	for i, field := range []struct{ name, text string }{
		{"created_at", j.Created}, {"started_at", j.Started}, {"completed_at", j.Completed},
	} {
		if field.text == "" && i == 0 { // older answers have none
			field.name, field.text = "started_at", j.Started
		}
		t, err := time.Parse(time.RFC3339, field.text)
		if err != nil {
			return s.fail("%s: got %q, want a time such as 2024-05-17T09:30:00Z", field.name, field.text)
		}
		at[i] = t.Unix()
	}
	labels := slices.Clone(j.Labels)
	slices.Sort(labels)
	return s.add(Job{
		Arrival: at[0], Run: at[2] - at[1],
		Name: j.Workflow, Stage: j.Name, Label: strings.Join(labels, ","), Arch: archOf(labels),
	})
}

// archOf is the architecture that a self-hosted runner carries as a label.
func archOf(labels []string) string {
	for _, l := range labels {
		switch l = strings.ToLower(l); l {
		case "arm64", "x64":
			return l
		}
	}
	return ""
}
