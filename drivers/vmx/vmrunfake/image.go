//go:build unix

package vmrunfake

import (
	"fmt"
	"os"
	"path/filepath"
)

// imageDiskSectors make a disk of 8 GB, of which no byte is there.
const imageDiskSectors = 8 << 30 / sectorBytes

// WriteImage makes a virtual machine as an image has it: DIR/NAME.vmx that is
// off, with one disk and a snapshot named "original".
func WriteImage(dir, name string) (vmx string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	vmx = filepath.Join(dir, name+".vmx")
	config := ParseDictionary(fmt.Sprintf(`.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = %q
guestOS = "ubuntu-64"
numvcpus = "1"
memsize = "1024"
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "%s.vmdk"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.connectionType = "nat"
ethernet0.addressType = "generated"
ethernet0.generatedAddress = "00:0c:29:aa:bb:cc"
sata0.present = "TRUE"
sata0:1.present = "TRUE"
sata0:1.deviceType = "cdrom-raw"
sata0:1.fileName = "auto detect"
uuid.bios = "56 4d 00 00 00 00 00 00-00 00 00 00 00 00 00 01"
`, name, name))
	if err := writeDisk(filepath.Join(dir, name+".vmdk"), imageDiskSectors, "lsilogic", ""); err != nil {
		return "", err
	}
	return vmx, takeSnapshot(vmx, config, "original", false)
}
