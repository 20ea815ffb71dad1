// Package vmrunfake is what the driver vmx is tested on where no VMware runs:
// VMware's `vmrun`, its `vmware-vdiskmanager` and the process that is a running
// virtual machine, `vmware-vmx`. It is not part of the product.
//
// A virtual machine here is what it is on a real host as far as a driver can
// see: files in a folder, and a process of its own that outlives whoever
// started it, holds locks, writes vmware.log and gets an address from a DHCP
// server whose leases are in a file. There is no guest behind it.
//
// The command line takes what the driver needs and nothing else: a call that
// the real vmrun would understand and this one does not is a call nobody tried.
// DESIGN.md says for each behaviour whether it is documented, was reported by
// somebody who ran the real thing, or is a guess.
//
// Failures happen to order: see Order.
package vmrunfake
