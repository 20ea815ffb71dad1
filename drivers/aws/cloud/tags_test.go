package cloud

import "testing"

func TestInPool(t *testing.T) {
	for _, tt := range []struct {
		name string
		tags Tags
		want bool
	}{
		{"none", nil, false},
		{"ours", Tags{TagPool: "mac"}, true},
		{"another", Tags{TagPool: "win"}, false},
		{"of v0.7, by value", Tags{TagOldPool: "mac"}, true},
		{"of v0.7, by key", Tags{TagOldPoolPrefix + "mac": ""}, true},
		{"of v0.7, another", Tags{TagOldPoolPrefix + "mac2": ""}, false},
		{"moved since v0.7", Tags{TagPool: "win", TagOldPool: "mac", TagOldPoolPrefix + "mac": ""}, false},
	} {
		if got := InPool(tt.tags, "mac"); got != tt.want {
			t.Errorf("%s: InPool(%v) = %v, want %v", tt.name, tt.tags, got, tt.want)
		}
	}
}
