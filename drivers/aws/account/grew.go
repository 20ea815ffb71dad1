package account

// grew reports whether there may be room now for something of a driver
// instance for which there was none.
func grew(before, after *Snapshot, instance string) bool {
	return before.trouble != nil && after.trouble == nil ||
		len(after.Types)+len(after.NoSuchType) > len(before.Types)+len(before.NoSuchType) ||
		before.InstancesAsked.IsZero() != after.InstancesAsked.IsZero() ||
		before.UseAsked.IsZero() != after.UseAsked.IsZero() ||
		before.quotasAwaited != after.quotasAwaited ||
		len(after.Dry) < len(before.Dry) ||
		quotasGrew(before, after) || addressesGrew(before, after) ||
		billShrank(before.bills[instance], after.bills[instance])
}

func quotasGrew(before, after *Snapshot) bool {
	if len(after.Exhausted) < len(before.Exhausted) || len(after.Quotas) != len(before.Quotas) {
		return true
	}
	for code, quota := range after.Quotas {
		if quota > before.Quotas[code] {
			return true
		}
	}
	for name, was := range before.UsedHosts {
		if after.UsedHosts[name] < was {
			return true
		}
	}
	for code, was := range before.Used {
		is := after.Used[code]
		if is.All < was.All || is.Running < was.Running {
			return true
		}
	}
	return false
}

// addressesGrew reports whether a subnet that had none has some.
func addressesGrew(before, after *Snapshot) bool {
	had := make(map[string]bool, len(before.Subnets))
	for _, sub := range before.Subnets {
		had[sub.ID] = before.Free(sub) > 0
	}
	for _, sub := range after.Subnets {
		if after.Free(sub) > 0 && !had[sub.ID] {
			return true
		}
	}
	return false
}

func billShrank(before, after Bill) bool {
	return after.Known && !before.Known || after.Instances < before.Instances ||
		after.Hourly < before.Hourly || len(after.Unpriced) < len(before.Unpriced)
}
