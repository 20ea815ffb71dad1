// Package price says what instances and hosts of EC2 cost: by what the
// configuration says, and by a small table where it says nothing.
//
// The table is indicative: Linux on demand in us-east-1, in USD per hour, as
// they were in 2025; AWS changes the price of what there is already seldom.
// Other regions cost up to half more; Windows, disks, addresses and traffic come
// on top, contracts take off. Who wants to know, and not to guess, names prices
// in the configuration.
package price

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Table knows the prices of types. The zero value knows the built-in ones. It
// is not changed after it was made, and so may be shared.
type Table struct {
	own map[string]float64
}

// New is the table of which the given prices, in USD per hour by the name of
// the type, go before the built-in ones. 0 is a price.
func New(own map[string]float64) (Table, error) {
	for _, name := range slices.Sorted(maps.Keys(own)) {
		usd := own[name]
		if !strings.Contains(name, ".") {
			return Table{}, fmt.Errorf("%q is no instance type: such are c6i.large and mac2.metal", name)
		}
		if usd < 0 || math.IsNaN(usd) || math.IsInf(usd, 0) {
			return Table{}, fmt.Errorf("the price of %s is %v: give USD per hour, 0 or more", name, usd)
		}
	}
	return Table{own: maps.Clone(own)}, nil
}

// Hourly is what an instance of the type costs on demand, or what a dedicated
// host of a Mac type costs; false if nobody knows. A spot instance costs this at most,
// as nothing else is asked for (cloud.Launch).
func (t Table) Hourly(instanceType string) (usd float64, known bool) {
	if usd, known = t.own[instanceType]; known {
		return usd, true
	}
	return builtIn(instanceType)
}

// Cost is what a type that is paid for has cost from since to now; false if
// its price is not known. What ended before it began cost nothing.
func (t Table) Cost(instanceType string, since, now time.Time) (usd float64, known bool) {
	return t.CostOf(instanceType, now.Sub(since))
}

// CostOf is what a time costs. A host is not paid for while it is pending: who
// asks takes that time off.
func (t Table) CostOf(instanceType string, paid time.Duration) (usd float64, known bool) {
	usd, known = t.Hourly(instanceType)
	return usd * max(paid, 0).Hours(), known
}
