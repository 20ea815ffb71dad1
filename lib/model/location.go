package model

import (
	"errors"
	"time"
)

// Location is a place that nodes are in, such as an office or a region. Any
// node writes it; the last writer wins.
type Location struct {
	Name        string
	Description string
	CreatedAt   time.Time
	HLC         HLC
}

// Validate checks what a client may set.
func (l Location) Validate() error {
	if l.Name == "" {
		return errors.New("name can't be empty")
	}
	return nil
}

// ServiceMapping redirects a service name to an address for the environments
// of one application, of one location, or of all where both are unset. Any
// node writes it; the last writer wins.
type ServiceMapping struct {
	UID            UID
	ApplicationUID UID // NilUID: any application
	LocationName   string
	Service        string
	Redirect       string
	CreatedAt      time.Time
	HLC            HLC
}

// Validate checks what a client may set.
func (m ServiceMapping) Validate() error {
	switch {
	case m.Service == "":
		return errors.New("service can't be empty")
	case m.Redirect == "":
		return errors.New("redirect can't be empty")
	}
	return nil
}
