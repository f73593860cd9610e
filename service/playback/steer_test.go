package playback_test

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/service/playback"
	"bijou/wire/grant"
	"bijou/wire/steering"
)

func TestSteeringIsAskedForTheViewersPlaceAndItsAnswerIsInTheManifests(t *testing.T) {
	s, w := newRoom(t, nil)
	play := mustStart(t, s)
	viewer := bijou.Caller{Address: "192.0.2.1", Client: "203.0.113.9", Host: "[2001:db8::1]"}
	body, err := s.HLS(as(viewer), playback.Manifest{Grant: play.Grant})
	if err != nil {
		t.Fatal(err)
	}
	want := bijou.Viewing{Session: play.Session, Title: "ttl_film", Asset: "ast_1", Client: netip.MustParseAddr("203.0.113.9")}
	if w.viewing != want {
		t.Errorf("steering is asked for %+v, want %+v", w.viewing, want)
	}
	for _, part := range []string{
		"http://[2001:db8::1]:8081/g/" + play.Grant, "https://far.example.org/g/" + play.Grant, `PATHWAY-ID="apl_one"`, `PATHWAY-ID="apl_two"`,
		`SERVER-URI="/api/v1/plays/` + play.Grant + `/steering.json"`,
	} {
		if !strings.Contains(string(body.Bytes), part) {
			t.Errorf("the playlist lacks %s:\n%s", part, body.Bytes)
		}
	}
	w.fail = bijou.Unavailable
	if _, err := s.HLS(as(viewer), playback.Manifest{Grant: play.Grant}); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("no appliance: got %v, want Unavailable", err)
	}
}

func TestAPlayerThatAsksIsToldTheOrderOfThisMoment(t *testing.T) {
	s, w := newRoom(t, func(c *playback.Config) { c.SteerEvery = 7 * time.Second })
	play := mustStart(t, s)
	ask := func() (steering.Manifest, int, error) {
		body, err := s.Steer(as(member), playback.SteerQuery{Grant: play.Grant})
		if err != nil || body.Status != 0 {
			return steering.Manifest{}, body.Status, err
		}
		m, err := steering.Parse(body.Bytes)
		return m, http.StatusOK, err
	}
	m, status, err := ask()
	if err != nil || status != http.StatusOK || m.TTL != 7*time.Second || strings.Join(m.Pathways, " ") != "apl_one apl_two" {
		t.Fatalf("first: got %+v, %d, %v", m, status, err)
	}
	if _, _, err := ask(); !errors.Is(err, bijou.Exhausted) {
		t.Errorf("at once again: got %v, want Exhausted", err)
	}
	w.now = w.now.Add(7 * time.Second)
	w.places[0], w.places[1] = w.places[1], w.places[0]
	if m, _, err := ask(); err != nil || m.Pathways[0] != "apl_two" {
		t.Errorf("after the boxes changed places: got %+v, %v", m, err)
	}
	w.now = w.now.Add(5 * time.Hour) // the grant has ended, and the player is about to renew it
	if m, _, err := ask(); err != nil || len(m.Pathways) != 2 {
		t.Errorf("under an ended grant: got %+v, %v", m, err)
	}
	w.now = w.now.Add(time.Minute)
	delete(w.titles, "ttl_film")
	if _, status, err := ask(); err != nil || status != http.StatusGone {
		t.Errorf("a removed title: got %d, %v, want 410", status, err)
	}
	if _, err := s.Steer(as(member), playback.SteerQuery{Grant: "forged"}); !errors.Is(err, bijou.Denied) {
		t.Errorf("a forged grant: got %v, want Denied", err)
	}
}

func TestAGrantIsBoundToTheNetworkThatTheConfigurationSays(t *testing.T) {
	for _, c := range []struct{ bind, address, want string }{
		{"public", "203.0.113.77", "203.0.113.0/24"}, {"public", "::ffff:203.0.113.77", "203.0.113.0/24"}, {"public", "2001:db8:1:2::3", "2001:db8:1::/48"},
		{"public", "127.0.0.1", ""}, {"public", "10.1.2.3", ""}, {"public", "192.168.1.9", ""}, {"public", "::1", ""}, {"public", "fe80::1%eth0", ""}, {"public", "fd00::1", ""},
		{"public", "", ""}, {"public", "nonsense", ""}, {"always", "10.1.2.3", "10.1.2.0/24"}, {"always", "127.0.0.1", "127.0.0.0/24"}, {"never", "203.0.113.77", ""},
	} {
		s, _ := newRoom(t, func(x *playback.Config) { x.BindNetwork = c.bind })
		viewer := member
		viewer.Address = c.address
		play, err := s.Start(as(viewer), playback.StartPlay{Title: "ttl_film"})
		if err != nil {
			t.Fatal(err)
		}
		g, err := grant.Open(play.Grant, keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(g.Network.String(), "invalid Prefix"); got != c.want {
			t.Errorf("%s, viewer at %s: bound to %q, want %q", c.bind, c.address, got, c.want)
		}
		moved := member
		moved.Address = "198.51.100.1"
		again, err := s.Renew(as(moved), playback.Renewal{Grant: play.Grant})
		if err != nil {
			t.Fatalf("renewed from elsewhere: %v", err)
		}
		if g, err := grant.Open(again.Grant, keys); err != nil || c.bind != "never" && !g.Network.Contains(netip.MustParseAddr(moved.Address)) {
			t.Errorf("renewed from elsewhere: bound to %s, %v", g.Network, err)
		}
	}
}

func TestWhatWasTakenBackIsNotRenewed(t *testing.T) {
	s, w := newRoom(t, nil)
	play := mustStart(t, s)
	if _, err := s.Revoke(as(member), playback.OneSession{Session: play.Session}); err != nil {
		t.Fatal(err)
	}
	if len(w.revoked) != 1 || w.revoked[0].Session != play.Session || !w.revoked[0].Until.After(play.Expires) {
		t.Errorf("kept %+v, want the viewing until after %s", w.revoked, play.Expires)
	}
	if _, err := s.Renew(as(member), playback.Renewal{Grant: play.Grant}); !errors.Is(err, bijou.Denied) {
		t.Errorf("renewed: got %v, want Denied", err)
	}
	if body, err := s.Steer(as(member), playback.SteerQuery{Grant: play.Grant}); err != nil || body.Status != http.StatusGone {
		t.Errorf("steering: got %d, %v, want 410", body.Status, err)
	}
	if _, err := s.Revoke(as(member), playback.OneSession{Session: "nonsense"}); !errors.Is(err, bijou.Invalid) {
		t.Errorf("what is no viewing: got %v, want Invalid", err)
	}
}

func TestThePublicKeysAreToldAsPEM(t *testing.T) {
	s, _ := newRoom(t, nil)
	got, err := s.PublicKeys(as(bijou.Caller{}), struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode([]byte(got.PEM))
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) != 0 {
		t.Errorf("got %q", got.PEM)
	}
}
