package engine

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// run makes a container that does what the guest's script says, and waits for
// its end unless it goes on.
func (b *bench) run(image, script string, binds []string, wait bool) string {
	b.t.Helper()
	body, _ := json.Marshal(map[string]any{
		"Image": image, "Env": []string{"GUEST=" + script, "TOKEN=hush-hush"},
		"Labels":     map[string]string{"aquarium.fish.token": "0123"},
		"HostConfig": map[string]any{"Binds": binds, "NetworkMode": "none"},
	})
	id := dockerd.Must[struct{ ID string }](b.engine, http.MethodPost, "/containers/create", body).ID
	dockerd.Must[any](b.engine, http.MethodPost, "/containers/"+id+"/start", nil)
	if wait {
		dockerd.Must[any](b.engine, http.MethodPost, "/containers/"+id+"/wait", nil)
	}
	return id
}

func (b *bench) task(name, options, container string) TaskRequest {
	return TaskRequest{
		UID: uuid.New(), Task: name, When: model.StatusAllocated, Options: json.RawMessage(options), Container: container,
		Images: []images.Image{{Name: "reg.example.com:5000/team/guest", Version: "1"}},
	}
}

func (b *bench) tasks() (files []string) {
	b.t.Helper()
	err := filepath.WalkDir(b.opts.TasksPath, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return files
}

func (b *bench) noTaskImages() {
	b.t.Helper()
	for _, name := range b.engine.Images() {
		if strings.HasPrefix(name, tasksRepo) || strings.Contains(name, "<none>") || strings.HasPrefix(name, "sha256:") {
			b.t.Errorf("left in the engine: %s", name)
		}
	}
}

// What the task makes is what a label can name.
func TestImageTaskMakesALabelsImage(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.options.TasksPath = filepath.Join(b.archives, "my tasks")
	b.reopen()
	container := b.run("guest:1", "write /made by the build; wait", nil, false)
	eventually(t, "the guest wrote", func() bool {
		status, _, err := b.engine.Call(http.MethodHead, "/containers/"+container+"/archive?path=/made", nil)
		return err == nil && status == http.StatusOK
	})
	req := b.task("image", `{}`, container)
	raw, err := b.RunTask(b.ctx(), req)
	if err != nil {
		t.Fatal(err)
	}
	var got imageResult
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(b.options.TasksPath, req.UID.String(), filepath.Base(got.Images[0]))
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	uid := req.UID.String()
	if got.Sum != fmt.Sprintf("sha256:%x", sha256.Sum256(archive)) || got.Size != int64(len(archive)) || got.When != model.StatusAllocated ||
		filepath.Base(file) != "guest-"+uid[len(uid)-12:]+".tar.zst" {
		t.Errorf("result = %s", raw)
	}
	if files := b.tasks(); len(files) != 2 {
		t.Errorf("files = %v, want archive and result", files)
	}
	b.noTaskImages()

	again, err := b.RunTask(b.ctx(), req)
	if err != nil || string(again) != string(raw) {
		t.Errorf("the same task again: %s, %v", again, err)
	}
	dockerd.Must[any](b.engine, http.MethodDelete, "/containers/"+container+"?force=1", nil)

	id := b.ensure(images.Image{URL: got.Images[0], Sum: got.Sum})
	read := b.run(id, "read /made; exit 0", nil, true)
	if text := b.engine.Logs(read); !strings.Contains(text, "by the build") {
		t.Errorf("a container of the made image read %q", text)
	}
	// The engine notes in an image of what container it was made, too.
	if _, all, err := b.engine.Call(http.MethodGet, "/images/"+id+"/json", nil); err != nil || strings.Contains(string(all), "hush") {
		t.Errorf("the made image tells the container's variables: %s, %v", all, err)
	}
	made, _, err := b.inspectImage(b.ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	if env := strings.Join(made.Config.Env, " "); strings.Contains(env, "hush") || !slices.Contains(made.Config.Env, "PATH=/") {
		t.Errorf("environment of the made image: %s", env)
	}
	if made.Config.Labels["aquarium.fish.token"] != "" {
		t.Errorf("labels of the made image: %v", made.Config.Labels)
	}
}

func TestSnapshotFillsADisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	disk, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(disk, "data"), []byte("kept"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(disk, "data"), 1234, 5678); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("data", filepath.Join(disk, "link")); err != nil {
		t.Fatal(err)
	}
	container := b.run("guest:1", "wait", []string{disk + ":/mnt/data"}, false)
	req := b.task("snapshot", `{"full":true}`, container)
	req.Disks = map[string]string{"my data": "/mnt/data"}
	raw, err := b.RunTask(b.ctx(), req)
	if err != nil {
		t.Fatal(err)
	}
	clone, full := req.UID.String()+"/my data", snapshotsRepo+":"+req.UID.String()
	if want := fmt.Sprintf(`{"snapshots":[%q,%q],"when":"ALLOCATED"}`, clone, full); string(raw) != want {
		t.Errorf("result = %s, want %s", raw, want)
	}
	if err := b.CheckClone(clone); err != nil {
		t.Error(err)
	}
	body, _ := json.Marshal(map[string]any{"Image": "guest:1", "HostConfig": map[string]any{"Binds": []string{other + ":/mnt/x"}, "ReadonlyRootfs": true}})
	taker := dockerd.Must[struct{ ID string }](b.engine, http.MethodPost, "/containers/create", body).ID
	if err := b.FillDisk(b.ctx(), clone, taker, "/mnt/x"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(other, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 1234 || owner.Gid != 5678 || info.Mode() != 0o640 {
		t.Errorf("the file is of %d:%d, mode %v", owner.Uid, owner.Gid, info.Mode())
	}
	if text, err := os.ReadFile(filepath.Join(other, "link")); err != nil || string(text) != "kept" {
		t.Errorf("through the link: %q, %v", text, err)
	}
	if _, all, err := b.engine.Call(http.MethodGet, "/images/"+full+"/json", nil); err != nil || strings.Contains(string(all), "hush") {
		t.Errorf("the image of the file system tells the container's variables: %s, %v", all, err)
	}
	b.noTaskImages()
	if files := b.tasks(); len(files) != 2 {
		t.Errorf("files = %v, want the disk and the result", files)
	}
	// The file system is an image that labels can name, here and nowhere else.
	if id := b.ensure(images.Image{Name: snapshotsRepo, Version: req.UID.String()}); id != b.idOf(full) {
		t.Errorf("ID = %s", id)
	}
	if s := b.list()[full]; s.State != drivers.ImageReady {
		t.Errorf("list = %v", b.list())
	}
	dockerd.Must[any](b.engine, http.MethodDelete, "/containers/"+container+"?force=1", nil)
	if err := b.Remove(b.ctx(), full); err != nil {
		t.Error(err)
	}
}

func TestClones(t *testing.T) {
	i := quiet(t, nil)
	uid := uuid.NewString()
	for _, bad := range []string{"", "/", uid, uid + "/", "../x/y", "x/y", strings.ToUpper(uid) + "/a", "{" + uid + "}/a"} {
		if err := i.CheckClone(bad); err == nil {
			t.Errorf("CheckClone(%q) = nil", bad)
		}
	}
	// Whatever a disk is called, its file stays in the task's folder.
	file, err := i.cloneFile(uid + "/../../etc/passwd")
	if err != nil || filepath.Dir(file) != filepath.Join(i.opts.TasksPath, uid) {
		t.Errorf("file = %s, %v", file, err)
	}
	if err := i.FillDisk(t.Context(), uid+"/a", "c", "/mnt"); err == nil || !strings.Contains(err.Error(), "no such snapshot") {
		t.Errorf("FillDisk = %v", err)
	}
}

func TestTasksThatCanNotBe(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	container := b.container("guest:1")
	for _, tt := range []struct {
		name, task, options, container string
		want                           string // the result; "" is ErrTaskUnknown
	}{
		{"no such task", "dance", `{}`, container, ""},
		{"options of a wrong type", "image", `{"full":"yes"}`, container, ""},
		{"options are a list", "snapshot", `[]`, container, ""},
		{"no disks", "snapshot", `{}`, container, `set the option full`},
		{"a name that leads out", "image", `{"name":"../x"}`, container, `options name and version`},
		{"container is gone", "image", `{}`, strings.Repeat("0", 64), `the container is gone`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := b.RunTask(b.ctx(), b.task(tt.task, tt.options, tt.container))
			if tt.want == "" {
				if !errors.Is(err, drivers.ErrTaskUnknown) {
					t.Errorf("error = %v, want ErrTaskUnknown", err)
				}
				return
			}
			if err != nil || !strings.HasPrefix(string(got), `{"error":`) || !strings.Contains(string(got), tt.want) {
				t.Errorf("result = %s, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
	if files := b.tasks(); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
	b.noTaskImages()
}

// What is there after a kill at each point of the task `image`.
func TestImageTaskAfterAKill(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	container := b.container("guest:1")
	for _, tt := range []struct {
		name string
		left func(req TaskRequest, folder string)
	}{
		{"after the commit", func(req TaskRequest, _ string) {
			if err := b.commit(b.ctx(), task{TaskRequest: req}, taskImage(req.UID)); err != nil {
				t.Fatal(err)
			}
		}},
		{"in the save", func(_ TaskRequest, folder string) {
			os.WriteFile(filepath.Join(folder, "guest.tar"+halfSuffix), []byte("half"), 0o600)
		}},
		{"before the archive has its name", func(_ TaskRequest, folder string) {
			os.WriteFile(filepath.Join(folder, "archive"+halfSuffix), []byte("whole, who knows"), 0o600)
		}},
		{"before the result", func(_ TaskRequest, folder string) {
			os.WriteFile(filepath.Join(folder, "guest-7.tar.zst"), []byte("whole, who knows"), 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := b.task("image", `{"version":"7"}`, container)
			folder := filepath.Join(b.opts.TasksPath, req.UID.String())
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			tt.left(req, folder)
			raw, err := b.RunTask(b.ctx(), req)
			if err != nil || !strings.Contains(string(raw), "guest-7.tar.zst") {
				t.Fatalf("result = %s, %v", raw, err)
			}
			if files := b.tasks(); !slices.Equal(files, []string{"guest-7.tar.zst", resultFile}) {
				t.Errorf("files = %v", files)
			}
			b.noTaskImages()
			os.RemoveAll(folder)
		})
	}
}

func TestFullDiskLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	disk := t.TempDir()
	container := b.run("guest:1", "wait", []string{disk + ":/mnt/data"}, false)
	b.free = func(string) (int64, error) { return minFree, nil }
	image, snapshot := b.task("image", `{}`, container), b.task("snapshot", `{}`, container)
	snapshot.Disks = map[string]string{"data": "/mnt/data"}
	for _, req := range []TaskRequest{image, snapshot} {
		if _, err := b.RunTask(b.ctx(), req); err == nil || !strings.Contains(err.Error(), "is full") {
			t.Errorf("%s: error = %v", req.Task, err)
		}
	}
	if files := b.tasks(); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
	b.free = freeBytes
	for _, req := range []TaskRequest{image, snapshot} {
		if _, err := b.RunTask(b.ctx(), req); err != nil {
			t.Errorf("%s with room again: %v", req.Task, err)
		}
	}
	b.noTaskImages()
}

func TestAbandonedTasksAreSwept(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	old := time.Now().Add(-2 * abandoned)
	folder := func(name, file string, at time.Time) string {
		dir := filepath.Join(b.opts.TasksPath, name)
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, []byte("{}"), 0o600), os.Chtimes(path, at, at), os.Chtimes(dir, at, at)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	gone := folder(uuid.NewString(), "guest.tar"+halfSuffix, old)
	kept := []string{
		folder(uuid.NewString(), resultFile, old),
		folder(uuid.NewString(), "guest.tar"+halfSuffix, time.Now()),
		folder("somebody's", "guest.tar"+halfSuffix, old),
	}
	stale := image("stale", "1", "stale") // as old as images of tests are: years
	b.engine.Load(stale)
	if _, err := b.engine.Docker("tag", "stale:1", taskImage(uuid.New())); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RunTask(b.ctx(), b.task("snapshot", `{}`, b.container("guest:1"))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Error("an abandoned folder is still there")
	}
	for _, dir := range kept {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	b.noTaskImages()
}
