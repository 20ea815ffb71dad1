package vmx

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
)

// Names of a disk's files.
const (
	diskFolder = "disk" // of all that it is made of: there once that is whole
	flatEnd    = "-flat.vmdk"
	// makingFolder in the environment's is where a disk is made, a reused one
	// too: so what a killed node leaves of it goes with the environment.
	makingFolder = "making-disk"
)

const (
	sector = 512
	// partitionStart is where the one partition of a formatted disk begins, in
	// sectors: at 1 MB, as every system does it.
	partitionStart = 2048
)

// makeDisk makes a disk, unless it is there: one rename gives it its name.
func (b build) makeDisk(ctx context.Context, k disk) error {
	if there, err := exists(k.path()); err != nil || there {
		return err
	}
	making := filepath.Join(b.folder(), makingFolder)
	if err := errors.Join(os.RemoveAll(making), os.MkdirAll(making, 0o700), os.MkdirAll(k.Store, 0o700)); err != nil {
		return err
	}
	var err error
	switch {
	case k.clone != "":
		err = b.copyDisk(k, making)
	case k.Type == volume.Raw:
		err = b.tool.CreateDisk(ctx, filepath.Join(making, k.file()), k.Size)
	default:
		err = b.formatDisk(ctx, k, making)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(making))
	}
	return os.Rename(making, filepath.Join(k.Store, diskFolder))
}

// formatDisk makes a disk of one partition with a file system in it: as a plain
// image, and the text that lets VMware take it for a disk.
func (b build) formatDisk(ctx context.Context, k disk, making string) error {
	part := k.Disk
	part.Store = filepath.Join(making, "partition")
	if err := b.volumes.MakeImage(ctx, part); err != nil {
		return err
	}
	flat := filepath.Join(making, strings.TrimSuffix(k.file(), ".vmdk")+flatEnd)
	var err error
	if runtime.GOOS == "darwin" {
		err = b.convertImage(ctx, b.volumes.Image(part), flat)
	} else {
		err = wrapPartition(ctx, b.volumes.Image(part), flat, k.Type)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(flat)
	if err != nil {
		return err
	}
	return errors.Join(
		os.RemoveAll(part.Store), os.WriteFile(filepath.Join(making, k.file()), descriptor(filepath.Base(flat), info.Size()/sector), 0o600))
}

// convertImage makes a plain image of what hdiutil made, which has a partition
// table already.
func (b build) convertImage(ctx context.Context, from, to string) error {
	hdiutil := b.settings.HdiutilPath
	if hdiutil == "" {
		hdiutil = "hdiutil"
	}
	if err := volume.Run(ctx, hdiutil, "convert", "-quiet", from, "-format", "UDTO", "-o", to); err != nil {
		return err
	}
	return os.Rename(to+".cdr", to) // it adds what it thinks is the extension
}

// wrapPartition makes the image of a disk that has one partition, the content of
// which is there. Holes stay holes.
func wrapPartition(ctx context.Context, partition, to, kind string) (err error) {
	from, err := os.Open(partition)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // read only
	info, err := from.Stat()
	if err != nil {
		return err
	}
	into, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	if err := into.Truncate(partitionStart*sector + info.Size()); err != nil {
		return err
	}
	table, err := partitionTable(kind, info.Size()/sector)
	if err != nil {
		return err
	}
	if _, err := into.WriteAt(table, 0); err != nil {
		return err
	}
	return copySparse(ctx, from, into, partitionStart*sector)
}

// partitionTable is the first sector of a disk with one partition (MBR).
func partitionTable(kind string, sectors int64) ([]byte, error) {
	kinds := map[string]byte{volume.ExFAT: 0x07, volume.FAT32: 0x0c, volume.Ext4: 0x83, volume.HFS: 0xaf}
	if sectors <= 0 || sectors > 1<<32-1-partitionStart {
		return nil, fmt.Errorf("a partition of %d sectors fits in no table", sectors)
	}
	table := make([]byte, sector)
	_, _ = rand.Read(table[440:444]) // Windows tells disks apart by it; never fails
	entry := table[446:462]
	copy(entry[1:4], []byte{0xfe, 0xff, 0xff}) // beyond what cylinders and heads can tell
	entry[4] = kinds[kind]
	copy(entry[5:8], []byte{0xfe, 0xff, 0xff})
	binary.LittleEndian.PutUint32(entry[8:], partitionStart)
	binary.LittleEndian.PutUint32(entry[12:], uint32(sectors)) //nolint:gosec // checked above
	table[510], table[511] = 0x55, 0xaa
	return table, nil
}

// descriptor is the text that makes a disk of a plain image.
func descriptor(flat string, sectors int64) []byte {
	const heads, perTrack = 255, 63
	id := make([]byte, 4)
	_, _ = rand.Read(id) // never fails
	id[0] &= 0x7f        // all ones mean that there is none
	return fmt.Appendf(nil, `# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=%x
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW %d FLAT "%s" 0

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.virtualHWVersion = "4"
`, id, sectors, flat, sectors/(heads*perTrack), heads, perTrack)
}

// copyDisk copies a disk out of the label's images, with all files that it is
// made of.
func (b build) copyDisk(k disk, making string) error {
	var from string
	for _, laid := range b.laid { // a later image hides what an earlier one has
		path := filepath.Join(b.imagePath(), filepath.Base(laid.Folder), filepath.FromSlash(k.clone))
		if there, err := exists(path); err != nil {
			return err
		} else if there {
			from = path
		}
	}
	if from == "" {
		return fmt.Errorf("clone %q: no image of the label has such a file", k.clone)
	}
	extents, err := extentsOf(from, k.file())
	if err != nil {
		return fmt.Errorf("clone %q: %w", k.clone, err)
	}
	for _, name := range extents {
		if err := copyFile(filepath.Join(filepath.Dir(from), name), filepath.Join(making, name)); err != nil {
			return fmt.Errorf("clone %q: %w", k.clone, err)
		}
	}
	return copyFile(from, filepath.Join(making, k.file()))
}

// extentsOf lists the files that a disk's text names; a disk that is one file
// names none. None may have the name that the disk itself is to have.
func extentsOf(path, not string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > smallFile {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "# Disk DescriptorFile") {
		return nil, err
	}
	if strings.Contains(string(text), parentHint) {
		return nil, errors.New("it builds on another disk; want one that stands alone")
	}
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^(?:RW|RDONLY) \d+ [A-Z]+ "([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		if m[1] != filepath.Base(m[1]) || m[1] == not || !fs.ValidPath(m[1]) {
			return nil, fmt.Errorf("it is made of %q; want files beside it, none of them %s", m[1], not)
		}
		list = append(list, m[1])
	}
	return list, nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = out.ReadFrom(in) // shares blocks where the file system can
	return err
}
