package app

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"bijou/web"
)

var update = flag.Bool("update", false, "write the generated files anew")

func TestTheCommittedOpenAPIDocumentIsTheOneThatTheDeclarationsMake(t *testing.T) {
	want, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../web/openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(web.OpenAPI, want) {
		t.Errorf("web/openapi.json has %d bytes and differs from the %d bytes that the declarations make: type make openapi", len(web.OpenAPI), len(want))
	}
}
