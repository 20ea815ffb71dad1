package account

import "testing"

// TestQuotaCode goes over families of every class, and over those whose names
// have misled others.
func TestQuotaCode(t *testing.T) {
	const (
		std, g, p, x     = "L-1216C47A", "L-DB2E81BA", "L-417A185B", "L-7295265B"
		f, inf, dl       = "L-74FC7D96", "L-1945791B", "L-6E869C2A"
		trn, hpc, u      = "L-2C3B7624", "L-F7808C92", "L-43DA4232"
		sStd, sG         = "L-34B43A08", "L-3819A6DF"
		sP4, sP5, sX, sF = "L-7212CCBC", "L-C4BD4855", "L-E3A00192", "L-88CF9481"
		sInf, sDL, sTrn  = "L-B5D1601B", "L-85EED4F7", "L-6B0D517C"
	)
	for _, test := range []struct{ name, onDemand, spot string }{
		{"a1.medium", std, sStd},
		{"c6gn.large", std, sStd},
		{"c7i-flex.large", std, sStd},
		{"d3en.xlarge", std, sStd},
		{"h1.2xlarge", std, sStd},
		{"i4i.metal", std, sStd},
		{"im4gn.large", std, sStd},
		{"is4gen.medium", std, sStd},
		{"i7ie.large", std, sStd},
		{"m8g.48xlarge", std, sStd},
		{"m5.metal", std, sStd},
		{"r6idn.32xlarge", std, sStd},
		{"t3.nano", std, sStd},
		{"z1d.large", std, sStd},
		{"g4dn.xlarge", g, sG},
		{"g6e.12xlarge", g, sG},
		{"gr6.4xlarge", g, sG},
		{"gr6f.4xlarge", g, sG},
		{"vt1.3xlarge", g, sG},
		{"p2.xlarge", p, sP4},
		{"p3dn.24xlarge", p, sP4},
		{"p4d.24xlarge", p, sP4},
		{"p5.48xlarge", p, sP5},
		{"p5en.48xlarge", p, sP5},
		{"p6-b200.48xlarge", p, ""},
		{"x1e.xlarge", x, sX},
		{"x2iedn.xlarge", x, sX},
		{"x8g.medium", x, sX},
		{"f2.6xlarge", f, sF},
		{"inf2.xlarge", inf, sInf},
		{"dl1.24xlarge", dl, sDL},
		{"dl2q.24xlarge", dl, sDL},
		{"trn1n.32xlarge", trn, sTrn},
		{"trn2u.48xlarge", trn, sTrn},
		{"hpc7g.16xlarge", hpc, ""},
		{"u-6tb1.metal", u, ""},
		{"u7i-12tb.224xlarge", u, ""},
		{"u7in-16tb.224xlarge", u, ""},
		{"mac1.metal", "", ""},
		{"mac-m4.metal", "", ""},
		{"mac2-m1ultra.metal", "", ""},
		{"q1.large", "", ""},
		{"metal", "", ""},
		{"c", "", ""},
		{"", "", ""},
		{".", "", ""},
		{"5.large", "", ""},
		{"C5.large", "", ""},
	} {
		for spot, want := range map[bool]string{false: test.onDemand, true: test.spot} {
			if got, known := QuotaCode(test.name, spot); got != want || known != (want != "") {
				t.Errorf("QuotaCode(%q, %v) = %q, %v, want %q", test.name, spot, got, known, want)
			}
		}
	}
}

// TestHostQuotaCode knows all nine Macs, none of which another one is taken for.
func TestHostQuotaCode(t *testing.T) {
	codes := map[string]string{}
	for _, name := range []string{"mac1.metal", "mac2.metal", "mac2-m1ultra.metal", "mac2-m2.metal", "mac2-m2pro.metal",
		"mac-m4.metal", "mac-m4pro.metal", "mac-m4max.metal", "mac-m3ultra.metal"} {
		code, known := HostQuotaCode(name)
		if other, taken := codes[code]; !known || taken {
			t.Errorf("HostQuotaCode(%q) = %q, %v, which %q has", name, code, known, other)
		}
		codes[code] = name
	}
	if code, known := HostQuotaCode("c5.metal"); known {
		t.Errorf("HostQuotaCode(c5.metal) = %q, want none", code)
	}
}
