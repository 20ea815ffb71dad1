package cloud

import (
	"maps"
	"time"
)

// Maker is who makes things: a driver's instance of a node.
type Maker struct{ Node, Instance string }

// Mark is what a thing is made for. A field that is empty makes no tag.
type Mark struct {
	// Purpose is one of the Purpose values.
	Purpose string
	// Token, Application, Pool and Task are what it belongs to: see the tags of
	// these names.
	Token, Application, Pool, Task string
	// Created is when its making was decided, and Lease until when it may exist
	// though no allocation owns it.
	Created, Lease time.Time
}

// Tags are what a thing carries from its first moment on: who made it and what
// for, and beside that those of others, of which the later go over the earlier.
// No one else can say what ours do. Equal marks make equal tags, as a repeated
// request must not differ.
func (m Maker) Tags(mark Mark, others ...Tags) Tags {
	tags := Tags{}
	for _, more := range others {
		maps.Copy(tags, more)
	}
	for _, key := range ownKeys() {
		delete(tags, key)
	}
	for key, value := range map[string]string{
		TagNode: m.Node, TagInstance: m.Instance, TagPurpose: mark.Purpose, TagToken: mark.Token, TagApplication: mark.Application,
		TagPool: mark.Pool, TagTask: mark.Task, TagCreated: timeTag(mark.Created), TagLease: timeTag(mark.Lease),
	} {
		if value != "" {
			tags[key] = value
		}
	}
	return tags
}

// Query asks for what provably is of the maker.
func (m Maker) Query() Query {
	return Where("tag:"+TagNode, m.Node).And("tag:"+TagInstance, m.Instance)
}

// Made reports whether tags prove that a thing is of the maker.
func (m Maker) Made(tags Tags) bool {
	return tags[TagNode] == m.Node && tags[TagInstance] == m.Instance
}

// Lease is until when a thing may exist that no allocation owns; zero where it
// has no lease, or none that can be read.
func (t Tags) Lease() time.Time { return t.time(TagLease) }

// Created is when the making of a thing was decided; zero where nobody says.
func (t Tags) Created() time.Time { return t.time(TagCreated) }

func (t Tags) time(key string) time.Time {
	at, err := time.Parse(time.RFC3339, t[key])
	if err != nil {
		return time.Time{}
	}
	return at
}

// timeTag is a time as tags have it; a time that is none is empty.
func timeTag(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// ownKeys are all keys that only a Mark says.
func ownKeys() []string {
	return []string{TagNode, TagInstance, TagToken, TagApplication, TagPool, TagPurpose, TagCreated, TagLease, TagTask}
}
