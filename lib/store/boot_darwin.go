package store

import "golang.org/x/sys/unix"

// bootID names the present run of the system; "" if it can not be told.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
