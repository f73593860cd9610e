//go:build engines

package system_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bijou/test/engines"
	"bijou/test/harness"
)

// site is a service all of whose stores are kept by servers.
type site struct {
	*harness.Service
	env   []string // that says where the stores are
	parts []part
}

// part is one engine of the site: the servers that are broken together, and what they keep.
type part struct {
	name    string
	servers []*engines.Server
	stores  []string
	// use asks for something that this engine has to answer.
	use     func(t *testing.T, m *visit) harness.Answer
	spared  bool // nothing fails while it is away: it only takes longer
	forgets bool // what it keeps is gone when it ends: it is paused instead
}

// stop makes the part's servers useless.
func (p part) stop(t *testing.T) {
	for _, v := range p.servers {
		if p.forgets {
			v.Pause(t)
		} else {
			v.Kill(t)
		}
	}
}

// goOn makes them useful again.
func (p part) goOn(t *testing.T) {
	for _, v := range p.servers {
		if p.forgets {
			v.Resume(t)
		} else {
			v.Launch(t)
		}
	}
	for _, v := range p.servers {
		v.Await(t)
	}
}

// visit is a member who watches a film.
type visit struct {
	harness.Client
	title  harness.Title
	player *harness.Player
	at     int64 // the position that was acknowledged last
}

// serverSite starts all servers, each of which keeps nothing yet.
func serverSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	keep := func(p part, address string) {
		for _, store := range p.stores {
			s.env = append(s.env, fmt.Sprintf("BIJOU_STORES_%s=%s", strings.ToUpper(store), address))
		}
		s.parts = append(s.parts, p)
	}
	db := engines.MySQL(t)
	keep(part{name: "mysql", servers: []*engines.Server{db}, stores: []string{"accounts", "titles", "work", "operators", "appliances"}, use: signedIn},
		engines.MySQLDatabase(t, db, "bijou", ""))
	log := engines.Kafka(t, t.TempDir())
	keep(part{name: "kafka", servers: []*engines.Server{log.Server}, stores: []string{"facts"}, use: reports}, "kafka://"+log.Address)
	wide := engines.StartCassandra(t, t.TempDir(), 1)
	keep(part{name: "cassandra", servers: wide.Nodes, stores: []string{"profiles"}, use: positions}, wide.Address("bijou"))
	near := engines.Memcached(t)
	keep(part{name: "memcached", servers: []*engines.Server{near}, stores: []string{"cache"}, use: titlePage, spared: true}, "memcached://"+near.Address)
	bucket := engines.Moto(t)
	keep(part{name: "s3", servers: []*engines.Server{bucket}, stores: []string{"blobs"}, use: poster, forgets: true}, engines.Bucket(t, "http://"+bucket.Address, "bijou"))
	return s
}

// poster asks for the film's picture.
func poster(t *testing.T, m *visit) harness.Answer {
	return m.Do(t, "GET", "/api/v1/titles/"+m.title.ID+"/poster", nil)
}

// signedIn asks who the member is.
func signedIn(t *testing.T, m *visit) harness.Answer { return m.Do(t, "GET", "/api/v1/me", nil) }

// positions asks what can be watched on.
func positions(t *testing.T, m *visit) harness.Answer {
	return m.Do(t, "GET", "/api/v1/positions", nil)
}

// titlePage asks for the film.
func titlePage(t *testing.T, m *visit) harness.Answer {
	return m.Do(t, "GET", "/api/v1/titles/"+m.title.ID, nil)
}

// reports has the player say how far it has come.
func reports(t *testing.T, m *visit) harness.Answer {
	a, err := m.player.TryReport("heartbeat", m.at+1000)
	if err != nil {
		t.Fatalf("report: %v", err)
	}
	if a.Status == http.StatusAccepted {
		m.at += 1000
	}
	return a
}

// start starts the service.
func (s *site) start(t *testing.T, dataDir string) {
	t.Helper()
	s.Service = harness.Up.Start(t, harness.Options{DataDir: dataDir, Env: append(s.env, "BIJOU_BUNDLED_FILMS=true")})
}

// states returns how the stores are, as the service says.
func (s *site) states(t *testing.T) map[string]string {
	t.Helper()
	states := map[string]string{}
	for line := range strings.Lines(string(s.Guest().Get(t, "/readyz?verbose"))) {
		if name, state, ok := strings.Cut(strings.TrimPrefix(line, "store "), ": "); ok && strings.HasPrefix(line, "store ") {
			states[name] = state
		}
	}
	return states
}

// await waits until the stores of the part are in the state.
func (s *site) await(t *testing.T, p part, state string) {
	t.Helper()
	engines.Until(t, p.name+" is "+state, time.Minute, func() error {
		got := s.states(t)
		for _, store := range p.stores {
			if !strings.HasPrefix(got[store], state) {
				return fmt.Errorf("store %s is %q, want %q", store, got[store], state)
			}
		}
		return nil
	})
}

// doctor returns what the doctor says of the stores: the state of each finding.
func (s *site) doctor(t *testing.T) map[string]string {
	t.Helper()
	cmd := s.Command(t, "--output", "json", "doctor")
	cmd.Env = harness.Environ(s.env...)
	var out bytes.Buffer
	cmd.Stdout = &out
	_ = cmd.Run() // which fails where a finding is a failure
	var findings []struct{ Check, State, Says string }
	if err := json.Unmarshal(out.Bytes(), &findings); err != nil {
		t.Fatalf("doctor says %s: %v", &out, err)
	}
	states := map[string]string{}
	for _, f := range findings {
		if names, ok := strings.CutPrefix(f.Check, "store "); ok {
			for name := range strings.SplitSeq(names, ", ") {
				states[name] = f.State
			}
		}
		if strings.Contains(f.Says, "p@ss") || strings.Contains(f.Says, "p%40ss") {
			t.Errorf("doctor tells a password: %s", f.Says)
		}
	}
	return states
}

// wantDoctor wants the doctor to find every store in the state.
func (s *site) wantDoctor(t *testing.T, want string) {
	t.Helper()
	got := s.doctor(t)
	for _, p := range s.parts {
		for _, store := range p.stores {
			if got[store] != want {
				t.Errorf("doctor finds store %s %q, want %q", store, got[store], want)
			}
		}
	}
}

func TestEveryStoreCanBeKeptByAServerThatComesGoesAndComesBack(t *testing.T) {
	s := serverSite(t)
	for _, p := range s.parts {
		p.stop(t)
	}
	s.start(t, t.TempDir())
	for _, p := range s.parts {
		s.await(t, p, "away")
	}
	s.wantDoctor(t, "failure")
	for _, p := range s.parts {
		p.goOn(t)
		s.await(t, p, "ok")
	}
	s.wantDoctor(t, "ok")
	harness.Eventually(t, "the bundled films are there", func() bool { return len(s.Guest().Titles(t)) > 0 })
	m := &visit{Client: s.SignUp(t, "ada@example.org"), title: s.Add(t, harness.Film(t, filmSeconds))}
	m.player = m.StartPlay(t, m.title.ID)
	for _, track := range m.player.TracksOfDASH(t) {
		for _, segment := range track.Segments {
			m.player.Get(t, segment)
		}
	}
	for _, p := range s.parts {
		t.Run(p.name, func(t *testing.T) { s.lose(t, p, m) })
	}
	s.Kill(t)
	s.start(t, s.DataDir)
	m.Client = m.As(s.Service)
	for _, p := range s.parts {
		s.await(t, p, "ok")
	}
	m.wantPlace(t)
}

// lose has the part's servers killed and started again, and the member use the service meanwhile.
func (s *site) lose(t *testing.T, p part, m *visit) {
	wantOK(t, "before", p.use(t, m))
	p.stop(t)
	begin := time.Now()
	if a := p.use(t, m); p.spared && a.Status >= 300 || !p.spared && (a.Status < 500 || a.Detail() == "") {
		t.Errorf("without %s: status %d: %s", p.name, a.Status, a.Body)
	}
	if a := p.use(t, m); strings.Contains(string(a.Body), "127.0.0.1") {
		t.Errorf("a viewer is told where %s is: %s", p.name, a.Body)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("without %s the answer took %s", p.name, took)
	}
	s.await(t, p, "away")
	p.goOn(t)
	s.await(t, p, "ok")
	engines.Until(t, "the service works with "+p.name+" again", 30*time.Second, func() error {
		if a := p.use(t, m); a.Status >= 300 {
			return fmt.Errorf("status %d: %s", a.Status, a.Body)
		}
		return nil
	})
	m.wantPlace(t)
}

func wantOK(t *testing.T, when string, a harness.Answer) {
	t.Helper()
	if a.Status >= 300 {
		t.Fatalf("%s: status %d: %s", when, a.Status, a.Body)
	}
}

// wantPlace wants the film to go on where the member was.
func (m *visit) wantPlace(t *testing.T) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the film goes on at %d ms", m.at), func() bool {
		a := m.Do(t, "POST", "/api/v1/titles/"+m.title.ID+"/plays", nil)
		var play harness.Play
		return a.Status == http.StatusCreated && json.Unmarshal(a.Body, &play) == nil && play.PositionMS == m.at
	})
}
