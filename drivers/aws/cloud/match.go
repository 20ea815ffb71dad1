package cloud

// Match reports whether a value fits a filter's pattern: "*" stands for any
// characters, "?" for one, and "\" takes away the meaning of the next. Case
// counts.
func Match(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	star, resume := -1, 0 // where the last "*" is, and the value's part behind what it took
	i, j := 0, 0
	for j < len(v) {
		switch {
		case i < len(p) && p[i] == '*':
			star, resume = i, j
			i++
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == v[j]:
			i, j = i+2, j+1
		case i < len(p) && p[i] != '\\' && (p[i] == '?' || p[i] == v[j]):
			i, j = i+1, j+1
		case star >= 0: // let the "*" take one more
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
