// Package repl keeps the databases of neighbours alike. One Engine per node
// and one Session per link push what the other side lacks, take in what comes,
// and compare digests once in a while. The store and the link are behind small
// interfaces. Decisions are pure: schedule (what to send next on a link), inbox
// (what to take in), puller (which link to ask again).
package repl
