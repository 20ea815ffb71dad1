package needs

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPython(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the Python of this test is a shell script")
	}
	venv := t.TempDir()
	t.Setenv(venvVariable, venv)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	t.Setenv(allVariable, "")
	check := func(t testing.TB) { Python(t, "moto.server") }
	if got := ending(check); !strings.HasPrefix(got, "SKIP: needs Python with the module moto.server") {
		t.Errorf("without a Python it ended with %q", got)
	}
	script := filepath.Join(venv, "bin", "python3")
	if err := os.MkdirAll(filepath.Dir(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$3\" = moto.server ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Python(t, "moto.server"); got != script {
		t.Errorf("Python() = %q, want %q", got, script)
	}
	if got := ending(func(t testing.TB) { Python(t, "other") }); got == "" {
		t.Error("a module that is not there was found")
	}
}
