package store

// Snapshot is a disk with the same contents and the same marker: what a volume
// can be put back to without the node being able to tell.
func (d *Disk) Snapshot() *Disk {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := &Disk{rows: d.rows.clone(), file: d.file}
	if d.marker != nil {
		m := *d.marker
		s.marker = &m
	}
	return s
}

// Rewind puts the whole volume back to a Snapshot, durable. A Store that is
// open over the disk can write no more.
func (d *Disk) Rewind(to *Disk) {
	from := to.Snapshot()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows, d.undos, d.user, d.marker, d.file = from.rows, nil, nil, from.marker, from.file
}
