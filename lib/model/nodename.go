package model

import (
	"errors"
	"regexp"
)

// CheckNodeName takes what can be a file name and stand in a certificate. The error is for the user.
func CheckNodeName(s string) error {
	if len(s) > 200 || s == "." || s == ".." || !regexp.MustCompile(`^[A-Za-z0-9!#$%&'()*+,.:;<=>?@\[\]^_{|}~-]+$`).MatchString(s) {
		return errors.New("want 1 to 200 letters, digits and signs of ASCII, no spaces, quotes or slashes, as it names files")
	}
	return nil
}
