package replica

// Kind says which noun a Row holds. The numbers are part of the protocol: they
// never change and are never used again. A node keeps and passes on rows of a
// Kind that it does not know.
type Kind uint16

// The kinds.
const (
	KindUser             Kind = 1
	KindLabel            Kind = 2
	KindNode             Kind = 3
	KindLocation         Kind = 4
	KindServiceMapping   Kind = 5
	KindApplication      Kind = 6
	KindApplicationState Kind = 7
	KindApplicationTask  Kind = 8
	KindResource         Kind = 9
	// KindRetirement says that a node is gone for good, and who takes over
	// what it decided.
	KindRetirement Kind = 10
	// KindHandover says that a node that is shut down gives the applications
	// that it decides to another one.
	KindHandover Kind = 11
	// KindOwnership says that a shared outside thing has another owner from
	// here on.
	KindOwnership Kind = 12
	// KindResourceAccess are one-time credentials, and KindAccessUse says that
	// they were used.
	KindResourceAccess Kind = 13
	KindAccessUse      Kind = 14
)
