package cli

import (
	"strings"
	"testing"
)

func TestAppExplain(t *testing.T) {
	f := newFarm(t)
	f.on("GET /application/"+someUID+"/explain", `{"application_UID":"`+someUID+`","description":"Just created","never":false,"nodes":[{"definitions":[`+
		`{"cause":"cpu","definition_index":0,"driver":"native","shortage":{"free":1,"limit":4,"need":2},"text":"cpu short: needs 2, free 1 of 4"},`+
		`{"cause":"behind_older","definition_index":1,"driver":"docker","head_UID":"`+otherUID+`","text":"an older one is first"}],`+
		`"name":"n1","node_UID":"`+labelUID+`"}],"since":"2026-11-22T11:55:00Z","status":"NEW","text":"It waits: for room"}`)
	want := `Why                    It waits: for room
Status                 NEW for 5m0s
Said                   Just created
Node n1, definition 0  native: cpu short: needs 2, free 1 of 4
Node n1, definition 1  docker: an older one is first: ` + otherUID + "\n"
	if got := f.ok("app", "explain", someUID); got != want {
		t.Errorf("explain = %s\nwant %s", got, want)
	}
	if got := f.ok("app", "explain", someUID, "-o", "json"); !strings.Contains(got, `"cause": "cpu"`) {
		t.Errorf("JSON = %s", got)
	}
	f.on("GET /application/"+someUID+"/explain", `{"application_UID":"`+someUID+`","description":"Requested by user u","never":false,"nodes":[],`+
		`"since":"2026-11-22T11:59:00Z","status":"DEALLOCATE","text":"It is being released",`+
		`"trouble":{"again_at":"2026-11-22T12:01:00Z","at":"2026-11-22T11:59:30Z","error":"volume is busy","what":"environment not released"}}`)
	if got := f.ok("app", "explain", someUID); !strings.Contains(got, "Failed  30s ago: environment not released: volume is busy\n") {
		t.Errorf("explain = %s", got)
	}
	f.fails(CodeNotFound, "there is no application "+otherUID, "app", "explain", otherUID)
}

func TestNodeDrivers(t *testing.T) {
	f := newFarm(t)
	f.on("GET /node/this/drivers", `[{"driver":"docker","in_use":{"cpu":0,"disk":0,"environments":0,"ram":0},"last_error":"no socket","name":"docker/dev",`+
		`"next_retry":"2026-11-22T12:01:10Z","retries":4,"since":"2026-11-22T11:55:00Z","state":"failed"},`+
		`{"driver":"native","in_use":{"cpu":3,"disk":15,"environments":2,"ram":5},"last_error":"",`+
		`"limits":{"cpu":8,"cpu_overbook":0,"disk":60,"ram":0,"ram_overbook":0,"remote":false},"name":"native","retries":0,"since":"2026-11-22T10:00:00Z","state":"ready"}]`)
	want := `NAME        STATE   SINCE  RUNNING  CPU     RAM  DISK          RETRY   LAST ERROR
docker/dev  failed  5m0s   0        0       0GB  0GB           in 70s  no socket
native      ready   120m   2        3 of 8  5GB  15GB of 60GB  -       -
`
	if got := f.ok("node", "drivers"); got != want {
		t.Errorf("drivers = %s\nwant %s", got, want)
	}
	if got := f.ok("node", "drivers", "-o", "name"); got != "docker/dev\nnative\n" {
		t.Errorf("names = %q", got)
	}
}
