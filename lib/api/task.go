package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func toTask(t model.ApplicationTask) apiv1.ApplicationTask {
	return apiv1.ApplicationTask{
		UID: t.UID, ApplicationUID: t.ApplicationUID, CreatedAt: t.CreatedAt, Options: orObject(t.Options),
		Result: orObject(t.Result), Task: t.Task, UpdatedAt: t.UpdatedAt, When: t.When,
	}
}

type taskList struct {
	list[model.ApplicationTask]
}

// VisitApplicationTaskListResponse implements the generated answer.
func (l taskList) VisitApplicationTaskListResponse(w http.ResponseWriter) error { return l.write(w) }

// ApplicationTaskList lists the tasks of an application.
func (h *handlers) ApplicationTaskList(
	ctx context.Context, r apiv1.ApplicationTaskListRequestObject,
) (apiv1.ApplicationTaskListResponseObject, error) {
	if _, err := h.application(ctx, r.UID, badRequest); err != nil {
		return nil, err
	}
	q := query(ctx, r.Params.Filter)
	q.Application = r.UID
	return taskList{newList(h, "task", h.Store.ListTasks(ctx, q), toTask)}, nil
}

// ApplicationTaskGet shows a task. An absent one is 400 (contract 6).
func (h *handlers) ApplicationTaskGet(
	ctx context.Context, r apiv1.ApplicationTaskGetRequestObject,
) (apiv1.ApplicationTaskGetResponseObject, error) {
	task, e, err := h.Store.Task(ctx, r.TaskUID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &absence{
			of: r.TaskUID, answer: badRequest("Unable to find the ApplicationTask: %s", r.TaskUID),
			here: func(ctx context.Context) bool {
				_, _, err := h.Store.Task(ctx, r.TaskUID)
				return err == nil
			},
		}
	case err != nil:
		return nil, err
	}
	if err := needOwner(ctx, e); err != nil {
		return nil, err
	}
	return apiv1.ApplicationTaskGet200JSONResponse(toTask(task)), nil
}

// ApplicationTaskCreate orders a task. One for an application that is over
// ends at once: nobody will look at it again.
func (h *handlers) ApplicationTaskCreate(
	ctx context.Context, r apiv1.ApplicationTaskCreateRequestObject,
) (apiv1.ApplicationTaskCreateResponseObject, error) {
	if _, err := h.application(ctx, r.UID, badRequest); err != nil {
		return nil, err
	}
	task := model.ApplicationTask{
		UID: h.newUID(), ApplicationUID: r.UID, Task: r.Body.Task, When: r.Body.When,
		Options: orObject(r.Body.Options), Result: orObject(nil),
	}
	if err := task.Validate(); err != nil {
		return nil, badRequest("Unable to create task: %v", err)
	}
	e, err := h.Store.Update(ctx, r.UID, func(e *model.Entry) (model.Change, error) {
		return model.Change{Tasks: []model.ApplicationTask{endIfOver(task, e.Fold)}}, nil
	})
	if err != nil {
		return nil, err
	}
	for _, created := range e.Tasks {
		if created.UID == task.UID {
			return apiv1.ApplicationTaskCreate200JSONResponse(toTask(created)), nil
		}
	}
	return nil, fmt.Errorf("task %s is not in the entry that stored it", task.UID)
}

// endIfOver gives the task its result where the application will not run any.
func endIfOver(task model.ApplicationTask, fold model.Fold) model.ApplicationTask {
	if fold.Final || fold.Closed {
		task.Result = model.TaskError(fmt.Sprintf("the Application is over, its status is %s", fold.Status()))
	}
	return task
}
