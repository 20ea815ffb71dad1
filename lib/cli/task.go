package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// taskCommand is the noun of ApplicationTasks.
func taskCommand(s *shell) *cobra.Command {
	c := s.noun("task", "Order tasks on environments, such as snapshots", taskCreate(s), taskList(s), taskGet(s))
	c.Aliases = []string{"tasks"}
	return c
}

// taskFlags are those of `task create`.
type taskFlags struct {
	when, options string
	wait          bool
	timeout       time.Duration
}

func taskCreate(s *shell) *cobra.Command {
	f := &taskFlags{}
	c := &cobra.Command{
		Use: "create APPLICATION TASK", Short: "Order a task on the environment of an application", Args: cobra.ExactArgs(2),
		Long: `Order a task. With --when ALLOCATED it runs as soon as the environment is there, with DEALLOCATE just before it is released.
With --wait the command returns when the task has a result; exit code 4: not in time, 5: the result is an error.`,
		Example:           `  aquarium-fish task create UID snapshot --when DEALLOCATE --options '{"full": true}'`,
		ValidArgsFunction: s.completeApp,
		RunE:              func(cmd *cobra.Command, args []string) error { return s.createTask(cmd.Context(), args[0], args[1], f) },
	}
	c.Flags().StringVar(&f.when, "when", string(apiv1.ApplicationStatusALLOCATED), "ALLOCATED or DEALLOCATE")
	completeFlag(c, "when", cobra.FixedCompletions([]cobra.Completion{"ALLOCATED", "DEALLOCATE"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVar(&f.options, "options", "", "options of the task: a JSON object, or @FILE of JSON or YAML, @- for stdin")
	c.Flags().BoolVarP(&f.wait, "wait", "w", false, "wait for the result")
	c.Flags().DurationVar(&f.timeout, "timeout", defaultWait, "how long to wait; 0 for as long as it takes")
	return c
}

func (s *shell) createTask(ctx context.Context, app, name string, f *taskFlags) error {
	uid, err := parseUID("an application", app)
	if err != nil {
		return err
	}
	if f.when != string(apiv1.ApplicationStatusALLOCATED) && f.when != string(apiv1.ApplicationStatusDEALLOCATE) {
		return usagef("bad --when %q: a task runs at ALLOCATED or DEALLOCATE, at no other status", f.when)
	}
	options, err := s.taskOptions(f.options)
	if err != nil {
		return err
	}
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	task, err := result(api.ApplicationTaskCreateWithResponse(ctx, uid, apiv1.ApplicationTaskRequest{Task: name, When: f.when, Options: options}))
	if err != nil {
		return err
	}
	if f.wait {
		s.note("task %s", task.UID)
		if task, err = waitTask(ctx, api, *task, f.timeout); err != nil {
			return err
		}
	}
	if err := s.print(s.tasksView(task, []apiv1.ApplicationTask{*task})); err != nil {
		return err
	}
	if reason := taskError(*task); f.wait && reason != "" {
		return &Failure{CodeEnded, fmt.Errorf("task %s did not succeed: %s", task.UID, printable(reason))}
	}
	return nil
}

// taskError is why a task that ended did not succeed; empty if it did.
func taskError(t apiv1.ApplicationTask) string {
	var r struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(t.Result, &r) != nil {
		return "" // a result of another shape is the driver's
	}
	return r.Error
}

// taskOptions reads the object of options.
func (s *shell) taskOptions(text string) (json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	raw := json.RawMessage(text)
	if file, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if raw, err = s.readJSON(file); err != nil {
			return nil, err
		}
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return nil, usagef("bad --options: want a JSON object such as '{\"full\": true}'")
	}
	return raw, nil
}

// waitTask waits until the task has a result: anything but an empty object.
func waitTask(ctx context.Context, api client.ClientWithResponsesInterface, task apiv1.ApplicationTask, timeout time.Duration) (*apiv1.ApplicationTask, error) {
	bounded, cancel := withTimeout(ctx, timeout)
	defer cancel()
	now := &task
	err := poll(bounded, func(ctx context.Context) (bool, error) {
		t, err := result(api.ApplicationTaskGetWithResponse(ctx, task.UID))
		if err != nil {
			return false, err
		}
		now = t
		return taskDone(*t), nil
	})
	if err != nil {
		return nil, unfinished(ctx, err, fmt.Sprintf("task %s has no result after %v", task.UID, timeout),
			fmt.Sprintf("it goes on: 'aquarium-fish task get %s' shows it", task.UID))
	}
	return now, nil
}

func taskDone(t apiv1.ApplicationTask) bool { return len(t.Result) > 0 && string(t.Result) != "{}" }

func taskList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list APPLICATION", Aliases: []string{"ls"}, Short: "List the tasks of an application", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "an application", args[0])
			if err != nil {
				return err
			}
			tasks, err := result(api.ApplicationTaskListWithResponse(cmd.Context(), uid, nil))
			if err != nil {
				return err
			}
			return s.print(s.tasksView(tasks, *tasks))
		},
	}
}

func taskGet(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "get UID", Short: "Show a task and its result", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "a task", args[0])
			if err != nil {
				return err
			}
			task, err := result(api.ApplicationTaskGetWithResponse(cmd.Context(), uid))
			if err != nil {
				return err
			}
			return s.print(s.tasksView(task, []apiv1.ApplicationTask{*task}))
		},
	}
}

func (s *shell) tasksView(data any, tasks []apiv1.ApplicationTask) view {
	v := view{Data: data, Header: []string{"UID", "TASK", "WHEN", "AGE", "RESULT"}, Empty: "no tasks"}
	for _, t := range tasks {
		text := "(none yet)"
		if taskDone(t) {
			text = string(t.Result)
		}
		v.Names = append(v.Names, t.UID.String())
		v.Rows = append(v.Rows, []string{t.UID.String(), t.Task, t.When, age(s.Now(), t.CreatedAt), text})
	}
	return v
}
