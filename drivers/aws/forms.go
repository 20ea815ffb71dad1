package aws

import (
	"strings"
	"unicode/utf8"
)

// form reports whether a text is of a form. How much room there is for a label
// is asked at each election, and its options are read then: so these are no
// regular expressions, which would be compiled each time.
type form func(string) bool

const (
	lower    = "abcdefghijklmnopqrstuvwxyz"
	upper    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digit    = "0123456789"
	word     = lower + upper + digit + "_"
	hexDigit = digit + "abcdef"
)

// madeOf reports whether a text is not empty and has no other characters.
func madeOf(s, characters string) bool { return s != "" && strings.Trim(s, characters) == "" }

// isToken: so nothing leads out of the folder of intents.
func isToken(s string) bool { return len(s) == 32 && madeOf(s, hexDigit) }

// anyText is 1 to 255 characters without those that control something.
func anyText(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '\x7f' })
}

// isID is an id of EC2, such as ami-0123456789abcdef0.
func isID(s string) bool {
	kind, number, _ := strings.Cut(s, "-")
	return madeOf(kind, lower) && madeOf(number, hexDigit) && len(number) >= 8 && len(number) <= 17
}

// zoneName is one of an Availability Zone, such as eu-central-1a.
func zoneName(s string) bool {
	first, rest, found := strings.Cut(s, "-")
	if !found || !madeOf(first, lower) || len(first) < 2 || len(first) > 10 {
		return false
	}
	for part := range strings.SplitSeq(rest, "-") {
		if !madeOf(part, lower+digit) {
			return false
		}
	}
	return true
}

// typeName is one of an instance type, such as m5.large.
func typeName(s string) bool {
	family, size, _ := strings.Cut(s, ".")
	return madeOf(family, lower+digit+"-") && madeOf(size, lower+digit+"-")
}

// imageName leaves 28 of the 128 characters for what makes names differ.
func imageName(s string) bool { return len(s) >= 3 && len(s) <= 100 && madeOf(s, word+"()[] ./'@-") }

func keyName(s string) bool     { return madeOf(s, word+":/-") }
func profileName(s string) bool { return madeOf(s, word+"+=,.@:/-") }

// poolName may be part of the name of a shared thing.
func poolName(s string) bool { return madeOf(s, word+".-") }

// groupName is what EC2 takes as the name of a security group.
func groupName(s string) bool { return len(s) <= 255 && madeOf(s, word+" .:/()#,@+=&;{}!$*[]-") }
