// Package wire puts an HTTP front before any cloud.API, so that what speaks to
// AWS can be run against it: the EC2 query protocol with its XML, and as much
// of STS, KMS and Service Quotas as the driver uses.
//
//	h := wire.New(backend, wire.Options{})
//	server := httptest.NewServer(h) // or wiretest.Serve in a test
//	...
//	h.Fault(wire.Fault{Action: "RunInstances", Count: 1, Do: wire.Cut, After: true})
//	...
//	h.Calls() // what was asked, and how it was answered
//
// It is stricter than AWS where that finds a client's mistakes: a parameter
// that it does not know is refused, pages are small, and what cloud.API can not
// say is refused with "NotImplemented" and never ignored. A backend is best as
// strict as AWS too: a fakeec2.Cloud has Strict for that. DESIGN.md says more.
package wire
