package needs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// venvVariable names a virtual environment of Python with what tests need of it.
const venvVariable = "AQUARIUM_TEST_VENV"

// Python ends the test unless there is a Python that has a module, such as
// "moto.server", and returns its interpreter. It is looked for in the virtual
// environment that AQUARIUM_TEST_VENV names, then in the one that
// `./build.sh python` makes, then in the PATH.
func Python(t testing.TB, module string) string {
	t.Helper()
	for _, python := range pythons() {
		if has(python, module) {
			return python
		}
	}
	Lacking(t, "needs Python with the module", module, "(./build.sh python installs it)")
	return ""
}

func pythons() []string {
	var list []string
	if venv := os.Getenv(venvVariable); venv != "" {
		list = append(list, inVenv(venv))
	}
	cache := os.Getenv("XDG_CACHE_HOME") // as build.sh has it, on every platform
	if home, err := os.UserHomeDir(); cache == "" && err == nil {
		cache = filepath.Join(home, ".cache")
	}
	if cache != "" {
		list = append(list, inVenv(filepath.Join(cache, "aquarium-fish", "python")))
	}
	return append(list, "python3", "python")
}

func inVenv(venv string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(venv, "Scripts", "python.exe")
	}
	return filepath.Join(venv, "bin", "python3")
}

// has reports whether a Python is there and finds the module, without running it.
func has(python, module string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const find = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
	return exec.CommandContext(ctx, python, "-c", find, module).Run() == nil
}
