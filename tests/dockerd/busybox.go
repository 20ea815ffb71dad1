//go:build linux

package dockerd

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// Busybox makes an image of a shell with its small tools, and of scripts by
// their paths without the first slash, for what names an image that no test can
// pull. ref is its name and tag. The guest is in it too.
func (e *Engine) Busybox(ref string, scripts map[string]string) {
	e.t.Helper()
	program, err := exec.LookPath("busybox")
	if err != nil {
		needs.Lacking(e.t, "needs busybox, linked statically")
	}
	box, err := os.ReadFile(program)
	e.must(err)
	binary, err := elf.NewFile(bytes.NewReader(box))
	e.must(err)
	if slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		needs.Lacking(e.t, "needs a busybox that is linked statically, and", program, "is not")
	}
	guest, err := guestProgram()
	e.must(err)
	files := map[string][]byte{"bin/busybox": box, "guest": guest, "tmp/": nil, "etc/passwd": []byte("root:x:0:0::/:/bin/sh\n")}
	for name, text := range scripts {
		files[name] = []byte(text)
	}
	tools := []string{"bin/sh", "bin/sleep", "bin/grep", "bin/env"}
	for _, tool := range tools {
		files[tool] = []byte("busybox")
	}
	layer, err := tarOf(files, tools...)
	e.must(err)
	repo, tag, _ := strings.Cut(ref, ":")
	status, answer, err := e.Call("POST", "/images/create?fromSrc=-&repo="+repo+"&tag="+tag, layer)
	if err != nil || status != 200 || strings.Contains(string(answer), `"error"`) {
		e.t.Fatalf("import image %s: %d %s %v", ref, status, answer, err)
	}
}
