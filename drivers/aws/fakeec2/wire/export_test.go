package wire

// FiltersOf shows the filters of an action to tests.
func FiltersOf(action string) []string { return filtersOf(action) }
