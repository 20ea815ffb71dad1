package price_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

func TestHourly(t *testing.T) {
	own, err := price.New(map[string]float64{"mac-m4max.metal": 3.5, "c6i.large": 0.09, "t3.micro": 0})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		table price.Table
		of    string
		want  float64
		known bool
	}{
		{"by its family's size", price.Table{}, "c6i.large", 0.085, true},
		{"a bigger size", price.Table{}, "m5.24xlarge", 4.608, true},
		{"a smaller size", price.Table{}, "t3.nano", 0.0052, true},
		{"a whole name", price.Table{}, "g5.4xlarge", 1.624, true},
		{"a Mac of a name with a dash", price.Table{}, "mac-m4.metal", 1.23, true},
		{"metal costs not alike in each family", price.Table{}, "c6i.metal", 0, false},
		{"a family that is not there", price.Table{}, "u7i-12tb.224xlarge", 0, false},
		{"no name at all", price.Table{}, "", 0, false},
		{"a family without a size", price.Table{}, "c6i", 0, false},
		{"the configuration goes first", own, "c6i.large", 0.09, true},
		{"the configuration adds", own, "mac-m4max.metal", 3.5, true},
		{"0 is a price", own, "t3.micro", 0, true},
		{"the rest stays", own, "c6i.xlarge", 0.17, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, known := test.table.Hourly(test.of)
			if math.Abs(got-test.want) > 1e-9 || known != test.known {
				t.Errorf("Hourly(%q) = %v, %v, want %v, %v", test.of, got, known, test.want, test.known)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, own := range map[string]map[string]float64{
		"no type":  {"c6i": 1},
		"negative": {"c6i.large": -1},
		"NaN":      {"c6i.large": math.NaN()},
		"infinite": {"c6i.large": math.Inf(1)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := price.New(own); err == nil || !strings.Contains(err.Error(), "c6i") {
				t.Errorf("New(%v) = %v, want an error that names the type", own, err)
			}
		})
	}
}

func TestTableKeepsItsPrices(t *testing.T) {
	own := map[string]float64{"c6i.large": 1}
	table, err := price.New(own)
	if err != nil {
		t.Fatal(err)
	}
	own["c6i.large"] = 2
	if got, _ := table.Hourly("c6i.large"); got != 1 {
		t.Errorf("the price is %v after its source changed, want 1", got)
	}
}

func TestCost(t *testing.T) {
	var table price.Table
	since := time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		of    string
		now   time.Time
		want  float64
		known bool
	}{
		{"a day of a Mac", "mac2.metal", since.Add(24 * time.Hour), 15.6, true},
		{"to the second", "m5.large", since.Add(time.Second), 0.096 / 3600, true},
		{"before it began", "m5.large", since.Add(-time.Hour), 0, true},
		{"unknown", "x9.large", since.Add(time.Hour), 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, known := table.Cost(test.of, since, test.now)
			if math.Abs(got-test.want) > 1e-9 || known != test.known {
				t.Errorf("Cost = %v, %v, want %v, %v", got, known, test.want, test.known)
			}
		})
	}
}
