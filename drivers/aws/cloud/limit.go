package cloud

import "strings"

// RateLimit is a token bucket: it holds at most Burst requests and gets
// PerSecond new ones.
type RateLimit struct {
	Burst     int
	PerSecond float64
}

// LimitOf is what AWS allows of an action such as "RunInstances", for one
// account in one region. Numbers are those of "Request throttling for the Amazon
// EC2 API" (EC2 developer guide, 2026-09), of its buckets of requests; the buckets of
// resources (1,000 instances, 2 new ones a second for RunInstances and
// StartInstances) are wide enough for who starts one at a time. Lists are asked
// page by page, so the narrower bucket of unfiltered, unpaged lists is not met.
func LimitOf(action string) RateLimit {
	switch action {
	case "RunInstances", "StartInstances":
		return RateLimit{5, 2}
	case "TerminateInstances", "CreateSnapshots", "DeregisterImage", "DeleteSnapshot":
		return RateLimit{100, 5}
	case "CreateTags":
		return RateLimit{100, 10}
	case "CopyImage":
		return RateLimit{100, 1}
	case "GetCallerIdentity", "DescribeKey":
		// STS and KMS allow hundreds a second; we need one now and then.
		return RateLimit{20, 10}
	case "ListServiceQuotas", "ListAWSDefaultServiceQuotas":
		// "Service quotas for Service Quotas" (its user guide): 10 a second, and 10
		// more in one burst. We need some pages every ten minutes.
		return RateLimit{10, 10}
	}
	if strings.HasPrefix(action, "Describe") {
		return RateLimit{100, 20}
	}
	return RateLimit{50, 5} // what changes things
}
