package price

import "strings"

// builtIn looks a type up among whole names, and then among families.
func builtIn(instanceType string) (usd float64, known bool) {
	if usd, known = of(whole(), instanceType); known {
		return usd, true
	}
	family, size, _ := strings.Cut(instanceType, ".")
	usd, known = of(large(), family)
	n, linear := of(larges(), size)
	return usd * n, known && linear
}

// rate is a number by a name.
type rate struct {
	name string
	is   float64
}

func of(rates []rate, name string) (float64, bool) {
	for _, r := range rates {
		if r.name == name {
			return r.is, true
		}
	}
	return 0, false
}

// whole are types whose price does not follow from their size. Those of Macs
// are those of the hosts.
func whole() []rate {
	return []rate{
		{"mac1.metal", 1.083}, {"mac2.metal", 0.65}, {"mac2-m2.metal", 0.878}, {"mac2-m2pro.metal", 1.56},
		{"mac2-m1ultra.metal", 5.00}, {"mac-m4.metal", 1.23}, {"mac-m4pro.metal", 1.97},
		{"g4dn.xlarge", 0.526}, {"g4dn.2xlarge", 0.752}, {"g4dn.4xlarge", 1.204}, {"g4dn.8xlarge", 2.176},
		{"g5.xlarge", 1.006}, {"g5.2xlarge", 1.212}, {"g5.4xlarge", 1.624}, {"g5.8xlarge", 2.448},
	}
}

// large is the price of the size "large" of families that cost by their size.
func large() []rate {
	return []rate{
		{"t2", 0.0928}, {"t3", 0.0832}, {"t3a", 0.0752}, {"t4g", 0.0672},
		{"m5", 0.096}, {"m5a", 0.086}, {"m5d", 0.113}, {"m6i", 0.096}, {"m6a", 0.0864}, {"m6g", 0.077},
		{"m7i", 0.1008}, {"m7a", 0.11592}, {"m7g", 0.0816},
		{"c5", 0.085}, {"c5a", 0.077}, {"c5d", 0.096}, {"c6i", 0.085}, {"c6a", 0.0765}, {"c6g", 0.068},
		{"c7i", 0.08925}, {"c7a", 0.10264}, {"c7g", 0.0725},
		{"r5", 0.126}, {"r5a", 0.113}, {"r6i", 0.126}, {"r6a", 0.1134}, {"r6g", 0.1008}, {"r7i", 0.1323}, {"r7g", 0.1071},
		{"i3", 0.156},
	}
}

// larges is how many times a "large" a size is. "metal" is not the same in
// every family.
func larges() []rate {
	return []rate{
		{"nano", 1. / 16}, {"micro", 1. / 8}, {"small", 1. / 4}, {"medium", 1. / 2}, {"large", 1}, {"xlarge", 2},
		{"2xlarge", 4}, {"3xlarge", 6}, {"4xlarge", 8}, {"6xlarge", 12}, {"8xlarge", 16}, {"9xlarge", 18}, {"10xlarge", 20},
		{"12xlarge", 24}, {"16xlarge", 32}, {"18xlarge", 36}, {"24xlarge", 48}, {"32xlarge", 64}, {"48xlarge", 96},
	}
}
