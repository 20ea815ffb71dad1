package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Task returns a task and its application's entry. ErrNotFound if there is no
// such task.
func (s *Store) Task(ctx context.Context, uid model.UID) (model.ApplicationTask, *model.Entry, error) {
	app, err := s.engine.taskApplication(ctx, uid)
	if err != nil {
		return model.ApplicationTask{}, nil, err
	}
	e, err := s.Application(ctx, app)
	if err != nil {
		return model.ApplicationTask{}, nil, err
	}
	for _, t := range e.Tasks {
		if t.UID == uid {
			return t, e, nil
		}
	}
	return model.ApplicationTask{}, nil, fmt.Errorf("task %s: %w", uid, ErrNotFound)
}

// taskApplication is the application that a task belongs to.
func (d *database) taskApplication(ctx context.Context, uid model.UID) (model.UID, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var app model.UID
	err := d.readers.QueryRowContext(ctx, "SELECT application_uid FROM application_tasks WHERE uid = ?", key(uid)).Scan(&app)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return model.NilUID, fmt.Errorf("task %s: %w", uid, ErrNotFound)
	case err != nil:
		return model.NilUID, fmt.Errorf("read task %s: %w", uid, err)
	}
	return app, nil
}
