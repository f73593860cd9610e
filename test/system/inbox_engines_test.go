//go:build engines

package system_test

import (
	"strings"
	"testing"

	"bijou/test/engines"
	"bijou/test/harness"
)

func TestAFilmInABucketBecomesATitleOnceWheneverTheServiceIsKilled(t *testing.T) {
	server := "http://" + engines.Moto(t).Address
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		address := engines.Bucket(t, server, "incoming")
		where := strings.Replace(address, "/?", "/films?", 1)
		checkInbox(t, shape, where, func(name string, content []byte) {
			engines.PutObject(t, server, "incoming", "films/"+name, string(content))
		})
		sv := shape.Start(t, harness.Options{Env: []string{"BIJOU_STUDIO_WATCH=" + where}})
		if r := sv.CLI(t, "config", "print", "--set", "studio.watch="+where); r.Status != 0 || strings.Contains(r.Out, "secret@") {
			t.Errorf("config print: got %s%s, want no secret in it", r.Out, r.Err)
		}
		if r := sv.CLI(t, "doctor", "--set", "studio.watch="+where); !strings.Contains(r.Out, "films are looked for") {
			t.Errorf("doctor: got %s%s, want that films are looked for", r.Out, r.Err)
		}
		if r := sv.CLI(t, "doctor", "--set", "studio.watch="+strings.Replace(where, "incoming", "elsewhere", 1)); !strings.Contains(r.Out, "there is no bucket elsewhere") {
			t.Errorf("doctor: got %s%s, want that there is no bucket", r.Out, r.Err)
		}
	})
}
