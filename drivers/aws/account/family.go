package account

import "strings"

// QuotaCode is the code of the quota that instances of a type count to, in
// vCPUs; on demand and spot are apart. false: nobody knows, which bounds
// nothing, as EC2 itself refuses what is too much.
//
// The codes are those of "Amazon EC2 quotas" in AWS's General Reference and of
// Service Quotas; the classes those in their names, such as "Running On-Demand
// Standard (A, C, D, H, I, M, R, T, Z) instances".
func QuotaCode(instanceType string, spot bool) (code string, known bool) {
	class := classOf(instanceType)
	if spot {
		code = spotCode(class)
	} else {
		code = onDemandCode(class)
	}
	return code, code != ""
}

// class is a group of families that share a quota.
type class int

const (
	noClass class = iota
	standard
	graphics // G and VT
	p2to4
	p5
	otherP
	memoryX
	fpga
	inferentia
	dl
	trainium
	hpc
	highMemory // U
)

func onDemandCode(c class) string {
	switch c {
	case standard:
		return "L-1216C47A"
	case graphics:
		return "L-DB2E81BA"
	case p2to4, p5, otherP:
		return "L-417A185B"
	case memoryX:
		return "L-7295265B"
	case fpga:
		return "L-74FC7D96"
	case inferentia:
		return "L-1945791B"
	case dl:
		return "L-6E869C2A"
	case trainium:
		return "L-2C3B7624"
	case hpc:
		return "L-F7808C92"
	case highMemory:
		return "L-43DA4232"
	}
	return ""
}

func spotCode(c class) string {
	switch c {
	case standard:
		return "L-34B43A08"
	case graphics:
		return "L-3819A6DF"
	case p2to4:
		return "L-7212CCBC"
	case p5:
		return "L-C4BD4855"
	case memoryX:
		return "L-E3A00192"
	case fpga:
		return "L-88CF9481"
	case inferentia:
		return "L-B5D1601B"
	case dl:
		return "L-85EED4F7"
	case trainium:
		return "L-6B0D517C"
	}
	return "" // HPC and U are not to be had as spot; later P have a quota that is not known here
}

// classOf reads the class off the letters that a type's name begins with:
// "im4gn.large" is an I, "u7i-12tb.224xlarge" a U, "dl2q.24xlarge" a DL. What
// follows the letters are the generation and what is special. "mac" has no
// class: it is counted in hosts (HostQuotaCode).
func classOf(instanceType string) class {
	family, _, ok := strings.Cut(instanceType, ".")
	if !ok {
		return noClass
	}
	letters, rest := leadingLetters(family)
	switch letters {
	case "a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z":
		return standard
	case "g", "gr", "vt":
		return graphics
	case "p":
		return classOfP(rest)
	case "x":
		return memoryX
	case "f":
		return fpga
	case "inf":
		return inferentia
	case "dl":
		return dl
	case "trn":
		return trainium
	case "hpc":
		return hpc
	case "u":
		return highMemory
	}
	return noClass
}

// classOfP tells by the generation: spot has a quota for 2 to 4 and one for 5.
func classOfP(generation string) class {
	switch {
	case strings.HasPrefix(generation, "2"), strings.HasPrefix(generation, "3"), strings.HasPrefix(generation, "4"):
		return p2to4
	case strings.HasPrefix(generation, "5"):
		return p5
	}
	return otherP
}

func leadingLetters(s string) (letters, rest string) {
	n := strings.IndexFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:]
}

// HostQuotaCode is the code of the quota that dedicated hosts of a type count
// to, in hosts; known for Macs only.
func HostQuotaCode(instanceType string) (code string, known bool) {
	family, _, _ := strings.Cut(instanceType, ".")
	switch family {
	case "mac1":
		code = "L-A8448DC5"
	case "mac2":
		code = "L-5D8DADF5"
	case "mac2-m1ultra":
		code = "L-AE4D744C"
	case "mac2-m2":
		code = "L-B90B5B66"
	case "mac2-m2pro":
		code = "L-14F120D1"
	case "mac-m4":
		code = "L-2CBA8B92"
	case "mac-m4pro":
		code = "L-6919FC30"
	case "mac-m4max":
		code = "L-D82CB68A"
	case "mac-m3ultra":
		code = "L-7108A7B5"
	}
	return code, code != ""
}
