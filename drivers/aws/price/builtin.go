package price

import "strings"

// builtIn looks a type up among whole names, and then among families.
func builtIn(instanceType string) (usd float64, known bool) {
	if usd = whole(instanceType); usd > 0 {
		return usd, true
	}
	family, size, _ := strings.Cut(instanceType, ".")
	usd = large(family) * larges(size)
	return usd, usd > 0
}

// whole are types whose price does not follow from their size. Those of Macs
// are those of the hosts.
func whole(instanceType string) float64 {
	switch instanceType {
	case "mac1.metal":
		return 1.083
	case "mac2.metal":
		return 0.65
	case "mac2-m2.metal":
		return 0.878
	case "mac2-m2pro.metal":
		return 1.56
	case "mac2-m1ultra.metal":
		return 5.00
	case "mac-m4.metal":
		return 1.23
	case "mac-m4pro.metal":
		return 1.97
	case "g4dn.xlarge":
		return 0.526
	case "g4dn.2xlarge":
		return 0.752
	case "g4dn.4xlarge":
		return 1.204
	case "g4dn.8xlarge":
		return 2.176
	case "g5.xlarge":
		return 1.006
	case "g5.2xlarge":
		return 1.212
	case "g5.4xlarge":
		return 1.624
	case "g5.8xlarge":
		return 2.448
	}
	return 0
}

// large is the price of the size "large" of families that cost by their size.
func large(family string) float64 {
	switch family {
	case "t2":
		return 0.0928
	case "t3":
		return 0.0832
	case "t3a":
		return 0.0752
	case "t4g":
		return 0.0672
	case "m5", "m6i":
		return 0.096
	case "m5a", "m6a":
		return 0.0864
	case "m5d":
		return 0.113
	case "m6g":
		return 0.077
	case "m7g":
		return 0.0816
	case "m7i":
		return 0.1008
	case "m7a":
		return 0.11592
	case "c5", "c6i":
		return 0.085
	case "c5a":
		return 0.077
	case "c5d":
		return 0.096
	case "c6a":
		return 0.0765
	case "c6g":
		return 0.068
	case "c7g":
		return 0.0725
	case "c7i":
		return 0.08925
	case "c7a":
		return 0.10264
	case "r5", "r6i":
		return 0.126
	case "r5a", "r6a":
		return 0.1134
	case "r6g":
		return 0.1008
	case "r7g":
		return 0.1071
	case "r7i":
		return 0.1323
	case "i3":
		return 0.156
	}
	return 0
}

// larges is how many times a "large" a size is, 0 where that is not the same
// in every family.
func larges(size string) float64 {
	switch size {
	case "nano":
		return 1. / 16
	case "micro":
		return 1. / 8
	case "small":
		return 1. / 4
	case "medium":
		return 1. / 2
	case "large":
		return 1
	case "xlarge":
		return 2
	case "2xlarge":
		return 4
	case "3xlarge":
		return 6
	case "4xlarge":
		return 8
	case "6xlarge":
		return 12
	case "8xlarge":
		return 16
	case "9xlarge":
		return 18
	case "10xlarge":
		return 20
	case "12xlarge":
		return 24
	case "16xlarge":
		return 32
	case "18xlarge":
		return 36
	case "24xlarge":
		return 48
	case "32xlarge":
		return 64
	case "48xlarge":
		return 96
	}
	return 0
}
