package socksproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var (
	ours   = model.UID{1}
	theirs = model.UID{2}
)

// mapping is one as a table writes it: "service>redirect", for an application,
// at a location.
func mapping(hlc int, app model.UID, location, text string) model.ServiceMapping {
	service, redirect, _ := strings.Cut(text, ">")
	return model.ServiceMapping{
		UID: model.UID{byte(hlc)}, ApplicationUID: app, LocationName: location, Service: service, Redirect: redirect, HLC: model.HLC(hlc),
	}
}

func TestDecide(t *testing.T) {
	none := model.NilUID
	for _, tt := range []struct {
		name     string
		mappings []model.ServiceMapping
		host     string
		want     string // empty: not mapped
	}{
		{"nothing is mapped", nil, "mirror", ""},
		{"the host is replaced, the port stays", []model.ServiceMapping{mapping(1, none, "", "mirror>10.0.0.9")}, "mirror", "10.0.0.9:443"},
		{"a port of its own", []model.ServiceMapping{mapping(1, none, "", "mirror>cache.lab:8080")}, "mirror", "cache.lab:8080"},
		{"v6 with a port", []model.ServiceMapping{mapping(1, none, "", "mirror>[2001:db8::9]:8080")}, "mirror", "[2001:db8::9]:8080"},
		{"v6 without", []model.ServiceMapping{mapping(1, none, "", "mirror>2001:db8::9")}, "mirror", "[2001:db8::9]:443"},
		{"letters of either case", []model.ServiceMapping{mapping(1, none, "", "Mirror.Example.COM>a")}, "mIRROR.example.com.", "a:443"},
		{"a dot at the end of the service", []model.ServiceMapping{mapping(1, none, "", "mirror.>a")}, "mirror", "a:443"},
		{"no part of a name", []model.ServiceMapping{mapping(1, none, "", "mirror>a")}, "mirror.example.com", ""},
		{"no letters that only look so", []model.ServiceMapping{mapping(1, none, "", "mik>a")}, "mi\u212a", ""},
		{"v4", []model.ServiceMapping{mapping(1, none, "", "10.1.2.3>a")}, "10.1.2.3", "a:443"},
		{"v4 in v6", []model.ServiceMapping{mapping(1, none, "", "10.1.2.3>a")}, "::ffff:10.1.2.3", "a:443"},
		{"v4 in hex", []model.ServiceMapping{mapping(1, none, "", "::ffff:10.1.2.3>a")}, "::ffff:a01:203", "a:443"},
		{"v6 in another spelling", []model.ServiceMapping{mapping(1, none, "", "2001:DB8:0:0::1>a")}, "2001:db8::0:1", "a:443"},
		{"v6 in brackets", []model.ServiceMapping{mapping(1, none, "", "[2001:db8::1]>a")}, "2001:db8::1", "a:443"},
		{"an old spelling is another name", []model.ServiceMapping{mapping(1, none, "", "10.0.0.1>a")}, "167772161", ""},
		{"a zone is nobody's", []model.ServiceMapping{mapping(1, none, "", "fe80::1%eth0>a"), mapping(2, none, "", "fe80::1>b")}, "fe80::1%eth0", ""},
		{"nothing at all", []model.ServiceMapping{mapping(1, none, "", ">a"), mapping(2, none, "", ".>a")}, "", ""},
		{"another application's", []model.ServiceMapping{mapping(1, theirs, "", "mirror>a")}, "mirror", ""},
		{"another location's", []model.ServiceMapping{mapping(1, none, "berlin", "mirror>a"), mapping(2, ours, "berlin", "mirror>b")}, "mirror", ""},
		{"both before the application", []model.ServiceMapping{
			mapping(4, ours, "", "mirror>b"), mapping(1, ours, "lab", "mirror>a"), mapping(5, none, "lab", "mirror>c"), mapping(6, none, "", "mirror>d"),
		}, "mirror", "a:443"},
		{"the application before the location", []model.ServiceMapping{
			mapping(5, none, "lab", "mirror>c"), mapping(4, ours, "", "mirror>b"), mapping(6, none, "", "mirror>d"),
		}, "mirror", "b:443"},
		{"the location before all", []model.ServiceMapping{mapping(6, none, "", "mirror>d"), mapping(5, none, "lab", "mirror>c")}, "mirror", "c:443"},
		{"the last written", []model.ServiceMapping{mapping(2, none, "", "mirror>b"), mapping(3, none, "", "MIRROR>c"), mapping(1, none, "", "mirror.>a")}, "mirror", "c:443"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(tt.mappings, ours, "lab", ParseDestination(tt.host, 443))
			if got.Mapped != (tt.want != "") || got.Mapped && got.To.String() != tt.want || got.Fault != nil {
				t.Errorf("got %+v to %s, want %q", got, got.To, tt.want)
			}
		})
	}
	broken := Decide([]model.ServiceMapping{mapping(1, none, "", "mirror>http://x/"), mapping(2, none, "", "other>y")}, ours, "", ParseDestination("mirror", 1))
	if !broken.Mapped || broken.Fault == nil {
		t.Errorf("a redirect that is none: %+v, want its fault", broken)
	}
	if d := Decide([]model.ServiceMapping{mapping(1, none, "lab", "mirror>a")}, ours, "", ParseDestination("mirror", 1)); d.Mapped {
		t.Errorf("a node at no location: %+v, want nothing of a location", d)
	}
}

// The order of the rows is not the same on all nodes, the decision is; and no
// mapping of another application or location ever has a part in it.
func TestDecideIsTheSameOnEveryNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var mappings []model.ServiceMapping
		for i := range rapid.IntRange(0, 12).Draw(t, "n") {
			app := rapid.SampledFrom([]model.UID{model.NilUID, ours, theirs}).Draw(t, "app")
			location := rapid.SampledFrom([]string{"", "lab", "berlin"}).Draw(t, "location")
			service := rapid.SampledFrom([]string{"mirror", "MIRROR.", "other", "10.0.0.1", "::ffff:10.0.0.1"}).Draw(t, "service")
			mappings = append(mappings, mapping(rapid.IntRange(1, 5).Draw(t, "hlc"), app, location, fmt.Sprintf("%s>r%d.x", service, i)))
			mappings[i].UID = model.UID{byte(i + 1)}
		}
		d := ParseDestination(rapid.SampledFrom([]string{"mirror", "10.0.0.1", "nothing"}).Draw(t, "host"), 80)
		want := Decide(mappings, ours, "lab", d)
		shuffled := rapid.Permutation(mappings).Draw(t, "order")
		if got := Decide(shuffled, ours, "lab", d); got != want {
			t.Fatalf("in another order %+v, want %+v", got, want)
		}
		ofOurs := slices.DeleteFunc(slices.Clone(mappings), func(m model.ServiceMapping) bool {
			return m.ApplicationUID == theirs || m.LocationName == "berlin"
		})
		if got := Decide(ofOurs, ours, "lab", d); got != want {
			t.Fatalf("without what is not for it %+v, want %+v", got, want)
		}
		for _, m := range ofOurs {
			if ParseDestination(m.Service, 0).sameHost(d) && (!want.Mapped || closeness(m, ours, "lab") > closeness(want.Mapping, ours, "lab")) {
				t.Fatalf("%+v counts, and not the closer %+v", want.Mapping, m)
			}
		}
	})
}

func TestClassify(t *testing.T) {
	here := local{prefixes("192.0.2.5/24", "2001:db8::5/64"), prefixes("172.30.0.0/16", "fd00:1::/64")}
	for want, addrs := range map[class][]string{
		public: {"1.1.1.1", "192.0.2.6", "2001:db8::6", "2606:4700::1111", "172.32.0.1", "100.128.0.1", "64:ff9b::101:101", "2002:101:101::1"},
		private: {
			"10.0.0.1", "172.16.0.1", "172.29.255.255", "fd00:2::1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1", "::ffff:10.0.0.1",
			"64:ff9b::a00:1", "2002:a00:1::1", "::10.0.0.1", "198.18.0.1",
		},
		inner: {
			"127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1",
			"255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe",
			"2002:7f00:1::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe", "2001:0:7f00:1::1", "2001:0:101:101::80ff:fffe",
			"192.0.2.5", "::ffff:192.0.2.5", "2001:db8::5", "64:ff9b::c000:205", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
			"172.30.0.2", "::ffff:172.30.0.2", "64:ff9b::ac1e:2", "fd00:1::2",
		},
	} {
		for _, a := range addrs {
			if got := newNetwork().classify(netip.MustParseAddr(a), here); got != want {
				t.Errorf("classify(%s) = %v, want %v", a, got, want)
			}
		}
	}
	if newNetwork().classify(netip.Addr{}, local{}) != inner {
		t.Error("no address at all is trusted")
	}
}

func TestMayReach(t *testing.T) {
	here := local{prefixes("192.0.2.5/24"), prefixes("172.30.0.0/16")}
	none := model.NilUID
	for _, tt := range []struct {
		name     string
		mappings []model.ServiceMapping // the first is what was decided by
		addr     string
		want     bool
	}{
		{"an admin's name that is everybody's", []model.ServiceMapping{mapping(1, none, "", "m>name")}, "1.1.1.1", true},
		{"an owner's name that is everybody's", []model.ServiceMapping{mapping(1, ours, "", "m>name")}, "1.1.1.1", true},
		{"a name in the site's network", []model.ServiceMapping{mapping(1, none, "", "m>name")}, "10.0.0.9", false},
		{"a name in it that is mapped", []model.ServiceMapping{mapping(1, none, "", "m>name"), mapping(2, none, "", "10.0.0.9>10.0.0.9")}, "10.0.0.9", true},
		{"mapped for another application", []model.ServiceMapping{mapping(1, none, "", "m>name"), mapping(2, theirs, "", "10.0.0.9>10.0.0.9")}, "10.0.0.9", false},
		{"mapped at another location", []model.ServiceMapping{mapping(1, none, "", "m>name"), mapping(2, none, "berlin", "10.0.0.9>10.0.0.9")}, "10.0.0.9", false},
		{"mapped by the owner", []model.ServiceMapping{mapping(1, ours, "", "m>name"), mapping(2, ours, "", "10.0.0.9>10.0.0.9")}, "10.0.0.9", true},
		{"v4 in v6 is not another", []model.ServiceMapping{mapping(1, none, "", "m>name"), mapping(2, none, "", "10.0.0.9>10.0.0.9")}, "::ffff:10.0.0.9", true},
		{"a name that is loopback", []model.ServiceMapping{mapping(1, none, "", "m>name")}, "127.0.0.1", false},
		{"a name that is loopback in v6", []model.ServiceMapping{mapping(1, none, "", "m>name")}, "::ffff:127.0.0.1", false},
		{"a name that is this host", []model.ServiceMapping{mapping(1, none, "", "m>name")}, "192.0.2.5", false},
		{"loopback that an admin mapped", []model.ServiceMapping{mapping(1, none, "", "m>name"), mapping(2, none, "", "127.0.0.1>127.0.0.1")}, "127.0.0.1", true},
		{"loopback that an owner mapped", []model.ServiceMapping{mapping(1, none, "", "m>name"), mapping(2, ours, "", "127.0.0.1>127.0.0.1")}, "127.0.0.1", false},
		{"an owner's name to what an admin mapped", []model.ServiceMapping{mapping(1, ours, "", "m>name"), mapping(2, none, "", "127.0.0.1>127.0.0.1")}, "127.0.0.1", false},
		{"an admin's address in the site's network", []model.ServiceMapping{mapping(1, none, "", "m>10.0.0.9")}, "10.0.0.9", true},
		{"an owner's address in it", []model.ServiceMapping{mapping(1, ours, "", "m>10.0.0.9")}, "10.0.0.9", true},
		{"an admin's loopback", []model.ServiceMapping{mapping(1, none, "", "m>127.0.0.1")}, "127.0.0.1", true},
		{"an owner's loopback", []model.ServiceMapping{mapping(1, ours, "", "m>127.0.0.1")}, "127.0.0.1", false},
		{"an owner's loopback in v6", []model.ServiceMapping{mapping(1, ours, "", "m>::ffff:127.0.0.1")}, "127.0.0.1", false},
		{"an owner's secrets of a cloud", []model.ServiceMapping{mapping(1, ours, "lab", "m>169.254.169.254")}, "169.254.169.254", false},
		{"an owner's neighbour", []model.ServiceMapping{mapping(1, ours, "", "m>172.30.0.2")}, "172.30.0.2", false},
		{"an owner's name that is a neighbour", []model.ServiceMapping{mapping(1, ours, "", "m>name"), mapping(2, ours, "", "172.30.0.2>172.30.0.2")}, "172.30.0.2", false},
		{"an environment that an admin mapped", []model.ServiceMapping{mapping(1, none, "", "m>172.30.0.2")}, "172.30.0.2", true},
		{"an owner's own host", []model.ServiceMapping{mapping(1, ours, "", "m>192.0.2.5")}, "192.0.2.5", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(tt.mappings[:1], ours, "lab", ParseDestination("m", 80))
			if got := newNetwork().mayReach(netip.MustParseAddr(tt.addr), here, d, tt.mappings, ours, "lab"); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// However an address is written, and whoever says that a name leads to it:
// nothing of the node itself is reached by what somebody wrote who is no admin.
func TestNoOwnerReachesTheNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		here := local{prefixes("192.0.2.5/24", "2001:db8::5/64"), prefixes("172.30.0.0/16")}
		inside := rapid.SampledFrom([]string{"172.30.0.2", "127.0.0.1", "169.254.169.254", "0.0.0.0", "192.0.2.5", "2001:db8::5", "::1", "fe80::1", "ff02::1", "::"}).Draw(t, "inside")
		addr := netip.MustParseAddr(inside)
		if addr.Is4() && rapid.Bool().Draw(t, "in v6") {
			addr = netip.AddrFrom16(addr.As16())
		}
		if addr.Is6() && rapid.Bool().Draw(t, "zone") {
			addr = addr.WithZone("eth0")
		}
		mappings := []model.ServiceMapping{
			mapping(1, ours, "", "m>"+rapid.SampledFrom([]string{"name", "[" + inside + "]", inside}).Draw(t, "redirect")),
			mapping(2, rapid.SampledFrom([]model.UID{model.NilUID, ours}).Draw(t, "of"), "", inside+">"+inside),
		}
		d := Decide(mappings[:1], ours, "", ParseDestination("m", 80))
		if d.Fault == nil && newNetwork().mayReach(addr, here, d, mappings, ours, "") {
			t.Fatalf("%v is reached by %+v", addr, mappings)
		}
	})
}
