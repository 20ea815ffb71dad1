package cloud

import (
	"reflect"
	"testing"
)

// TestPermissions: each method of API needs some, and nothing else is listed.
func TestPermissions(t *testing.T) {
	t.Parallel()
	permissions := Permissions()
	for method := range reflect.TypeFor[API]().Methods() {
		if len(permissions[method.Name]) == 0 {
			t.Errorf("nobody says what %s needs", method.Name)
		}
		delete(permissions, method.Name)
	}
	if len(permissions) > 0 {
		t.Errorf("no methods: %v", permissions)
	}
}
