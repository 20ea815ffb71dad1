package store

// lockFolder does nothing: a folder can not be locked there. That two nodes
// share a database is prevented by their address alone.
func lockFolder(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
