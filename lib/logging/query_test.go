package logging

import "testing"

func TestMaskQuery(t *testing.T) {
	shown := map[string]bool{"filter": true, "pretty": true}
	for uri, want := range map[string]string{
		"/api/v1/label/": "/api/v1/label/",
		"/api/v1/label/?filter=name%3D'x'&pretty": "/api/v1/label/?filter=name%3D'x'&pretty",
		"/api/v1/label/?%66ilter=a&password=p":    "/api/v1/label/?%66ilter=a&password=***",
		"/x?token=s&pretty=1&sig=t=u":             "/x?token=***&pretty=1&sig=***",
		"/x?Pretty=s":                             "/x?Pretty=***",
		"/x?s3cret":                               "/x?***",
		"/x?":                                     "/x?",
		"/x?%zz=s&&":                              "/x?%zz=***&&",
		"/x?a=b;password=p":                       "/x?a=***",
		"/x?filter=a;password=p":                  "/x?filter=a;password=p", // belongs to the filter
		"/x?filter=a?b&c=?d":                      "/x?filter=a?b&c=***",
	} {
		if got := MaskQuery(uri, shown); got != want {
			t.Errorf("MaskQuery(%q) = %q, want %q", uri, got, want)
		}
	}
}
