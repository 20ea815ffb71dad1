package api

import (
	"context"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// toUser leaves the hash empty, whoever asks: its key stays, because strict
// clients need it (contract 7, 32).
func toUser(u model.User) apiv1.User {
	return apiv1.User{CreatedAt: u.CreatedAt, Name: u.Name, UpdatedAt: u.UpdatedAt}
}

type userList struct{ list[model.User] }

// VisitUserListResponse implements the generated answer.
func (l userList) VisitUserListResponse(w http.ResponseWriter) error { return l.write(w) }

// UserList lists the users, for the admin.
func (h *handlers) UserList(ctx context.Context, r apiv1.UserListRequestObject) (apiv1.UserListResponseObject, error) {
	if err := needAdmin(ctx, "list users"); err != nil {
		return nil, err
	}
	users := h.Store.ListUsers(ctx, query(ctx, r.Params.Filter))
	return userList{newList(h, "user", users, toUser)}, nil
}

// UserMeGet shows the caller.
func (h *handlers) UserMeGet(ctx context.Context, _ apiv1.UserMeGetRequestObject) (apiv1.UserMeGetResponseObject, error) {
	u, ok := h.Store.UserByName(callerOf(ctx).Name)
	if !ok { // removed since the credentials were checked
		return nil, auth.ErrUnauthorized
	}
	return apiv1.UserMeGet200JSONResponse(toUser(u)), nil
}

// UserGet shows a user, for the admin.
func (h *handlers) UserGet(ctx context.Context, r apiv1.UserGetRequestObject) (apiv1.UserGetResponseObject, error) {
	if err := needAdmin(ctx, "see other users"); err != nil {
		return nil, err
	}
	u, ok := h.Store.UserByName(r.Name)
	if !ok {
		return nil, &absence{answer: notFound("Unable to find the user: %q", r.Name)}
	}
	return apiv1.UserGet200JSONResponse(toUser(u)), nil
}

// UserDelete removes a user, for the admin.
func (h *handlers) UserDelete(ctx context.Context, r apiv1.UserDeleteRequestObject) (apiv1.UserDeleteResponseObject, error) {
	if err := needAdmin(ctx, "remove users"); err != nil {
		return nil, err
	}
	if r.Name == model.AdminName {
		return nil, badRequest("Unable to remove the user %q: the node can't do without it", model.AdminName)
	}
	removed, err := h.Store.DeleteUser(ctx, r.Name)
	if err == nil && !removed {
		err = h.unknown(ctx, model.NilUID)
	}
	if err != nil {
		return nil, err
	}
	return apiv1.UserDelete200JSONResponse{Message: "User removed"}, nil
}

// UserCreate creates a user or sets the password of one: the admin for any
// name, others for their own (contract 10).
func (h *handlers) UserCreate(ctx context.Context, r apiv1.UserCreateRequestObject) (apiv1.UserCreateResponseObject, error) {
	caller := callerOf(ctx)
	if err := (model.User{Name: r.Body.Name}).Validate(); err != nil {
		return nil, badRequest("Unable to create user: %v", err)
	}
	if !caller.IsAdmin() && r.Body.Name != caller.Name {
		return nil, badRequest("Only 'admin' user can create or change other users")
	}
	password, generated := r.Body.Password, ""
	if password == "" {
		generated = crypt.RandomPassword()
		password = generated
	}
	hash, err := h.Auth.HashPassword(ctx, password)
	if err != nil {
		return nil, authFailure(err)
	}
	user, err := h.Store.PutUser(ctx, r.Body.Name, func(old *model.User) (model.User, error) {
		if old == nil && !caller.IsAdmin() {
			return model.User{}, badRequest("Unable to change the password: the user was removed meanwhile")
		}
		return model.User{Name: r.Body.Name, Hash: hash}, nil
	})
	if err != nil {
		return nil, err
	}
	return apiv1.UserCreate200JSONResponse{
		CreatedAt: user.CreatedAt, Hash: r.Body.Hash, Name: user.Name, Password: generated, UpdatedAt: user.UpdatedAt,
	}, nil
}
