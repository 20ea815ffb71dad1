// Package pull keeps the fetching of images that no application waits for: an
// admin asks for it, or the node itself does ahead of need. It also lists and
// removes what the driver instances keep, so that none of them, whatever it
// does, holds up who asks.
package pull
