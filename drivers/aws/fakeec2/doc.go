// Package fakeec2 is EC2 in memory, as one account sees one region: it
// implements cloud.API by the rules of the real service, and on order by its
// faults. It exists for tests and simulations of those who use cloud.API.
//
// It has a clock that is given to it and no goroutine: what happens by itself,
// such as the end of a launch, is an event with a time, and is made true by the
// first call after that time. So it runs in a synctest bubble, and with a clock
// that a simulation turns.
//
//	ec2 := fakeec2.New(fakeec2.Options{Seed: 7})
//	ec2.SetQuota("L-5D8DADF5", 2)
//	id, err := ec2.AllocateHost(ctx, cloud.HostRequest{ClientToken: "1", Type: "mac2.metal", Zone: "eu-central-1a"})
//	...
//	ec2.Billable() // what still costs money
//
// DESIGN.md says what is faithful, from where that is known, and what differs.
package fakeec2
