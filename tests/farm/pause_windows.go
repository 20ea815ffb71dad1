package farm

// Pause ends the test: Windows stops no process.
func (m *Member) Pause() {
	m.t.Helper()
	m.t.Skip("Windows stops no process")
}

// Resume is never called where Pause ends the test.
func (m *Member) Resume() {}

func (m *Member) wake() {}
