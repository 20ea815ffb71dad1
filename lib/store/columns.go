package store

import "github.com/aquarium-fish/aquarium-fish/lib/filter"

// The allow-lists of contract 9, per noun and caller: what is not here can not
// be named, and what a caller would not be shown is hidden (contract 32).
// Columns that v1 does not know (clock, epoch, arbiter...) are not in them.

func plain(column string) filter.Column { return filter.Column{SQL: column} }

func uidColumn(column string) filter.Column { return filter.Column{SQL: column, Kind: filter.UID} }

func timeColumn(column string) filter.Column { return filter.Column{SQL: column, Kind: filter.Time} }

func hiddenUnless(shown bool, column string) filter.Column {
	return filter.Column{SQL: column, Hidden: !shown}
}

func userFilter(c Caller) filter.Columns {
	return filter.Columns{
		"name": plain("name"), "created_at": timeColumn("created_at"), "updated_at": timeColumn("updated_at"),
		"algo": hiddenUnless(c.Admin, "algo"), "prop_memory": hiddenUnless(c.Admin, "prop_memory"),
		"prop_iterations": hiddenUnless(c.Admin, "prop_iterations"), "prop_threads": hiddenUnless(c.Admin, "prop_threads"),
		"salt": hiddenUnless(false, "salt"), "hash": hiddenUnless(false, "hash"),
	}
}

func labelFilter(c Caller) filter.Columns {
	return filter.Columns{
		"uid": uidColumn("uid"), "name": plain("name"), "version": plain("version"), "created_at": timeColumn("created_at"),
		"metadata": plain("metadata"), "definitions": hiddenUnless(c.Admin, "definitions"),
	}
}

func nodeFilter() filter.Columns {
	return filter.Columns{
		"uid": uidColumn("uid"), "name": plain("name"), "address": plain("address"), "location_name": plain("location_name"),
		"pubkey": plain("pubkey"), "definition": plain("definition"), "created_at": timeColumn("created_at"),
		"updated_at": timeColumn("updated_at"),
	}
}

func locationFilter() filter.Columns {
	return filter.Columns{
		"name": plain("name"), "description": plain("description"), "created_at": timeColumn("created_at"),
	}
}

func mappingFilter() filter.Columns {
	return filter.Columns{
		"uid": uidColumn("uid"), "application_uid": uidColumn("application_uid"), "location_name": plain("location_name"),
		"service": plain("service"), "redirect": plain("redirect"), "created_at": timeColumn("created_at"),
	}
}

func applicationFilter() filter.Columns {
	return filter.Columns{
		"uid": uidColumn("a.uid"), "label_uid": uidColumn("a.label_uid"), "owner_name": plain("a.owner_name"),
		"metadata": plain("a.metadata"), "created_at": timeColumn("a.created_at"),
	}
}

func taskFilter() filter.Columns {
	return filter.Columns{
		"uid": uidColumn("t.uid"), "application_uid": uidColumn("t.application_uid"), "task": plain("t.task"),
		"when": plain(`t."when"`), "options": plain("t.options"), "result": plain("t.result"),
		"created_at": timeColumn("t.created_at"), "updated_at": timeColumn("t.updated_at"),
	}
}

func resourceFilter(c Caller) filter.Columns {
	return filter.Columns{
		"uid": uidColumn("r.uid"), "application_uid": uidColumn("r.application_uid"), "label_uid": uidColumn("r.label_uid"),
		"node_uid": uidColumn("r.node_uid"), "definition_index": plain("r.definition_index"), "identifier": plain("r.identifier"),
		"ip_addr": plain("r.ip_addr"), "hw_addr": plain("r.hw_addr"), "metadata": plain("r.metadata"),
		"authentication": hiddenUnless(c.Admin, "r.authentication"),
		"created_at":     timeColumn("r.created_at"), "updated_at": timeColumn("r.updated_at"),
	}
}

// voteFilter reads a vote out of the JSON of its decision, in v.value.
func voteFilter() filter.Columns {
	text := func(name string) string { return "(v.value ->> '$." + name + "')" }
	uid := func(name string) filter.Column { return uidColumn("unhex(" + text(name) + ",'-')") }
	created := text("created_at") // RFC 3339 in UTC, its fraction without trailing zeros
	fraction := "substr(rtrim(substr(" + created + ",21),'Z')||'000000000',1,9)"
	return filter.Columns{
		"uid": uid("UID"), "application_uid": uid("application_UID"), "node_uid": uid("node_UID"), "round": plain(text("round")),
		"available": plain(text("available")), "rand": plain(text("rand")),
		"created_at": timeColumn("(unixepoch(substr(" + created + ",1,19))*1000000000+CAST(" + fraction + " AS INTEGER))"),
	}
}
