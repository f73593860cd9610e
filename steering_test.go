package bijou_test

import (
	"errors"
	"testing"

	"bijou"
)

func TestRoutesThatNoManifestCanTellOfAreRefused(t *testing.T) {
	good := func() bijou.Routes {
		return bijou.Routes{Pathways: []bijou.Pathway{{ID: "apl_1", Base: "http://127.0.0.1:8081/g/T/a/"}, {ID: "b-2.c", Base: "/g/T/a/"}}, Steering: "/s?x=1"}
	}
	if err := good().Check(); err != nil {
		t.Fatalf("good routes: got %v", err)
	}
	for what, spoil := range map[string]func(r *bijou.Routes){
		"no pathway":                      func(r *bijou.Routes) { r.Pathways = nil },
		"two of one name":                 func(r *bijou.Routes) { r.Pathways[1].ID = "apl_1" },
		"a nameless one":                  func(r *bijou.Routes) { r.Pathways[0].ID = "" },
		"a name with a quote":             func(r *bijou.Routes) { r.Pathways[0].ID = `a"` },
		"a name with a space":             func(r *bijou.Routes) { r.Pathways[0].ID = "a b" },
		"a base without a slash":          func(r *bijou.Routes) { r.Pathways[0].Base = "/g" },
		"a base with a newline":           func(r *bijou.Routes) { r.Pathways[0].Base = "/g\n/" },
		"a base with a query":             func(r *bijou.Routes) { r.Pathways[0].Base = "/g?a=/" },
		"a steering address with a quote": func(r *bijou.Routes) { r.Steering = `/"` },
	} {
		r := good()
		spoil(&r)
		if err := r.Check(); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: got %v, want Invalid", what, err)
		}
	}
}

func TestAnApplianceThatNobodyCouldBeSentToIsRefused(t *testing.T) {
	for address, ok := range map[string]bool{
		"http://127.0.0.1:8081": true, "https://box.example.org": true, "http://*:8081": true, "http://[2001:db8::1]:80": true,
		"": false, "127.0.0.1:8081": false, "ftp://box": false, "http://box/path": false, "http://user@box": false, "http://box?x": false, "http://box#x": false, "http://bo x": false,
	} {
		err := bijou.Appliance{ID: "apl_1", Address: address}.Check()
		if ok != (err == nil) || err != nil && !errors.Is(err, bijou.Invalid) {
			t.Errorf("address %q: got %v, want it taken: %v", address, err, ok)
		}
	}
	if err := (bijou.Appliance{ID: "ttl_1", Address: "http://box"}).Check(); !errors.Is(err, bijou.Invalid) {
		t.Errorf("a title's identifier: got %v, want Invalid", err)
	}
}
