package native

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// archived writes an image's archive, and returns a definition that runs it.
func archived(t *testing.T, folder, name string) model.LabelDefinition {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	body := "#!/bin/sh\necho it runs\n"
	err := w.WriteHeader(&tar.Header{Name: name + "-1/init.sh", Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write([]byte(body))
	}
	path := filepath.Join(folder, name+"-1.tar")
	err = errors.Join(err, w.Close(), os.MkdirAll(folder, 0o755), os.WriteFile(path, b.Bytes(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return definition(fmt.Sprintf(`{"images":[{"url":"file://%s"}]}`, path))
}

// TestImages: what an admin sees of the images is what environments are made
// from, and an image is no longer in use when it is copied.
func TestImages(t *testing.T) {
	s := newSite(t, process)
	roots := filepath.Join(s.dir, "archives")
	s.cfg += "images_max_size: 1MB\nimages_file_roots: [" + roots + "]\n"
	d := s.start(t)
	var m drivers.ImageManager = d
	a, b := archived(t, roots, "a"), archived(t, roots, "b")
	if m.Cached(a) {
		t.Error("Cached is true of what is not there")
	}
	if err := m.PullImages(t.Context(), a); err != nil || !m.Cached(a) {
		t.Errorf("PullImages = %v", err)
	}
	began := time.Now().Add(-time.Second)
	req, name := mustAllocate(t, d, b)
	if got := finish(t, d, req, name); got != "it runs\n" {
		t.Errorf("the environment prints %q", got)
	}
	list, err := m.ListImages(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "a-1" || list[1].ID != "b-1" || !list[0].UsedAt.IsZero() ||
		list[1].UsedAt.Before(began) || list[1].InUse {
		t.Errorf("ListImages = %+v, %v", list, err)
	}
	if err := m.RemoveImage(t.Context(), "b-1"); err != nil || m.Cached(b) {
		t.Errorf("RemoveImage = %v", err)
	}
	if err := m.RemoveImage(t.Context(), "b-1"); !errors.Is(err, drivers.ErrImageUnknown) {
		t.Errorf("RemoveImage of nothing = %v", err)
	}
	if err := m.PullImages(t.Context(), definition(`[]`)); err == nil {
		t.Error("PullImages of what can not be read = nil")
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
}

// TestRoomForDownloads: what a download will take is not promised to disks.
func TestRoomForDownloads(t *testing.T) {
	const gb = 1 << 30
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(2*gb))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close) // after the driver, which holds a connection
	d := newSite(t, process).start(t)
	before, err := d.DiskRoom()
	if err != nil {
		t.Fatal(err)
	}
	if before.Free < 10 {
		t.Skip("needs 10 GB free")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pulled := make(chan error)
	go func() { pulled <- d.PullImages(ctx, definition(`{"images":[{"url":"`+srv.URL+`/a-1.tar"}]}`)) }()
	waitFor(t, "reservation", func() bool { // 2 GB to come and to unpack
		after, err := d.DiskRoom()
		return err == nil && before.Free >= after.Free+3 && before.Free <= after.Free+8
	})
	cancel()
	if err := <-pulled; !errors.Is(err, context.Canceled) {
		t.Errorf("PullImages = %v", err)
	}
	if d.images.Reserved() == 0 {
		t.Error("the download ended with who waited")
	}
}
