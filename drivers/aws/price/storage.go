package price

import "time"

// month is how AWS counts it for storage: hours of a year by 12.
const month = 730 * time.Hour

// Volume is what a volume of the type has cost by its size, at the list price
// of us-east-1 in 2025; false if its price is not known. What it is provisioned
// with beyond its size (IOPS, throughput) comes on top.
func Volume(kind string, sizeGB int, age time.Duration) (usd float64, known bool) {
	perMonth, known := of([]rate{
		{"gp2", 0.10}, {"gp3", 0.08}, {"io1", 0.125}, {"io2", 0.125}, {"st1", 0.045}, {"sc1", 0.015}, {"standard", 0.05},
	}, kind)
	return stored(perMonth, sizeGB, age), known
}

// Snapshot is what a snapshot has cost at most, at the same prices: only what
// differs from earlier ones of the volume is stored.
func Snapshot(sizeGB int, age time.Duration) (usd float64) {
	const perMonth = 0.05
	return stored(perMonth, sizeGB, age)
}

func stored(perMonth float64, sizeGB int, age time.Duration) float64 {
	return perMonth * float64(sizeGB) * max(age, 0).Hours() / month.Hours()
}
