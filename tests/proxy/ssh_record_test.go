//go:build linux

package proxy

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// played is what a recording shows, and the sizes that the terminal had.
func played(t *testing.T, file string) (shown string, sizes []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	var header struct {
		Version, Width, Height int
		Env                    map[string]string
	}
	if err := json.Unmarshal([]byte(lines[0]), &header); err != nil || header.Version != 2 || header.Width != 80 || header.Height != 24 || header.Env["TERM"] != "xterm" {
		t.Errorf("header %s: %v", lines[0], err)
	}
	for _, line := range lines[1:] {
		var event []any
		if err := json.Unmarshal([]byte(line), &event); err != nil || len(event) != 3 {
			t.Fatalf("event %q: %v", line, err)
		}
		switch event[1] {
		case "o":
			shown += event[2].(string)
		case "r":
			sizes = append(sizes, event[2].(string))
		default:
			t.Errorf("event %s", line)
		}
	}
	return shown, sizes
}

// TestSSHRecording: where a label asks for it, what terminals show is kept, and nothing that is only typed; the audit
// says who came in and where the recording is.
func TestSSHRecording(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, nil)
	node := fish.Start(t, fish.Options{})
	label := strings.Replace(sshLabel(t, "recorded", env.byKey()), `{"name"`, `{"metadata":{"AQUARIUM_FISH_SSH_RECORD":true},"name"`, 1)
	app := node.CreateApplication(node.CreateLabel(label), `{}`)
	node.WaitStatus(app, "ALLOCATED")

	term := openTerminal(t, 24, 80)
	cmd := command(t, accessTo(node.Client, app).byKey(t), []string{"EscapeChar none"}, "ssh", "-t", "env",
		"stty -echo; echo password:; read -r p; stty echo; echo thanks; read -r q; stty size; printf 'm\\303\\274'")
	term.start(t, cmd)
	term.wait(t, "password:\r\n")
	term.say(t, "a secret\r", "thanks\r\n")
	term.resize(t, 50, 132)
	term.say(t, "\r", "50 132\r\n")
	if code := exitCode(t, cmd.Wait()); code != 0 {
		t.Errorf("exit code %d", code)
	}
	folder := filepath.Join(node.Dir, "fish_data", "ssh_recordings")
	var files []string
	fish.Eventually(t, "the audit tells the recording and the end of the session", func() bool {
		text := string(node.Request("GET", "/api/v1/audit/?action=ssh", nil).Body)
		files, _ = filepath.Glob(filepath.Join(folder, "*.cast")) // the pattern is good
		return len(files) == 1 && strings.Contains(text, filepath.Base(files[0])) && strings.Contains(text, `"ssh.open"`) && strings.Contains(text, `"ssh.close"`)
	})
	shown, sizes := played(t, files[0])
	if want := "password:\r\nthanks\r\n\r\n50 132\r\nmü"; shown != want {
		t.Errorf("the recording shows %q, want %q", shown, want)
	}
	if len(sizes) != 1 || sizes[0] != "132x50" {
		t.Errorf("sizes %v, want 132x50", sizes)
	}
	for path, want := range map[string]fs.FileMode{folder: 0o700, files[0]: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s: %v, want %v", path, info.Mode().Perm(), want)
		}
	}
	if got := enter(t, accessTo(node.Client, app).byKey(t)); got != in { // no terminal, no recording
		t.Errorf("a command: %+v", got)
	}
	if files, _ = filepath.Glob(filepath.Join(folder, "*")); len(files) != 1 {
		t.Errorf("recordings: %v, want one", files)
	}
}

// TestSSHRecordingIsWritten: what a terminal showed is in its file soon, also if it shows nothing any more, and stays there
// when the node is killed.
func TestSSHRecordingIsWritten(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, nil)
	node := fish.Start(t, fish.Options{})
	label := strings.Replace(sshLabel(t, "recorded", env.byKey()), `{"name"`, `{"metadata":{"AQUARIUM_FISH_SSH_RECORD":true},"name"`, 1)
	app := node.CreateApplication(node.CreateLabel(label), `{}`)
	node.WaitStatus(app, "ALLOCATED")
	term := openTerminal(t, 24, 80)
	term.start(t, command(t, accessTo(node.Client, app).byKey(t), nil, "ssh", "-t", "env", "echo shown; exec sleep 1000"))
	term.wait(t, "shown\r\n")
	files, err := filepath.Glob(filepath.Join(node.Dir, "fish_data", "ssh_recordings", "*.cast"))
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings %q, %v, want one", files, err)
	}
	fish.Eventually(t, "the file has it", func() bool {
		text, err := os.ReadFile(files[0])
		return err == nil && strings.Contains(string(text), "shown")
	})
	node.Kill()
	if shown, _ := played(t, files[0]); shown != "shown\r\n" {
		t.Errorf("the recording shows %q after the node was killed", shown)
	}
}
