package fakeec2

// defaultPrices are USD per hour on demand, as they were listed for some region
// at some time: they are for adding up, not for planning.
func defaultPrices() map[string]float64 {
	return map[string]float64{
		"t3.micro": 0.0104, "t3.medium": 0.0416, "t3.large": 0.0832, "t4g.small": 0.0168,
		"m5.large": 0.096, "m5.xlarge": 0.192, "m5.4xlarge": 0.768, "m5.metal": 4.608, "m6g.large": 0.077,
		"c5.large": 0.085, "c5.xlarge": 0.17, "r5.24xlarge": 6.048, "im4gn.large": 0.182,
		"g4dn.xlarge": 0.526, "gr6.4xlarge": 1.54, "p3.2xlarge": 3.06, "p5.48xlarge": 55.04,
		"x1e.xlarge": 0.834, "f1.2xlarge": 1.65, "inf1.xlarge": 0.228, "trn1.2xlarge": 1.34, "dl1.24xlarge": 13.11,
		"hpc6a.48xlarge": 2.88, "u7i-12tb.224xlarge": 113.568,
		"mac1.metal": 1.083, "mac2.metal": 0.65, "mac2-m1ultra.metal": 5, "mac2-m2.metal": 0.878, "mac2-m2pro.metal": 1.56,
		"mac-m4.metal": 1.23, "mac-m4pro.metal": 1.97, "mac-m4max.metal": 3.9, "mac-m3ultra.metal": 7.5,
	}
}

const (
	spotShare     = 0.35         // of the price on demand, if no other was set
	volumePrice   = 0.08 / 730.0 // per GB and hour
	snapshotPrice = 0.05 / 730.0 // per GB and hour, as if every block was written
)
